"""Reasons to refuse a row: expressions over parsed cells, cells as they arrived, and the store's clock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from daypart.features import clock
from daypart.features.clock import RepeatedHour
from daypart.features.tables import parsing, spellings
from daypart.features.tables.columns import moment, moments
from daypart.features.tables.schemas import STORES, Column, Table

RAW = "raw:"
"""Prefix of the cells as they arrived."""

REFUSED = pl.Schema({"row": pl.Int64(), "column": pl.String(), "value": pl.String(), "reason": pl.String()})
"""One row per fault. `row` counts rows of data from 1: the header is not counted, blank lines are."""

IN_ORDER = {
    "stores": ("opened_on", "closed_on"),
    "hours": ("valid_from", "valid_to"),
    "events": ("starts_local", "ends_local"),
    "macro": ("observation_date", "released_on"),
}
"""Two columns of a table of which the first is never after the second."""


REPEATED_HOUR_REASONS: dict[RepeatedHour | None, str] = {
    None: "which goes back: give {utc} or pass --repeated-hour first, second or both",
    "both": "but not twice in the file: give {utc} or pass --repeated-hour first or second for a single row",
    "first": "and more than twice in the file: give {utc}",
    "second": "and more than twice in the file: give {utc}",
}
"""Why a local time that exists twice is refused, by the choice for the repeated hour."""


CLOCK_REMEDY = "correct the clock that wrote it, or the format of the date"
"""What to do about a moment in the future."""


@dataclass(frozen=True)
class Check:
    """A reason to refuse the rows where `bad` is true, and the column whose value shows why."""

    column: str
    bad: pl.Expr
    reason: str


def refusals(read: pl.DataFrame, reasons: Sequence[Check]) -> pl.DataFrame:
    """Return one row per cell at fault, with its first reason, sorted by row."""
    bad = read.select(check.bad.fill_null(value=False).alias(str(n)) for n, check in enumerate(reasons))
    by_check = [
        read.filter(bad[str(n)]).select(
            "row",
            column=pl.lit(check.column),
            value=pl.col(RAW + check.column).cast(pl.String),
            reason=pl.lit(check.reason),
        )
        for n, check in enumerate(reasons)
        if bad[str(n)].any()
    ]
    faults = pl.concat([pl.DataFrame(schema=REFUSED), *by_check])
    return faults.unique(["row", "column"], keep="first", maintain_order=True).sort("row", maintain_order=True)


def cell_checks(columns: Sequence[Column]) -> Iterator[Check]:
    """Yield the checks of single cells."""
    for column in columns:
        cell, arrived = pl.col(column.name), pl.col(RAW + column.name)
        yield Check(column.name, cell.is_null() & arrived.is_not_null(), parsing.WRITTEN[column.kind])
        if column.required and moment(column.name) == column.name:
            yield Check(column.name, arrived.is_null(), "is empty")
        if column.kind in ("number", "count"):
            yield Check(column.name, ~cell.is_finite(), "is not finite")
        if column.low is not None:
            yield Check(column.name, cell < column.low, f"is below {column.low:g}")
        if column.high is not None:
            yield Check(column.name, cell > column.high, f"is above {column.high:g}")
        if column.kind in ("date", "local", "utc"):
            years = cell.dt.year().is_between(parsing.EARLIEST_YEAR, parsing.LATEST_YEAR)
            yield Check(column.name, ~years, f"is before {parsing.EARLIEST_YEAR} or after {parsing.LATEST_YEAR}")


def row_checks(table: Table, column_names: Sequence[str], read: pl.DataFrame) -> Iterator[Check]:
    """Yield the checks between the cells of a row, and of the store or zone that it names."""
    for group in table.any_of:
        present = [name for name in group if name in column_names]
        empty = pl.all_horizontal(pl.col(RAW + name).is_null() for name in present)
        yield Check(present[0], empty, f"is empty, and one of {', '.join(group)} is needed")
    if table is STORES:
        yield from _zone_checks(read["timezone"].drop_nulls().unique().sort().to_list())
        for column, rows, reason in spellings.refused_places(read):
            yield Check(column, rows, reason)
    elif "store_id" in column_names:
        strange = pl.col("store_id").is_not_null() & pl.col("known_store").is_null()
        yield Check("store_id", strange, "is not in stores: ingest stores first")
    earlier, later = IN_ORDER.get(table.name, ("", ""))
    if earlier in read.columns and later in read.columns:
        yield Check(_column_in_frame(later, column_names), pl.col(later) < pl.col(earlier), f"is before {earlier}")


def _zone_checks(zones: Sequence[str]) -> Iterator[Check]:
    valid_zones = set(clock.known_zones(zones))
    for zone in zones:
        if zone not in valid_zones:
            hint = spellings.zone_hint(zone) or "expected one such as America/Chicago"
            yield Check("timezone", pl.col("timezone") == zone, f"is not an IANA time zone: {hint}")


def clock_checks(table: Table, column_names: Sequence[str], repeated_hour: RepeatedHour | None) -> Iterator[Check]:
    """Yield the checks of a moment on the store's clock, after both of its clocks are filled."""
    for stem in moments(table):
        local, utc = f"{stem}_local", f"{stem}_utc"
        present = [name for name in (local, utc) if name in column_names]
        if any(c.required for c in table.columns if moment(c.name) == stem):
            yield Check(present[0], pl.all_horizontal(pl.col(RAW + n).is_null() for n in present), "is empty")
        if not present or stem not in to_settle(table, column_names):
            continue
        if utc in table.names and local in present:
            first, last, unsettled = pl.col(f"{stem}_first"), pl.col(f"{stem}_last"), pl.col(utc).is_null()
            on_clock = pl.col(local).is_not_null() & pl.col("timezone").is_not_null()
            never = "does not exist on the store's clock, which goes forward"
            remedy = f"correct it, give {utc} or pass --missing-hour earlier or later"
            yield Check(local, unsettled & on_clock & first.is_null(), f"{never}: {remedy}")
            twice = REPEATED_HOUR_REASONS.get(repeated_hour, REPEATED_HOUR_REASONS[None]).format(utc=utc)
            yield Check(local, unsettled & (first != last), f"exists twice on the store's clock, {twice}")
        if utc in present:
            no_clock = pl.col(utc).is_not_null() & pl.col(local).is_null()
            yield Check(utc, no_clock & pl.col("known_store"), f"has no store's clock: give {local}")
        apart = pl.col(local) != pl.col(f"{stem}_shown")
        yield Check(present[0], apart, f"is not the same moment as {utc} on the store's clock")
        if local in table.names and utc in table.names:
            full = pl.col(local) == pl.col(local).dt.truncate("1h")
            yield Check(present[0], ~full, "is not on the full hour of the store's clock")


