"""Demand from point-of-sale lines: tickets counted and money summed per store-hour."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import polars as pl

from daypart.features.deterministic_sum import begins
from daypart.features.pos.lines import MILLIONTHS, Lines, read_lines
from daypart.features.pos.mapping import Mapping

SAME_TICKET_HOURS = 6
"""A number that returns after a longer pause is another ticket, unless it is a refund on the same date."""

HOUR = ["store_id", "hour_utc", "hour_local"]


@dataclass(frozen=True)
class Summary:
    """Totals of reading an export's lines. Money is in the stores' currency and null where there are no prices.

    sum of demand.sales = sales_before_clipping + clipped_sales, to the millionth. `clipped_hours` are
    store-hours with more refunds than sales. `tickets_kept` are the orders. `open_days` are store-days with
    an order.
    """

    lines_read: int
    lines_dropped: dict[str, int]
    lines_refused: int
    tickets: int
    tickets_kept: int
    sales_before_clipping: float | None
    clipped_sales: float | None
    clipped_hours: int
    first_day: date | None
    last_day: date | None
    open_days: int

    def as_dict(self) -> dict[str, Any]:
        """Return the same for JSON, with days as ISO dates."""
        days = {"first_day": self.first_day, "last_day": self.last_day}
        return asdict(self) | {name: day and day.isoformat() for name, day in days.items()}


@dataclass(frozen=True)
class PosDemand:
    """Demand from an export's lines.

    `demand` has one row per store and hour with a line that counts, sorted: store_id, hour_local, hour_utc,
    orders and, where the export has prices, sales. `refused` has one row per cell at fault, as in `conform`.
    """

    demand: pl.DataFrame
    refused: pl.DataFrame
    summary: Summary


def lines_to_demand(lines: pl.DataFrame, mapping: Mapping, zones: pl.DataFrame) -> PosDemand:
    """Return lines of an export, one row per line of a ticket, as hourly demand.

    orders = tickets with a positive sum of lines (with any line, where the export has no prices), each in the
    hour of its first line. A ticket is a number in a store: lines between which no pause is longer than
    SAME_TICKET_HOURS, and later lines of the same local date with a sum of 0 or below, such as a refund. So
    numbers may restart each day or within a day, and a refund on a later date removes no order. sales = sum of
    line totals, each in its line's own hour, refunds net, never below 0. `zones` has one row (store_id, timezone)
    per known store. Raises SchemaError for columns that `lines` lacks and InputError for stores that are not known.
    """
    return count_lines(read_lines(lines, mapping, zones), mapping.has_prices)


def count_lines(read: Lines, priced: bool) -> PosDemand:
    """Return read lines as hourly demand, as `lines_to_demand` does; sales only where the export is `priced`."""
    lines = read.rows if priced else without_prices(read.rows)
    counted = tickets(lines)
    hours = hourly(lines, counted)
    names = ["store_id", "hour_local", "hour_utc", "orders", *(["sales"] if priced else [])]
    return PosDemand(hours.select(names), read.refused, _summary(read, counted, hours["millionths"], priced))


def without_prices(lines: pl.DataFrame) -> pl.DataFrame:
    """Return the lines of an export that has no prices: their money is null."""
    return lines.with_columns(millionths=pl.lit(None, pl.Int64))


def hourly(lines: pl.DataFrame, line_tickets: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store and hour with a line: HOUR, orders, sales, millionths (net of refunds, not clipped).

        Rows are sorted.
    `line_tickets` are the `tickets` of the lines. Money is null in an hour where no line has a price (`millionths`).
    """
    orders = line_tickets.group_by(HOUR).agg(orders=pl.col("is_order").sum().cast(pl.Float64))
    total = pl.when(pl.col("millionths").is_not_null().any()).then(pl.col("millionths").sum())
    money = (pl.col("millionths") / MILLIONTHS).round(6)  # the float nearest to the exact sum
    return (
        lines.group_by(HOUR)
        .agg(millionths=total)
        .join(orders, on=HOUR, how="left", validate="1:1")
        .with_columns(pl.col("orders").fill_null(0.0), sales=money.clip(0))
        .sort("store_id", "hour_utc")
    )


def tickets(lines: pl.DataFrame, *also: pl.Expr) -> pl.DataFrame:
    """Return one row per ticket: store_id, ticket, HOUR of its first line, is_order, and the aggregates `also`.

    It is an order if its lines sum to more than 0, or if one of them has no price (`millionths` is null).
    """
    number = ["store_id", "ticket"]
    at, day = pl.col("at_utc"), pl.col("at_local").dt.date()
    pause = (at - at.shift()) > pl.duration(hours=SAME_TICKET_HOURS)
    ordered = lines.sort(*number, "at_utc", maintain_order=True).with_columns(new=begins(*number), pause=pause)
    runs = ordered.with_columns(run=(pl.col("new") | pl.col("pause")).cum_sum())
    sells = (pl.col("millionths").sum() > 0) | pl.col("millionths").is_null().any()
    first = pl.col("new") | (pl.col("pause") & ((day != day.shift()) | sells.over("run")))
    return (
        runs.with_columns(use=first.cum_sum())
        .group_by("use", maintain_order=True)
        .agg(pl.col(*number, "hour_utc", "hour_local").first(), *also, is_order=sells)
        .drop("use")
    )


def _summary(read: Lines, tickets: pl.DataFrame, millionths: pl.Series, priced: bool) -> Summary:
    orders = tickets.filter("is_order")
    days = read.rows["at_local"].dt.date()
    below = millionths.filter(millionths < 0)
    first, last = days.min(), days.max()
    return Summary(
        lines_read=read.read,
        lines_dropped=read.dropped,
        lines_refused=read.refused["row"].n_unique(),
        tickets=tickets.height,
        tickets_kept=orders.height,
        sales_before_clipping=int(millionths.sum()) / MILLIONTHS if priced else None,
        clipped_sales=-int(below.sum()) / MILLIONTHS if priced else None,
        clipped_hours=below.len(),
        first_day=first if isinstance(first, date) else None,
        last_day=last if isinstance(last, date) else None,
        open_days=orders.select("store_id", pl.col("hour_local").dt.date()).n_unique(),
    )
