"""Files become rows of the lake: read, conformed or refused, and upserted in one commit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from daypart.features.errors import InputError, SchemaError, ValueRefused
from daypart.features.pos.duplicates import LINE, repeated_lines
from daypart.features.pos.lines import read_lines
from daypart.features.pos.mapping import Mapping
from daypart.features.pos.store_hours import count_lines, without_prices
from daypart.features.tables.conform import conform, says_zone
from daypart.features.tables.parsing import clean
from daypart.features.tables.schemas import DEMAND, STORES, TABLES, Table
from daypart.features.tables.spellings import notices
from daypart.flows.config import toml_files
from daypart.flows.files import refused_rows, table_files
from daypart.flows.files.pos_files import read_export
from daypart.flows.home import Home
from daypart.flows.ingest import pos_lines, pos_sources
from daypart.flows.ingest import time_zone_correction as moves
from daypart.flows.ingest.day_starts import settle
from daypart.flows.ingest.ingest_report import IngestOptions, IngestReport
from daypart.flows.ingest.pos_report import PosReport, summary_lines
from daypart.flows.lake.lake import Lake, UpsertResult
from daypart.flows.lake.staging import Staging
from daypart.forecasting.progress import part, track

READING_SHARE = 0.7
"""Share of an ingest's progress that reading and checking its files makes up."""


def ingest_table(
    home: Home,
    table: str,
    paths: Sequence[Path | str],
    options: IngestOptions = IngestOptions(),  # noqa: B008 - frozen
    now: datetime | None = None,
) -> IngestReport:
    """Checks files of one canonical table and upserts their rows in one commit.

    Later files win over earlier ones as if ingested one by one. An empty cell clears the stored value; a column that a
    file lacks leaves it as it is. Nothing is written where any row is refused, unless `skip_bad`; the home's `refused/`
    lists faults either way. Another time zone of a store that has rows is refused too, unless `resettle`, which moves
    its rows first (`time_zone_correction`). Demand of hours later than `now`, where that is given, is refused. What
    comes in may show that a store trades past midnight (`day_starts.settle`). Raises InputError for what is wrong with
    names, files and columns, ValueRefused for rows.
    """
    if table not in TABLES:
        raise InputError(f"unknown table {table!r}; expected one of {', '.join(TABLES)}, pos, or all")
    spec, files = TABLES[table], table_files.find(paths)
    zones = _zones(home.lake) if spec is not STORES else None
    faults, good, collapsed, messages = [], 0, 0, []
    stores_by_clock: dict[str, set[str]] = {"local": set(), "utc": set()}
    with Staging(table, home.path) as staged:
        for path in track(part(options.progress, 0.0, READING_SHARE), files, lambda path: f"read {path.name}"):
            frame = table_files.read(path)
            with _named(path):
                conformed = conform(frame, spec, zones, options.changes, now if spec is DEMAND else None)
            if spec.clocks:
                stores_by_clock[_clock_of(frame, spec)].update(conformed.rows["store_id"].unique())
            staged.add(conformed.rows.select(conformed.present_columns))
            faults.append(conformed.refused.select(pl.lit(str(path)).alias("file"), pl.all()))
            good, collapsed = good + conformed.rows.height, collapsed + conformed.collapsed
        options.progress(f"upsert {good:,} rows into {table}", READING_SHARE)
        cells = pl.concat(faults)
        listed = _refuse(home.lake, table, cells, options.skip_bad and good > 0)
        if spec is STORES:
            messages = _move_stores(home.lake, staged, options.resettle)
        for clock, stores in stores_by_clock.items():
            if stores:
                moves.note_clocks(home.lake, table, sorted(stores), clock)
        report = _report(table, files, home.lake.upsert(table, staged), cells, listed)
    derived = _derived(home.lake) if spec is STORES else []
    starts = settle(home.lake, home.settings.day_starts) if table in ("stores", "hours", "demand") else []
    return replace(report, rows_collapsed=collapsed, summary=[*messages, *derived, *starts])


