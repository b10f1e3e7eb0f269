"""The one way into the canonical tables: a frame leaves with the table's columns, or its rows are refused."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from daypart.features import clock
from daypart.features.clock import NO_CHOICE, ClockChanges, RepeatedHour
from daypart.features.errors import InputError, SchemaError
from daypart.features.tables import checks, keys, parsing, spellings
from daypart.features.tables.checks import RAW
from daypart.features.tables.columns import match, moment
from daypart.features.tables.schemas import STORES, Column, Table


@dataclass(frozen=True)
class ConformedTable:
    """A frame as a canonical table.

    `rows` has exactly the table's schema, in the order of the frame. `refused` has one row per cell at fault,
    sorted by row. `collapsed` counts rows that repeat an earlier one in full. `present_columns` are the
    table's columns that the frame has, on either clock; the others are null in all rows.
    """

    rows: pl.DataFrame
    refused: pl.DataFrame
    collapsed: int
    present_columns: tuple[str, ...]


def conform(
    frame: pl.DataFrame,
    table: Table,
    zones: pl.DataFrame | None = None,
    changes: ClockChanges = NO_CHOICE,
    now: datetime | None = None,
) -> ConformedTable:
    """Return the frame as the canonical table; cells may be text or typed.

    `zones` has one row (store_id, timezone) per known store; tables with a store_id need it. A row with
    any fault is refused as a whole. Cells of a list are kept in one spelling (`spellings.normalize_spellings`).
    `*_utc` settles a moment, and `*_local` beside it must agree; a `*_local` alone that the store's clock shows twice
    or never is read as `changes` say. Conforming conformed rows changes nothing. With `now`, UTC, a row of a later
    moment is at fault. Raises SchemaError for a column that is missing, unknown or of a type that cannot be, and for a
    frame without rows.
    """
    spelled = spellings.normalize_spellings(parsing.clean(frame), table)
    columns = match(spelled, table)
    arrived = spelled.with_row_index("row", 1).cast({"row": pl.Int64})
    arrived = arrived.filter(pl.any_horizontal(pl.exclude("row").is_not_null()))
    if arrived.is_empty():
        raise SchemaError(f"{table.name}: found no rows, expected at least one")
    arrived, columns = _with_instants(arrived, columns)
    column_names = [column.name for column in columns]
    settled = _settle(_with_zone(_parsed(arrived, columns), table, zones), table, column_names, changes)
    clocks = checks.clock_checks(table, column_names, changes.repeated_hour)
    ahead = checks.future_checks(table, column_names, now)
    reasons = (checks.cell_checks(columns), checks.row_checks(table, column_names, settled), clocks, ahead)
    refused = checks.refusals(settled, [check for group in reasons for check in group])
    absent = [pl.lit(None, c.dtype).alias(c.name) for c in table.columns if c.name not in settled.columns]
    accepted = settled.join(refused, on="row", how="anti", maintain_order="left").with_columns(absent)
    rows, clashes, collapsed = _collapse(accepted.select("row", *table.names), table)
    faults = pl.concat([refused, clashes]).sort("row", maintain_order=True)
    moments = {moment(name) for name in column_names}
    return ConformedTable(rows, faults, collapsed, tuple(n for n in table.names if moment(n) in moments))


def _with_instants(arrived: pl.DataFrame, columns: list[Column]) -> tuple[pl.DataFrame, list[Column]]:
    """Add `*_utc` where a `*_local` column has the instant too: by the zone of its type, or by an offset in its text.

    Text cells with an offset give the instant alone, and the store's clock is filled from it. Beside a `*_utc`
    column they are read without their offset: both must agree.
    """
    for column in columns:
        utc, dtype = f"{moment(column.name)}_utc", arrived.schema[column.name]
        if column.kind != "local" or not says_zone(arrived[column.name]):
            continue
        if utc not in arrived.columns:
            cell = pl.col(column.name)
            arrived = arrived.with_columns((cell if dtype != pl.String else _zoned(cell)).alias(utc))
            columns = [*columns, Column(utc, "utc", column.meaning, required=column.required)]
        elif dtype == pl.String:
            arrived = _with_agreeing(arrived, column.name, utc)
    return arrived, columns


def says_zone(values: pl.Series) -> bool:
    """Return whether a column of local times holds instants."""
    if isinstance(values.dtype, pl.Datetime):
        return values.dtype.time_zone is not None
    return values.dtype == pl.String and bool(values.str.contains(parsing.ZONED).any())


def _zoned(cell: pl.Expr) -> pl.Expr:
    return pl.when(cell.str.contains(parsing.ZONED)).then(cell)


def _with_agreeing(arrived: pl.DataFrame, local: str, utc: str) -> pl.DataFrame:
    """Fill empty cells of `utc` from offsets in `local`, whose cells then must equal the store's clock."""
    cell, instant = pl.col(utc), _zoned(pl.col(local))
    if arrived.schema[utc] != pl.String:
        cell, instant = parsing.read(Column(utc, "utc", ""), arrived.schema[utc]), parsing.read_instant(pl.col(local))
    shown = pl.col(local).str.replace(parsing.ZONE_AT_END, "")
    return arrived.with_columns(
        pl.coalesce(cell, instant).alias(utc), pl.when(instant.is_null()).then(local).otherwise(shown).alias(local)
    )