def future_checks(table: Table, column_names: Sequence[str], now: datetime | None) -> Iterator[Check]:
    """Yield the checks that no moment is later than `now`, UTC, in tables of observations. None without a `now`."""
    for stem in moments(table):
        present = [name for name in (f"{stem}_local", f"{stem}_utc") if name in column_names]
        if present and f"{stem}_utc" in table.names and now is not None:
            yield future_check(present[0], f"{stem}_utc", now)


def future_check(shown: str, utc: str, now: datetime) -> Check:
    """Return the check that column `utc` is not later than `now`; a message names the column `shown`."""
    late = pl.col(utc) > pl.lit(clock.utc_moment(now), pl.Datetime("us"))
    return Check(shown, late, f"lies ahead of now, {now:%Y-%m-%d %H:%M} UTC: {CLOCK_REMEDY}")


def to_settle(table: Table, column_names: Sequence[str]) -> list[str]:
    """Return the moments that need the store's clock: the frame lacks a clock that the table keeps, or has both."""

    def needs(stem: str) -> bool:
        clocks = {f"{stem}_local", f"{stem}_utc"}
        present = clocks & set(column_names)
        return bool(present) and (present == clocks or bool(clocks & set(table.names) - present))

    return [stem for stem in moments(table) if needs(stem)]


def _column_in_frame(name: str, column_names: Sequence[str]) -> str:
    return name if name in column_names else f"{moment(name)}_utc"
