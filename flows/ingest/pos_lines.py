"""Stored lines of a point of sale: what changes them, and the demand that is always their sum.

A change is three commits: the lines, whose commit says what is to follow; the demand of the hours that they touch; and
the sources. A process that is killed in between leaves what `repair` finishes, which every later change does first.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import polars as pl

from daypart.features.errors import NotKnownError
from daypart.features.pos.recount import Recount, recount
from daypart.flows.files.lock import file_lock
from daypart.flows.lake.edits import Edit, edit
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import LAKE, POS_SOURCE_COLUMNS

ENTRY = "pos"
"""The name, in a commit of `pos_lines`, of what is to follow on it."""
DAY = timedelta(days=1)
BLOCK_LINES = 500_000
"""So many lines of a change are counted at a time, by blocks of stores."""
UNCHANGING = ("lines_version", "ingested_utc")
"""Columns of a source in which it may differ although nothing of it changed."""


@dataclass(frozen=True)
class LineChange:
    """Lines that come and stored lines that go; rows of sources since, and sources that hold nothing any more.

    `sources` lacks lines_version. `lines` are all lines of the change, with those that are stored already.
    """

    added: pl.DataFrame
    removed: pl.DataFrame
    sources: pl.DataFrame
    lines: pl.DataFrame
    forgotten: tuple[str, ...] = ()

    def entry(self) -> dict[str, Any]:
        """What is to follow on the commit of the lines, as JSON takes it."""
        rows = self.sources.with_columns(pl.selectors.datetime().dt.to_string("iso")).to_dicts()
        touched = {*self.lines["source"], *self.removed["source"], *self.sources["source"]}
        dates = pl.concat([self.lines["date"], self.removed["date"]]).unique().sort()
        stores = pl.concat([self.lines["store_id"], self.removed["store_id"]]).unique().sort()
        return {
            **{"sources": rows, "forgotten": list(self.forgotten), "touched": sorted(touched)},
            **{"dates": [day.isoformat() for day in dates], "stores": stores.to_list()},
            "lines": self.lines.height + self.removed.height,
        }


@dataclass(frozen=True)
class DemandChange:
    """What became of demand: rows new, replaced and there already, and the table's version since.

    `emptied` counts the hours that went as no file holds a line of them. `unexplained` counts the replaced rows of
    hours that had no stored line before: of an hourly table, or of lines that are not kept any more. `shared` are the
    lines of the change that another source holds too, as in `daypart.features.pos.recount.Recount`.
    """

    taken: int
    replaced: int
    unchanged: int
    emptied: int
    unexplained: int
    version: int
    shared: pl.DataFrame = field(repr=False)


@contextmanager
def writing(lake: Lake) -> Iterator[int]:
    """Hold the lock of those who change lines, after `repair`; how many changes that finished."""
    with file_lock(lake.root.parent / "pos.lock"):
        yield repair(lake)


def repair(lake: Lake) -> int:
    """Finish the changes whose lines were committed and whose demand or sources were not; how many there were."""
    newest = lake.version("pos_lines")
    settled = lake.scan_or_empty("pos_sources").select(pl.col("lines_version").max()).collect().item()
    last = -1 if settled is None else settled
    if newest is None or newest <= last:
        return 0
    unfinished = []
    for commit in lake.commits("pos_lines"):
        if commit["version"] <= last:
            break
        if ENTRY in commit:
            unfinished.append((commit["version"], json.loads(commit[ENTRY])))
    for version, entry in reversed(unfinished):
        _follow(lake, entry, version - 1, version)
    return len(unfinished)


def apply(lake: Lake, change: LineChange) -> DemandChange:
    """Commit a change of lines, then demand and sources. For use in `writing`."""
    entry = change.entry()
    if change.added.is_empty() and change.removed.is_empty():
        version = lake.version("pos_lines")
        return _follow(lake, entry, version, version)
    metadata = {"change": "lines", ENTRY: json.dumps(entry)}
    version = edit(lake, "pos_lines", lambda _: Edit(change.removed, change.added), metadata)
    assert version is not None
    return _follow(lake, entry, version - 1, version)


def stored_lines(lake: Lake, rows: pl.Expr, version: int | None = None) -> pl.DataFrame:
    """The stored lines that a condition holds for; name dates in it, so that only their files are read."""
    if not lake.exists("pos_lines"):
        return LAKE["pos_lines"].empty()
    return lake.scan("pos_lines", version).filter(rows).collect()


def stored_sources(lake: Lake) -> pl.DataFrame:
    """One row per source that was ever ingested, the latest first."""
    return lake.scan_or_empty("pos_sources").collect().sort("ingested_utc", "name", descending=[True, False])


def _follow(lake: Lake, entry: Mapping[str, Any], before: int | None, version: int | None) -> DemandChange:
    """Bring demand and sources to what the lines of a version are."""
    size = -(-len(entry["stores"]) // (1 + entry["lines"] // BLOCK_LINES)) or 1
    blocks = [entry["stores"][first : first + size] for first in range(0, len(entry["stores"]), size)]
    counted = [_recounted(lake, {**entry, "stores": stores}, before, version) for stores in blocks or [[]]]
    demand_change = _write_demand(lake, Recount.concat(counted))
    _write_sources(lake, entry, before, version)
    return demand_change


def _recounted(lake: Lake, entry: Mapping[str, Any], before: int | None, version: int | None) -> Recount:
    """The touched hours, from as many dates around the changed ones as their tickets reach."""
    dates = frozenset(map(date.fromisoformat, entry["dates"]))
    window, step = dates | {day + DAY for day in dates} | {day - DAY for day in dates}, 1
    while True:
        earlier, later = (_window(lake, entry, dates, window, number) for number in (before, version))
        counted = recount(earlier, later, window)
        if not counted.reach:
            return counted
        window |= {day + n * DAY for day in counted.reach for n in range(-step, step + 1)}
        step *= 2


def _window(
    lake: Lake, entry: Mapping[str, Any], dates: Collection[date], window: Collection[date], version: int | None
) -> pl.DataFrame:
    lines = LAKE["pos_lines"].empty()
    if version is not None and version >= 0:
        condition = pl.col("date").is_in(sorted(window)) & pl.col("store_id").is_in(entry["stores"])
        try:
            lines = stored_lines(lake, condition, version)
        except NotKnownError:  # `daypart maintain` removed that version
            lines = LAKE["pos_lines"].empty()
    changed = pl.col("source").is_in(entry["touched"]) & pl.col("date").is_in(sorted(dates))
    return lines.with_columns(changed=changed)


def _write_demand(lake: Lake, counted: Recount) -> DemandChange:
    hours = pl.concat([counted.demand.select("store_id", "hour_utc"), counted.emptied.select("store_id", "hour_utc")])
    counts: dict[str, int] = {}

    def plan(stored: pl.LazyFrame) -> Edit:
        span = pl.col("hour_utc").is_between(pl.lit(hours["hour_utc"].min()), pl.lit(hours["hour_utc"].max()))
        present = stored.filter(span).join(hours.lazy(), on=["store_id", "hour_utc"], how="semi").collect()
        rows = _demand_rows(counted, present)
        columns = [name for name in rows.columns if name != "counted"]
        changed = rows.join(present, on=columns, how="anti", nulls_equal=True)
        key = ["store_id", "hour_utc"]
        replaced = present.join(changed, on=key, how="semi")
        emptied = present.join(counted.emptied, on=key, how="semi")
        counts.update(
            taken=changed.height - replaced.height,
            replaced=replaced.height,
            unchanged=rows.height - changed.height,
            emptied=emptied.height,
            unexplained=changed.filter(~pl.col("counted")).join(present, on=key, how="semi").height,
        )
        return Edit(pl.concat([replaced, emptied]), changed.select(columns))

    version = edit(lake, "demand", plan, {"change": "lines"})
    return DemandChange(**counts, version=-1 if version is None else version, shared=counted.shared)


def _demand_rows(counted: Recount, present: pl.DataFrame) -> pl.DataFrame:
    """The touched hours as demand has them; lines without prices leave the sales that are stored."""
    stored = present.select("store_id", "hour_utc", stored_sales="sales")
    joined = counted.demand.join(stored, on=["store_id", "hour_utc"], how="left", validate="1:1")
    sales = pl.when("gives_sales").then("sales").otherwise("stored_sales")
    return joined.select("store_id", "hour_local", "hour_utc", "orders", sales.alias("sales"), "counted")


def _write_sources(lake: Lake, entry: Mapping[str, Any], before: int | None, version: int | None) -> None:
    schema = {name: dtype for name, dtype in POS_SOURCE_COLUMNS.items() if name != "lines_version"}
    texts = {name: pl.String() if dtype == pl.Datetime else dtype for name, dtype in schema.items()}
    moments = [name for name, dtype in schema.items() if dtype == pl.Datetime]
    rows = pl.DataFrame(entry["sources"], texts).with_columns(pl.col(moments).str.to_datetime(time_unit="us"))
    rows = rows.with_columns(lines_version=pl.lit(-1 if version is None else version, pl.Int64)).select(
        *POS_SOURCE_COLUMNS
    )

    def plan(stored: pl.LazyFrame) -> Edit:
        ids = [*rows["source"], *entry["forgotten"]]
        present = stored.filter(pl.col("source").is_in(ids)).collect()
        same = [name for name in POS_SOURCE_COLUMNS if name not in UNCHANGING]
        if before == version and rows.join(present, on=same, how="anti", nulls_equal=True).is_empty():
            return Edit(present.clear(), rows.clear())
        return Edit(present, rows)

    edit(lake, "pos_sources", plan, {"change": "lines"})