def ingest_pos(
    home: Home,
    paths: Sequence[Path | str],
    mapping_path: Path | str,
    options: IngestOptions = IngestOptions(),  # noqa: B008 - frozen
    now: datetime | None = None,
) -> IngestReport:
    """Keep the point-of-sale lines that count, by file, and make demand the sum of all kept lines in their hours.

    A store-hour's lines may lie in several files, and so may a ticket's, whether they are ingested together or apart. A
    line that a file ingested before holds too counts once. A line that two files of one call hold, as
    `duplicates.repeated_lines` has it, is an InputError. A file again, or its name with new content, replaces
    what it brought (`pos_sources.arrival`); with `replace_hours` its store-hours replace all earlier lines
    of these hours. `now` is when the files are ingested. Options of clocks come before the mapping's. What is
    refused, written and raised is otherwise as in `ingest_table`.
    """
    mapping, files, zones = (
        read_mapping(mapping_path).with_changes(options.changes),
        table_files.find(paths),
        _zones(home.lake),
    )
    if zones is None:
        raise InputError("pos: no store is known: ingest stores first")
    reading = track(part(options.progress, 0.0, READING_SHARE), files, lambda path: f"read {path.name}")
    parts = [read_export(path, mapping) for path in reading]
    if any(frame.schema != parts[0].schema for frame in parts):
        raise InputError("pos: the files' columns are of different types; ingest CSV and Parquet apart")
    options.progress("count tickets by store and hour", READING_SHARE)
    starts = pl.Series([0, *(frame.height for frame in parts)]).cum_sum()[:-1]
    lines = read_lines(pl.concat(parts), mapping, zones, now)
    kept_lines = _by_file(lines.rows, starts)
    _refuse_repeats(kept_lines, files, mapping)
    counted = count_lines(lines, mapping.has_prices)
    conformed = conform(counted.demand, DEMAND, zones) if counted.demand.height else None
    refused = _by_file(counted.refused, starts)
    cells = refused.select(pl.Series("file", list(map(str, files))).gather(refused["file"]), pl.exclude("file"))
    listed = _refuse(home.lake, "pos", cells, options.skip_bad and conformed is not None)
    if conformed is None:
        raise InputError(f"pos: no line of {len(files)} files counts; check the mapping's drop rules")
    if conformed.refused.height:
        _, column, value, reason = conformed.refused.row(0)
        raise ValueRefused(f"pos: {column} {value} {reason}; drop its lines", conformed.refused)
    read = [frame.filter(pl.any_horizontal(pl.all().is_not_null())).height for frame in map(clean, parts)]
    kept_lines = kept_lines if mapping.has_prices else without_prices(kept_lines)
    described = pos_sources.described(files, kept_lines, read, mapping, now or datetime.now(UTC))
    options.progress("add the lines to what earlier files hold", 0.85)
    upserted, line_report = _keep(home.lake, described, kept_lines, mapping, options.replace_hours)
    report = _report("demand", files, upserted, cells, listed)
    summary = [*summary_lines(counted.summary), *line_report.lines(), *settle(home.lake, home.settings.day_starts)]
    return replace(report, summary=summary, pos={**counted.summary.as_dict(), **asdict(line_report)})


def _keep(
    lake: Lake, described: pl.DataFrame, kept_lines: pl.DataFrame, mapping: Mapping, replace_hours: bool
) -> tuple[UpsertResult, PosReport]:
    """Stores the lines of files, and with them demand; what became of its rows, and of the lines of other files."""
    with pos_lines.writing(lake) as finished:
        change = pos_sources.arrival(lake, described, kept_lines, replace_hours)
        demand = pos_lines.apply(lake, change)
    names = dict(pos_lines.stored_sources(lake).select("source", "name").iter_rows())
    report = replace(PosReport.from_changes(described, change, demand, names, mapping), finished=finished)
    return UpsertResult(demand.taken, demand.replaced, demand.unchanged, demand.version), report


