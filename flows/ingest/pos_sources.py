"""Sources of stored lines: what a call of `ingest pos` brings, which earlier lines it replaces, and taking one back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import polars as pl

from daypart.features.clock import utc_moment
from daypart.features.errors import InputError
from daypart.features.pos.duplicates import with_occurrence
from daypart.features.pos.mapping import Mapping as PosMapping
from daypart.flows.home import Home
from daypart.flows.ingest import pos_lines
from daypart.flows.ingest.pos_lines import DemandChange, LineChange, stored_lines, stored_sources
from daypart.flows.lake import table_upkeep
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import LAKE, POS_SOURCE_COLUMNS

ID_CHARACTERS = 16
"""So many characters of a file's SHA-256 name its source."""
LEAST_CHARACTERS = 6
"""So many of them must be given to take a source back."""
SPAN = (pl.col("date").min().alias("first"), pl.col("date").max().alias("last"))


@dataclass(frozen=True)
class SourceRemoval:
    """A source that was taken back: what became of demand; `kept_before` is the date before which demand stays.

    The lines of earlier dates are removed already, by `lines_days`; null where none are.
    """

    source: dict[str, Any]
    lines: int
    demand: DemandChange
    kept_before: str | None


def described(
    paths: Sequence[Path], lines: pl.DataFrame, read: Sequence[int], mapping: PosMapping, now: datetime
) -> pl.DataFrame:
    """One row per file of a call, of those with the same content one; `lines` have the number of their `file`."""
    at = utc_moment(now)
    hashes = [_sha256(path) for path in paths]
    files = pl.DataFrame({
        "file": range(len(paths)), "source": [text[:ID_CHARACTERS] for text in hashes], "sha256": hashes,
        "name": [str(path.resolve()) for path in paths], "lines_read": read,
    }).with_columns(
        mapping_sha256=pl.lit(sha256(mapping.model_dump_json().encode()).hexdigest()),
        ingested_utc=pl.lit(at, pl.Datetime("us")),
        taken_back_utc=pl.lit(None, pl.Datetime("us")),
    )  # fmt: skip
    file_spans = lines.group_by(file=pl.col("file").cast(pl.Int64)).agg(
        lines_kept=pl.len().cast(pl.Int64),
        first_hour_local=pl.col("hour_local").min(),
        last_hour_local=pl.col("hour_local").max(),
        stores=pl.col("store_id").unique().sort(),
    )
    joined = files.join(file_spans, on="file", how="left", maintain_order="left", validate="1:1")
    names = joined["stores"].to_list()
    texts = pl.Series("stores", [json.dumps(ids or []) for ids in names], pl.String())
    return joined.with_columns(texts, pl.col("lines_kept").fill_null(0))


def arrival(lake: Lake, files: pl.DataFrame, kept_lines: pl.DataFrame, replace_hours: bool) -> LineChange:
    """What the lines of a call change: `files` as `described`, `kept_lines` with the number of their `file`, in order.

    A file replaces the lines that it brought before, and what a file of its name brought before (`_of_name`). With
    `replace_hours` it replaces all lines of its store-hours instead, whatever their source.
    """
    sources = files.unique("source", keep="last", maintain_order=True)
    of_file = files.select("file", "source").join(sources.select("file"), on="file", how="semi")
    placed = with_occurrence(kept_lines).join(of_file, on="file", how="inner", maintain_order="left")
    lines = placed.with_columns(date=pl.col("at_local").dt.date()).select(LAKE["pos_lines"].empty().columns)
    lines = lines.cast({"row": pl.Int64, "occurrence": pl.Int64})
    stored = stored_sources(lake)
    own_lines = _of_sources(lake, stored.filter(pl.col("source").is_in(sources["source"].implode())))
    other_lines = _of_hours(lake, lines) if replace_hours else _of_name(lake, stored, sources, lines)
    going = pl.concat([own_lines, other_lines]).unique(["source", "date", "store_id", "row"], maintain_order=True)
    added = lines.join(going, on=lines.columns, how="anti", nulls_equal=True)
    removed = going.join(lines, on=lines.columns, how="anti", nulls_equal=True)
    less, forgotten = _lessened(stored, sources, other_lines)
    columns = [name for name in POS_SOURCE_COLUMNS if name != "lines_version"]
    since = pl.concat([sources.select(columns), less.select(columns)])
    return LineChange(added, removed, since, pl.concat([lines, going]), forgotten)


def list_sources(home: Home) -> list[dict[str, Any]]:
    """Every source, the latest first: the columns of `pos_sources`, stores as a list, without the version."""
    rows = stored_sources(home.lake).drop("lines_version").to_dicts()
    return [{**row, "stores": json.loads(row["stores"])} for row in rows]