def _parsed(arrived: pl.DataFrame, columns: Iterable[Column]) -> pl.DataFrame:
    """Return each cell parsed, and beside it the cell as it arrived."""
    parsed = [parsing.read(column, arrived.schema[column.name]) for column in columns]
    return arrived.select("row", *parsed, *(pl.col(c.name).alias(RAW + c.name) for c in columns))


def _with_zone(read: pl.DataFrame, table: Table, zones: pl.DataFrame | None) -> pl.DataFrame:
    """Add `timezone` and `known_store` (null = unknown) to tables with a store_id."""
    if table is STORES or "store_id" not in table.names:
        return read
    if zones is None:
        raise InputError(f"{table.name}: no store is known: ingest stores first")
    if "store_id" not in read.columns:  # events of the whole chain
        return read.with_columns(timezone=pl.lit(None, pl.String), known_store=pl.lit(value=True))
    stores = zones.select("store_id", "timezone").with_columns(known_store=pl.lit(value=True))
    joined = read.join(stores, on="store_id", how="left", maintain_order="left", validate="m:1")
    return joined.with_columns(known_store=pl.col("known_store") | pl.col("store_id").is_null())


def _settle(read: pl.DataFrame, table: Table, column_names: list[str], changes: ClockChanges) -> pl.DataFrame:
    """Fill both clocks of each moment; `_first` and `_last` are the moments that its local time can mean."""
    for stem in checks.to_settle(table, column_names):
        local, utc, shown = f"{stem}_local", f"{stem}_utc", f"{stem}_shown"
        has_utc = utc in read.columns
        absent = [pl.lit(None, pl.Datetime("us")).alias(n) for n in (local, utc) if n not in read.columns]
        read = read.with_columns(absent)
        existing = clock.with_existing(read.select("timezone", local), local, changes.missing_hour)[local]
        read = read.with_columns(pl.when(pl.col(utc).is_null()).then(existing).otherwise(local).alias(local))
        read = _with_moments(read, local, utc)
        only = pl.when(pl.col("first_utc") == pl.col("last_utc")).then("first_utc")
        read = read.with_columns(pl.coalesce(utc, only).alias(utc))
        read = _settle_repeated(read, table, stem, changes.repeated_hour)
        read = clock.with_local(read, utc, shown) if has_utc else read.with_columns(pl.col(local).alias(shown))
        read = read.with_columns(pl.coalesce(local, shown).alias(local))
        read = read.rename({"first_utc": f"{stem}_first", "last_utc": f"{stem}_last"})
    return read


def _settle_repeated(read: pl.DataFrame, table: Table, stem: str, choice: RepeatedHour | None) -> pl.DataFrame:
    """Fill the UTC of local times that exist twice, as `ClockChanges` says; what stays null is refused."""
    utc = f"{stem}_utc"
    twice = read.filter(pl.col(utc).is_null() & (pl.col("first_utc") != pl.col("last_utc")))
    if twice.is_empty() or choice in (None, "refuse"):
        return read
    names = {name for key in table.key for name in (key, f"{moment(key)}_local")}
    same_key = [name for name in read.columns if name in names]
    rows, place = pl.len().over(same_key), pl.int_range(pl.len()).over(same_key)
    first = pl.when(rows == 2).then(place == 0).when((rows == 1) & (choice != "both")).then(choice == "first")
    settled = twice.select("row", settled=pl.when(first).then("first_utc").when(~first).then("last_utc"))
    read = read.join(settled, on="row", how="left", maintain_order="left", validate="1:1")
    return read.with_columns(pl.coalesce(utc, "settled").alias(utc)).drop("settled")


def _with_moments(read: pl.DataFrame, local: str, utc: str) -> pl.DataFrame:
    """Add the moments that local times can mean; null in all rows where every row has its UTC."""
    if read.select((pl.col(local).is_not_null() & pl.col(utc).is_null()).any()).item():
        return clock.with_moments(read, local)
    nothing = pl.lit(None, pl.Datetime("us"))
    return read.with_columns(first_utc=nothing, last_utc=nothing)


def _collapse(rows: pl.DataFrame, table: Table) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Return rows without repeats, the rows that share a key and disagree, and the number of repeats."""
    if keys.are_unique(rows, table.key):
        return rows.drop("row"), checks.REFUSED.to_frame(), 0
    once = rows.unique(table.names, keep="first", maintain_order=True)
    alone = pl.len().over(table.key) == 1
    clashes = once.filter(~alone).select(
        "row",
        column=pl.lit(", ".join(table.key)),
        value=pl.concat_str(pl.col(table.key).cast(pl.String), separator=", ", ignore_nulls=True),
        reason=pl.lit("disagrees with another row of the same key"),
    )
    return once.filter(alone).drop("row"), clashes, rows.height - once.height