def _derived(lake: Lake) -> list[str]:
    """What the stores leave to be derived from their country, in a few lines."""
    return notices(lake.scan("stores").collect())


def read_mapping(path: Path | str) -> Mapping:
    """The mapping in a TOML file. Raises InputError, in one line, for a file or a setting that is wrong."""
    loaded = toml_files.load(Path(path), "a mapping such as the README's")
    if loaded is None:
        raise InputError(f"{path}: no such mapping file; check the path")
    try:
        return Mapping.from_settings(loaded[1])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _zones(lake: Lake) -> pl.DataFrame | None:
    """One row (store_id, timezone) per known store; null where stores were never ingested."""
    return lake.scan("stores").select("store_id", "timezone").collect() if lake.exists("stores") else None


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the file in the error of what is wrong with its columns."""
    try:
        yield
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from None


def _clock_of(frame: pl.DataFrame, table: Table) -> str:
    """The clock by which a file's rows come: `utc` where only that says when, or local times carry their zone."""
    local = f"{table.clocks[0]}_local"
    return "utc" if local not in frame.columns or says_zone(frame[local]) else "local"


def _move_stores(lake: Lake, staged: Staging, resettle: bool) -> list[str]:
    """Moves the rows of stores whose time zone the file corrects, or refuses; what was done, for people."""
    stores = pl.concat([part.select("store_id", "timezone") for part in staged])
    moved = moves.moved_stores(lake, stores)
    if moved.is_empty():
        return []
    if not resettle:
        moves.refuse(moved)
    with pos_lines.writing(lake):
        return moves.resettle(lake, moved)


def _by_file(rows: pl.DataFrame, starts: pl.Series) -> pl.DataFrame:
    """The rows with the number of their `file`, and `row` counted in it; `starts` are the rows before each file."""
    file = starts.search_sorted(rows["row"] - 1, side="right") - 1
    return rows.with_columns(pl.col("row") - starts.gather(file), file=file)


def _refuse_repeats(kept_lines: pl.DataFrame, files: Sequence[Path], mapping: Mapping) -> None:
    """Raises InputError where two files hold the same line, with the files and the first such line."""
    repeated = repeated_lines(kept_lines)
    if repeated.is_empty():
        return
    line = repeated.row(0, named=True)
    equal = repeated.join(repeated.head(1), on=LINE, how="semi", nulls_equal=True).unique("file", maintain_order=True)
    example = " and ".join(f"row {row} of {files[file]}" for row, file in equal.select("row", "file").rows()[:2])
    paths = [str(files[file]) for file in repeated["file"].unique().sort()]
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    count = repeated.select(LINE).n_unique()
    raise InputError(
        f"pos: {count} {'line is' if count == 1 else 'lines are'} in more than one of {', '.join(paths[:5])}{more} and "
        f"would count twice, such as {mapping.columns.ticket_label} {line['ticket']} of store {line['store_id']} at "
        f"{line['at_local']}: {example}; give each line once, and all lines of a ticket that has equal ones in one file"
    )


def _refuse(lake: Lake, name: str, cells: pl.DataFrame, skip_bad: bool) -> Path | None:
    """Writes the refused cells down, and raises ValueRefused for them unless they may be skipped."""
    if cells.is_empty():
        return None
    listed = refused_rows.write(lake.root.parent / "refused", name, cells)
    if not skip_bad:
        raise refused_rows.error(name, cells, listed)
    return listed


def _report(
    table: str, files: list[Path], upsert: UpsertResult, cells: pl.DataFrame, listed: Path | None
) -> IngestReport:
    return IngestReport(
        table=table,
        files=[str(path) for path in files],
        rows_taken=upsert.inserted,
        rows_replaced=upsert.replaced,
        rows_unchanged=upsert.unchanged,
        rows_collapsed=0,
        rows_refused=refused_rows.count_rows(cells),
        refused=refused_rows.count_reasons(cells),
        refused_file=str(listed) if listed else None,
        version=upsert.version,
    )
