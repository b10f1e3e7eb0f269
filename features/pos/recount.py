"""Recount: the demand of the store-hours that a change of stored point-of-sale lines touches."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Self

import polars as pl

from daypart.features.pos.duplicates import SAME_LINE, without_repeats
from daypart.features.pos.store_hours import HOUR, SAME_TICKET_HOURS, hourly, tickets

MARGIN_HOURS = SAME_TICKET_HOURS + 3
"""A ticket that ends this long before midnight does not continue on the next date, even where clocks change."""
TICKET_TIME = ["store_id", "ticket", "at_utc"]
AT_HOUR = ["store_id", "hour_utc"]
TICKET_SPAN = (
    pl.col("touched").any(),
    pl.col("at_local").first().alias("first_local"),
    pl.col("at_local").last().alias("last_local"),
)


@dataclass(frozen=True)
class Recount:
    """The touched store-hours after a change.

    `demand` has one row per touched hour with a line: HOUR, orders, sales (null without prices), whether it
    `gives_sales` (else sales stay as they are), and whether the hour was `counted` before. `emptied` has HOUR of those
    that have no line any more. `reach` are dates without which a ticket may be cut off, so that the count is not sure;
    empty where it is. `shared` has the changed lines that another source holds too, one row per line and source:
    SAME_LINE and source.
    """

    demand: pl.DataFrame
    emptied: pl.DataFrame
    reach: frozenset[date]
    shared: pl.DataFrame

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Return the recounts of several stores, at least one of them, as one."""
        demand, emptied, shared = (
            pl.concat([getattr(part, name) for part in parts]) for name in ("demand", "emptied", "shared")
        )
        return cls(demand, emptied, frozenset().union(*(part.reach for part in parts)), shared)


def recount(before: pl.DataFrame, after: pl.DataFrame, window: frozenset[date]) -> Recount:
    """Count the hours that a change touches, as `features.pos.store_hours` counts those of one file with all lines.

    `before` and `after` are the stored lines of the stores at hand on all local dates of the window, with `source` and
    `changed`: whether that source is part of the change. Touched are the hours of changed lines and those in which a
    ticket of theirs begins or began.
    """
    changed = pl.concat([before, after]).filter("changed")
    earlier, later = _unique_lines(before, changed), _unique_lines(after, changed)
    tickets_before, tickets_after = tickets(earlier, *TICKET_SPAN), tickets(later, *TICKET_SPAN)
    moved = _changed_tickets(tickets_before, tickets_after)
    touched = pl.concat([changed.select(HOUR), moved.select(HOUR)]).unique()
    begin = tickets_after.join(touched, on=AT_HOUR, how="semi")
    reach = _reach(pl.concat([moved, begin]), window)
    counted, hours = hourly(earlier, tickets_before), hourly(later, tickets_after)
    priced = counted.select(*AT_HOUR, counted=pl.lit(value=True), was_priced=pl.col("millionths").is_not_null())
    demand = (
        hours.join(touched, on=AT_HOUR, how="semi", maintain_order="left")
        .join(priced, on=AT_HOUR, how="left", validate="1:1", maintain_order="left")
        .with_columns(pl.col("counted", "was_priced").fill_null(value=False))
        .with_columns(gives_sales=pl.col("sales").is_not_null() | pl.col("was_priced"))
    )
    emptied = counted.join(touched, on=AT_HOUR, how="semi").join(hours, on=AT_HOUR, how="anti").select(HOUR)
    return Recount(demand.select(*HOUR, "orders", "sales", "gives_sales", "counted"), emptied, reach, _shared(after))


def _unique_lines(lines: pl.DataFrame, changed: pl.DataFrame) -> pl.DataFrame:
    """Return the lines without repeats, and whether each has the ticket number and time of a changed line."""
    moments = changed.select(TICKET_TIME).unique().with_columns(touched=pl.lit(value=True))
    marked = without_repeats(lines).join(moments, on=TICKET_TIME, how="left", validate="m:1")
    return marked.with_columns(pl.col("touched").fill_null(value=False))


def _changed_tickets(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Return tickets with a changed line, before and after, and tickets that such a line splits or joins."""
    number, same = ["store_id", "ticket"], [name for name in before.columns if name != "touched"]
    touched = pl.concat([before, after]).filter("touched")
    numbers = touched.select(number).unique()
    parted = (
        one.join(numbers, on=number, how="semi").join(other, on=same, how="anti")
        for one, other in ((before, after), (after, before))
    )
    return pl.concat([touched, *parted])


def _reach(relevant: pl.DataFrame, window: frozenset[date]) -> frozenset[date]:
    """Return dates outside the window on which tickets may begin or continue."""
    first, last = pl.col("first_local"), pl.col("last_local")
    early = relevant.filter(first.dt.hour() < MARGIN_HOURS).select((first.dt.date() - pl.duration(days=1)).unique())
    late = relevant.filter(last.dt.hour() >= 24 - MARGIN_HOURS).select((last.dt.date() + pl.duration(days=1)).unique())
    return frozenset([*early.to_series(), *late.to_series()]) - window


def _shared(after: pl.DataFrame) -> pl.DataFrame:
    lines = after.filter("changed").select(SAME_LINE).unique()
    equal = after.join(lines, on=SAME_LINE, how="semi", nulls_equal=True)
    return equal.filter(pl.len().over(SAME_LINE) > 1).select(*SAME_LINE, "source")