def take_back(home: Home, name: str, now: datetime) -> SourceRemoval:
    """Remove the lines of one source and count its hours again; hours that no source holds leave demand.

    `name` is a file's path or last part, or the first characters of its SHA-256. Raises InputError where it names none
    or several, where that one was taken back before, and where its lines are gone.
    """
    at = utc_moment(now)
    with pos_lines.writing(home.lake):
        source = _named(stored_sources(home.lake), name)
        row = source.row(0, named=True)
        lines = _of_sources(home.lake, source)
        gone_before = _gone_before(home.lake, row, lines.height)
        if lines.is_empty() and row["lines_kept"]:
            raise InputError(
                f"{row['name']} cannot be taken back: its lines are gone, removed by `daypart maintain` (lines_days); "
                "give the right demand of its hours with `daypart ingest demand`"
            )
        since = source.drop("lines_version").with_columns(taken_back_utc=pl.lit(at, pl.Datetime("us")))
        demand_change = pos_lines.apply(home.lake, LineChange(lines.clear(), lines, since, lines))
    return SourceRemoval(row, lines.height, demand_change, gone_before)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _of_sources(lake: Lake, sources: pl.DataFrame) -> pl.DataFrame:
    """The stored lines of some sources."""
    first, last = sources["first_hour_local"].min(), sources["last_hour_local"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return LAKE["pos_lines"].empty()
    dates = pl.col("date").is_between(first.date(), last.date())
    return stored_lines(lake, dates & pl.col("source").is_in(sources["source"].to_list()))


def _of_hours(lake: Lake, lines: pl.DataFrame) -> pl.DataFrame:
    """The stored lines, of all sources, in the store-hours of the lines."""
    if lines.is_empty():
        return lines
    on_dates = pl.col("date").is_in(lines["date"].unique().to_list())
    stored = stored_lines(lake, on_dates & pl.col("store_id").is_in(lines["store_id"].unique().to_list()))
    return stored.join(lines, on=["store_id", "hour_utc"], how="semi")


def _of_name(lake: Lake, stored: pl.DataFrame, sources: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """The stored lines that files replace which came before under the same names, with other content.

    A file whose dates lie, store by store, among those of the earlier content is a correction and replaces all of it. A
    file with other dates too is a later export under the same name: it replaces its own dates, from the first to the
    last of each store. Content that shares no store and date with it stays.
    """
    new = sources.select("name", new="source", low="first_hour_local", high="last_hour_local")
    earlier = stored.filter(pl.col("taken_back_utc").is_null()).join(new, on="name").filter(
        (pl.col("source") != pl.col("new"))
        & (pl.col("first_hour_local").dt.date() <= pl.col("high").dt.date())
        & (pl.col("last_hour_local").dt.date() >= pl.col("low").dt.date())
    )  # fmt: skip
    old = _of_sources(lake, earlier)
    spans = lines.group_by(new="source", store_id="store_id").agg(SPAN)
    old_spans = old.group_by("source", "store_id").agg(SPAN)
    pairs = earlier.select("source", "new").join(spans, on="new")
    pairs = pairs.join(old_spans, on=["source", "store_id"], how="left", suffix="_held")
    meets = (pl.col("first") <= pl.col("last_held")) & (pl.col("last") >= pl.col("first_held"))
    within = (pl.col("first") >= pl.col("first_held")) & (pl.col("last") <= pl.col("last_held"))
    pairs = pairs.with_columns(
        meets=meets.fill_null(value=False).any().over("source", "new"),
        within=within.fill_null(value=False).all().over("source", "new"),
    ).filter("meets")
    corrected = old.join(pairs.filter("within"), on="source", how="semi")
    later = old.join(pairs.filter(~pl.col("within")), on=["source", "store_id"])
    later = later.filter(pl.col("date").is_between("first", "last")).select(old.columns)
    return pl.concat([corrected, later]).unique(maintain_order=True)


def _lessened(
    stored: pl.DataFrame, sources: pl.DataFrame, other_lines: pl.DataFrame
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The rows of the other sources that lose lines, and those that lose all of them."""
    lost_counts = other_lines.group_by("source").agg(lost=pl.len().cast(pl.Int64))
    losing = stored.join(lost_counts, on="source").join(sources, on="source", how="anti")
    remaining = losing.with_columns(pl.col("lines_kept") - pl.col("lost"))
    return remaining.filter(pl.col("lines_kept") > 0), tuple(remaining.filter(pl.col("lines_kept") <= 0)["source"])


def _named(stored: pl.DataFrame, name: str) -> pl.DataFrame:
    """The one source of that name or hash. Raises InputError."""
    path = pl.col("name")
    by_hash = pl.col("sha256").str.starts_with(name) if len(name) >= LEAST_CHARACTERS else pl.lit(value=False)
    exact_matches = stored.filter((path == name) | (path == str(Path(name).absolute())) | by_hash)
    matches = exact_matches if exact_matches.height else stored.filter(path.str.ends_with(f"/{name}"))
    active_rows = matches.filter(pl.col("taken_back_utc").is_null())
    if active_rows.height == 1:
        return active_rows
    if active_rows.height:
        hashes = ", ".join(f"{row['source']} ({row['name']})" for row in active_rows.head(5).to_dicts())
        raise InputError(f"{name!r} names {active_rows.height} sources; give the hash of one: {hashes}")
    if matches.height:
        at = str(matches["taken_back_utc"].max())[:16]
        raise InputError(f"{name!r} was taken back at {at} UTC; `daypart sources` lists what is held")
    raise InputError(f"{name!r} names no source; `daypart sources` lists the {stored.height} that there are")


def _gone_before(lake: Lake, source: Mapping[str, Any], line_count: int) -> str | None:
    """The date before which lines of a source are removed; null where it has them all."""
    if line_count >= source["lines_kept"]:
        return None
    oldest = min(table_upkeep.partitions(lake, "pos_lines"), default=None)
    return None if oldest is None else str(oldest.isoformat())
