"""When a store trades: declared hours, else learned ones; closures; the business day."""

from datetime import date

import polars as pl

from features.exact import exact_sum
from features.tables import known_before

ALWAYS = date(1900, 1, 1)
"""The day from which undated rows are known."""
CLOSED_WEEKDAY_DAYS = 56
"""A weekday without trade for so long, while other days traded, is taken as closed."""


def declared_hours(hours: pl.DataFrame) -> pl.DataFrame:
    """One row per store, weekday and period of validity: first clock hour and number of hours from it.

    `open_hours` runs past 24 - `open_from` where the store closes after midnight; a store that opens and closes
    at the same time trades 24 hours.
    """

    def minutes(clock: str) -> pl.Expr:
        parts = pl.col(clock).str.split(":")
        return parts.list.get(0).cast(pl.Int32) * 60 + parts.list.get(1).cast(pl.Int32)

    opens, closes = minutes("opens"), minutes("closes")
    past_midnight = pl.when(closes <= opens).then(closes + 1440).otherwise(closes)
    first = opens // 60
    return hours.select(
        "store_id",
        "weekday",
        valid_from=pl.col("valid_from").fill_null(ALWAYS),
        valid_to=pl.col("valid_to").fill_null(pl.date(2999, 12, 31)),
        open_from=first,
        open_hours=-((first * 60 - past_midnight) // 60),
    )


def declared_clock_hours(hours: pl.DataFrame) -> pl.DataFrame:
    """One row per store and clock hour that any of its declared hours cover: store_id, hour."""
    steps = pl.int_ranges(pl.col("open_from"), pl.col("open_from") + pl.col("open_hours"))
    spans = declared_hours(hours).select("store_id", hour=steps).explode("hour")
    return spans.select("store_id", (pl.col("hour") % 24).cast(pl.Int8)).unique()


def declared_days(hours: pl.DataFrame, dates: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows of (store_id, date) on which declared hours of the store are valid, whatever their weekday."""
    periods = declared_hours(hours).select("store_id", "valid_from", "valid_to").unique()
    valid = pl.col("date").is_between("valid_from", "valid_to")
    return dates.join(periods, on="store_id").filter(valid).select("store_id", "date").unique()


def declared_trade(hours: pl.DataFrame, dates: pl.DataFrame) -> pl.DataFrame:
    """One row per store, local date and hour that its declared hours cover: adds `business_date`.

    `dates` has one row per (store_id, date). Trade after midnight belongs to the day it opened.
    """
    spans = declared_hours(hours)
    days = dates.with_columns(weekday=pl.col("date").dt.weekday())
    before = dates.with_columns(date=pl.col("date") - pl.duration(days=1)).with_columns(
        weekday=pl.col("date").dt.weekday()
    )
    business = pl.concat([days, before]).unique()
    return (
        business.join(spans, on=["store_id", "weekday"])
        .filter(pl.col("date").is_between("valid_from", "valid_to"))
        .with_columns(step=pl.int_ranges(pl.col("open_from"), pl.col("open_from") + pl.col("open_hours")))
        .explode("step")
        .select(
            "store_id",
            business_date=pl.col("date"),
            date=pl.col("date") + pl.duration(days=1) * (pl.col("step") // 24),
            hour=(pl.col("step") % 24).cast(pl.Int8),
        )
        .unique(["store_id", "date", "hour"], keep="last", maintain_order=True)
        .join(dates, on=["store_id", "date"], how="semi")
    )


def learned_day_start(hours: pl.DataFrame) -> pl.DataFrame:
    """One row per store and origin: `day_start`, the clock hour at which its business day begins.

    `hours` has rows of (store_id, origin_date, hour, base): the hour's recent mean as known at the origin.
    Where a store trades at midnight but not round the clock, its day starts at the first hour without trade
    (under one part in 1,000 of its demand); elsewhere at 0.
    """
    by = ["store_id", "origin_date"]
    usual = hours.group_by(*by, "hour").agg(pl.col("base").first())
    trades = pl.col("base") > exact_sum(pl.col("base")).over(by) / 1000
    busy = usual.filter(trades).group_by(by).agg(pl.col("hour").cast(pl.Int32).sort().alias("busy"))
    quiet = busy.with_columns(clock=pl.lit(list(range(24)), dtype=pl.List(pl.Int32)))
    first_quiet = pl.col("clock").list.set_difference(pl.col("busy")).list.min()
    return quiet.select(*by, day_start=first_quiet.fill_null(0)).sort(by)


def closed_days(closures: pl.DataFrame) -> pl.DataFrame:
    """One row per store and business date closed the whole day, and since when that was known: `known_on`."""
    whole = closures.filter(pl.col("from_hour").is_null() & pl.col("to_hour").is_null())
    return _earliest_known(whole.select("store_id", "known_on", business_date="date"))


def closed_hours(closures: pl.DataFrame) -> pl.DataFrame:
    """One row per store, business date and clock hour closed for a part of the day, with `known_on`."""
    partial = closures.filter(pl.col("from_hour").is_not_null() | pl.col("to_hour").is_not_null())
    first = pl.col("from_hour").fill_null(0).cast(pl.Int32)
    last = pl.col("to_hour").fill_null(23).cast(pl.Int32)
    end = pl.when(last < first).then(last + 24).otherwise(last)
    return (
        partial.select("store_id", "known_on", business_date="date", step=pl.int_ranges(first, end + 1))
        .explode("step")
        .select("store_id", "business_date", "known_on", hour=(pl.col("step") % 24).cast(pl.Int8))
        .pipe(_earliest_known)
    )


def _earliest_known(closed: pl.DataFrame) -> pl.DataFrame:
    """The rows once each, with the earliest day on which any of them was known; ALWAYS for one without."""
    known_on = pl.col("known_on").fill_null(ALWAYS).min()
    return closed.group_by(pl.exclude("known_on"), maintain_order=True).agg(known_on)


def without_closures(trade: pl.DataFrame, closures: pl.DataFrame) -> pl.DataFrame:
    """Rows of (store_id, business_date, hour) without those that a closure covers. Row order is not kept."""
    return trade.join(closed_days(closures), on=["store_id", "business_date"], how="anti").join(
        closed_hours(closures), on=["store_id", "business_date", "hour"], how="anti"
    )


def without_known_closures(trade: pl.DataFrame, closures: pl.DataFrame) -> pl.DataFrame:
    """Rows of (store_id, origin_date, business_date, hour) without those that a closure known before the origin covers.

    Row order is not kept.
    """
    for closed in (closed_days(closures), closed_hours(closures)):
        covered = trade.join(closed, on=[name for name in closed.columns if name != "known_on"], how="left")
        known = (pl.col("known_on") < pl.col("origin_date")).fill_null(value=False)
        trade = covered.filter(~known).drop("known_on")
    return trade


def known_closures(closures: pl.DataFrame, origin: date) -> pl.DataFrame:
    """Return the closures that were known before an origin."""
    return closures.filter(known_before(origin))
