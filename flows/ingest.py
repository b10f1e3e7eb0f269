"""Files become rows of the lake: read, conformed or refused, and upserted in one commit."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from features.conform import Conformed, conform
from features.errors import InputError, SchemaError, ValueRefused
from features.mapping import Mapping
from features.pos import PosDemand, Summary, lines_to_demand
from features.tables import DEMAND, STORES, TABLES, Table
from flows.adapters import files, refusals, toml
from flows.adapters.lake import Lake
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


def ingest_table(lake: Lake, table: str, paths: Sequence[Path | str], skip_bad: bool = False) -> IngestReport:
    """Checks files of one canonical table and upserts their rows in one commit.

    Later files win over earlier ones as if ingested one by one. An empty cell clears the stored value; a column that a
    file lacks leaves it as it is. Where any row is refused nothing is written, unless `skip_bad`; the home's
    `refused/` lists faults either way. Raises InputError for what is wrong with names, files and columns,
    ValueRefused for rows.
    """
    if table not in TABLES:
        raise InputError(f"unknown table {table!r}; expected one of {', '.join(TABLES)}, or pos")
    spec, found = TABLES[table], files.find(paths)
    zones = _zones(lake) if spec is not STORES else None
    faults, good, collapsed = [], 0, 0
    with Staging(table, lake.root.parent) as staged:
        for path in found:
            each = _conform_file(path, spec, zones)
            staged.add(each.rows.select(each.given))
            faults.append(each.refused.select(pl.lit(str(path)).alias("file"), pl.all()))
            good, collapsed = good + each.rows.height, collapsed + each.collapsed
        cells = pl.concat(faults)
        listed = _refuse(lake, table, cells, skip_bad and good > 0)
        report = _upsert(lake, table, found, staged, cells, listed)
    return replace(report, rows_collapsed=collapsed)


def ingest_pos(
    lake: Lake, paths: Sequence[Path | str], mapping_path: Path | str, skip_bad: bool = False
) -> IngestReport:
    """Counts the point-of-sale lines of all files together and upserts them as demand in one commit.

    A store-hour's lines may lie in several files, so files that overlap would count twice and are an
    InputError. What is refused, written and raised is otherwise as in `ingest_table`.
    """
    mapping, found, zones = read_mapping(mapping_path), files.find(paths), _zones(lake)
    if zones is None:
        raise InputError("pos: no store is known: ingest stores first")
    parts = [_read_lines(path, mapping) for path in found]
    _refuse_overlap(parts, found, mapping)
    counted = lines_to_demand(pl.concat(parts), mapping, zones)
    conformed = conform(counted.demand, DEMAND, zones) if counted.demand.height else None
    cells = _by_file(counted, parts, found)
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


def _conform_file(path: Path, table: Table, zones: pl.DataFrame | None) -> Conformed:
    frame = files.read(path)
    try:
        return conform(frame, table, zones)
    except SchemaError as error:
        raise SchemaError(f"{path}: {error}") from None


def _read_lines(path: Path, mapping: Mapping) -> pl.DataFrame:
    frame = files.read(path, mapping.delimiter, mapping.encoding)
    absent = [name for name in mapping.named if name not in frame.columns]
    if absent:
        given = ", ".join(frame.columns)
        raise SchemaError(f"{path}: no column {', '.join(absent)}, which the mapping names; it has {given}")
    if frame.is_empty():
        raise SchemaError(f"{path}: found no lines, expected at least one")
    return frame.select(mapping.named)


def _refuse_overlap(parts: Sequence[pl.DataFrame], found: Sequence[Path], mapping: Mapping) -> None:
    """Raises InputError where files share tickets; one a file may be cut in two by the end of the file."""
    if any(part.schema != parts[0].schema for part in parts):
        raise InputError("pos: the files' columns are of different types; ingest CSV and Parquet apart")
    columns = mapping.columns
    of_ticket = [n for n in (columns.store, columns.date, columns.time, columns.timestamp, columns.ticket) if n]
    tickets = pl.concat([part.select(of_ticket).unique() for part in parts])
    shared = tickets.filter(tickets.is_duplicated()).unique()
    if shared.height >= len(found):
        example = shared[columns.ticket].cast(pl.String).sort()[0]
        raise InputError(
            f"pos: {shared.height} tickets are in more than one of {len(found)} files and would count twice, "
            f"such as {columns.ticket} {example}; give each line once"
        )


def _by_file(counted: PosDemand, parts: Sequence[pl.DataFrame], found: Sequence[Path]) -> pl.DataFrame:
    """The refused cells with their file and their row in it."""
    heights = pl.Series([part.height for part in parts])
    starts = pl.DataFrame({"file": list(map(str, found)), "before": heights.cum_sum() - heights})
    placed = counted.refused.join_asof(
        starts.with_columns(row=pl.col("before") + 1), on="row", strategy="backward", check_sortedness=False
    )
    return placed.select("file", pl.col("row") - pl.col("before"), "column", "value", "reason")


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
