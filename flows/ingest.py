"""Files become rows of the lake: read, conformed or refused, and upserted in one commit."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from features.clock import NO_CHOICE, ClockChanges
from features.conform import Conformed, conform
from features.errors import InputError, SchemaError, ValueRefused
from features.lines import read_lines
from features.mapping import Mapping
from features.pos import Summary, count_lines
from features.repeats import LINE, repeated_lines
from features.tables import DEMAND, STORES, TABLES, Table
from flows.adapters import files, refusals, toml
from flows.adapters.lake import Lake
from flows.adapters.pos_files import read_export
from flows.adapters.staging import Staging


@dataclass(frozen=True)
class IngestReport:
    """What came of one call.

    Rows are the table's: new, replacing an earlier one, or there already. `rows_collapsed` repeat another of
    their file in full. `rows_refused` are rows or lines with a fault, `refused` counts the faults.
    `version` is the table's Delta version since. `pos` is the summary of point-of-sale lines.
    """

    table: str
    files: list[str]
    rows_taken: int
    rows_replaced: int
    rows_unchanged: int
    rows_collapsed: int
    rows_refused: int
    refused: dict[str, int]
    refused_file: str | None
    version: int
    summary: list[str] = field(default_factory=list)
    pos: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def ingest_table(
    lake: Lake,
    table: str,
    paths: Sequence[Path | str],
    skip_bad: bool = False,
    changes: ClockChanges = NO_CHOICE,
) -> IngestReport:
    """Checks files of one canonical table and upserts their rows in one commit.

    Later files win over earlier ones as if ingested one by one. An empty cell clears the stored value; a column that a
    file lacks leaves it as it is. Local times that a store's clock shows twice or never are read as `changes` say, file
    by file. Where any row is refused nothing is written, unless `skip_bad`; the home's `refused/` lists faults either
    way. Raises InputError for what is wrong with names, files and columns, ValueRefused for rows.
    """
    if table not in TABLES:
        raise InputError(f"unknown table {table!r}; expected one of {', '.join(TABLES)}, or pos")
    spec, found = TABLES[table], files.find(paths)
    zones = _zones(lake) if spec is not STORES else None
    faults, good, collapsed = [], 0, 0
    with Staging(table, lake.root.parent) as staged:
        for path in found:
            each = _conform_file(path, spec, zones, changes)
            staged.add(each.rows.select(each.given))
            faults.append(each.refused.select(pl.lit(str(path)).alias("file"), pl.all()))
            good, collapsed = good + each.rows.height, collapsed + each.collapsed
        cells = pl.concat(faults)
        listed = _refuse(lake, table, cells, skip_bad and good > 0)
        report = _upsert(lake, table, found, staged, cells, listed)
    return replace(report, rows_collapsed=collapsed)


def ingest_pos(
    lake: Lake,
    paths: Sequence[Path | str],
    mapping_path: Path | str,
    skip_bad: bool = False,
    changes: ClockChanges = NO_CHOICE,
) -> IngestReport:
    """Counts the point-of-sale lines of all files together and upserts them as demand in one commit.

    A store-hour's lines may lie in several files, and so may a ticket's. A line that two files hold, as
    `features.repeats.repeated_lines` has it, is an InputError. `changes` come before the choices of the mapping.
    What is refused, written and raised is otherwise as in `ingest_table`.
    """
    mapping, found, zones = read_mapping(mapping_path).with_changes(changes), files.find(paths), _zones(lake)
    if zones is None:
        raise InputError("pos: no store is known: ingest stores first")
    parts = [read_export(path, mapping) for path in found]
    if any(part.schema != parts[0].schema for part in parts):
        raise InputError("pos: the files' columns are of different types; ingest CSV and Parquet apart")
    starts = pl.Series([0, *(part.height for part in parts)]).cum_sum()[:-1]
    lines = read_lines(pl.concat(parts), mapping, zones)
    _refuse_repeats(_by_file(lines.kept, starts), found, mapping)
    counted = count_lines(lines, mapping.priced)
    conformed = conform(counted.demand, DEMAND, zones) if counted.demand.height else None
    refused = _by_file(counted.refused, starts)
    cells = refused.select(pl.Series("file", list(map(str, found))).gather(refused["file"]), pl.exclude("file"))
    listed = _refuse(lake, "pos", cells, skip_bad and conformed is not None)
    if conformed is None:
        raise InputError(f"pos: no line of {len(found)} files counts; check the mapping's drop rules")
    if conformed.refused.height:
        _, column, value, reason = conformed.refused.row(0)
        raise ValueRefused(f"pos: {column} {value} {reason}; drop its lines", conformed.refused)
    report = _upsert(lake, "demand", found, conformed.rows.select(conformed.given), cells, listed)
    return replace(report, summary=_told(counted.summary), pos=counted.summary.as_dict())


def read_mapping(path: Path | str) -> Mapping:
    """The mapping in a TOML file. Raises InputError, in one line, for a file or a setting that is wrong."""
    loaded = toml.load(Path(path), "a mapping such as the README's")
    if loaded is None:
        raise InputError(f"{path}: no such mapping file; check the path")
    try:
        return Mapping.of(loaded[1])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _zones(lake: Lake) -> pl.DataFrame | None:
    """One row (store_id, timezone) per known store; null where stores were never ingested."""
    return lake.scan("stores").select("store_id", "timezone").collect() if lake.exists("stores") else None


def _conform_file(path: Path, table: Table, zones: pl.DataFrame | None, changes: ClockChanges) -> Conformed:
    frame = files.read(path)
    try:
        return conform(frame, table, zones, changes)
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from None


def _by_file(rows: pl.DataFrame, starts: pl.Series) -> pl.DataFrame:
    """The rows with the number of their `file`, and `row` counted in it; `starts` are the rows before each file."""
    file = starts.search_sorted(rows["row"] - 1, side="right") - 1
    return rows.with_columns(pl.col("row") - starts.gather(file), file=file)


def _refuse_repeats(kept: pl.DataFrame, found: Sequence[Path], mapping: Mapping) -> None:
    """Raises InputError where two files hold the same line, with the files and the first such line."""
    repeated = repeated_lines(kept)
    if repeated.is_empty():
        return
    line = repeated.row(0, named=True)
    equal = repeated.join(repeated.head(1), on=LINE, how="semi", nulls_equal=True).unique("file", maintain_order=True)
    example = " and ".join(f"row {row} of {found[file]}" for row, file in equal.select("row", "file").rows()[:2])
    paths = [str(found[file]) for file in repeated["file"].unique().sort()]
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
    listed = refusals.write(lake.root.parent / "refused", name, cells)
    if not skip_bad:
        raise refusals.error(name, cells, listed)
    return listed


def _upsert(
    lake: Lake, table: str, found: list[Path], rows: pl.DataFrame | Staging, cells: pl.DataFrame, listed: Path | None
) -> IngestReport:
    done = lake.upsert(table, rows)
    return IngestReport(
        table=table,
        files=[str(path) for path in found],
        rows_taken=done.taken,
        rows_replaced=done.replaced,
        rows_unchanged=done.unchanged,
        rows_collapsed=0,
        rows_refused=refusals.count_rows(cells),
        refused=refusals.count_reasons(cells),
        refused_file=str(listed) if listed else None,
        version=done.version,
    )


def _told(summary: Summary) -> list[str]:
    """The summary in a few lines for people."""
    dropped = "".join(f", {count:,} dropped as {rule}" for rule, count in summary.lines_dropped.items() if count)
    lines = [
        f"{summary.lines_read:,} lines read{dropped}",
        f"{summary.tickets_kept:,} orders of {summary.tickets:,} tickets",
        f"{summary.first_day} to {summary.last_day}, {summary.open_days:,} open store-days",
    ]
    if summary.sales_before_clipping is None or summary.clipped_sales is None:
        return [*lines, "no prices, so no sales"]
    lines.append(f"sales {summary.sales_before_clipping:,.2f} with refunds net")
    if summary.clipped_hours:
        lines.append(f"{summary.clipped_hours:,} store-hours below 0 clipped by {summary.clipped_sales:,.2f}")
    return lines
