"""When a store trades: declared hours, else learned ones; closures; when its business day starts."""

from datetime import date

import polars as pl

from daypart.features.business_day import day_start
from daypart.features.grid import DAY_HOURS
from daypart.features.tables.schemas import known_before

ALWAYS = date(1900, 1, 1)
"""The day from which undated rows count as known."""
CLOSED_WEEKDAY_DAYS = 56
"""A weekday without trade for this many days, while other days traded, counts as closed."""
EVIDENCE_DAYS = 56
"""Number of a store's last days from which the start of its business day is learned."""
MIN_TRADED_DAYS = 14
"""With trade on fewer days than this nothing is learned."""
QUIET_SHARE = 0.001
"""An hour with less of a store's demand than this counts as one without trade."""


def declared_hours(hours: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store, weekday and period of validity: first clock hour and number of hours from it.

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
    """Return one row per store and clock hour that any of its declared hours cover: store_id, hour."""
    steps = pl.int_ranges(pl.col("open_from"), pl.col("open_from") + pl.col("open_hours"))
    spans = declared_hours(hours).select("store_id", hour=steps).explode("hour")
    return spans.select("store_id", (pl.col("hour") % 24).cast(pl.Int8)).unique()


def declared_days(hours: pl.DataFrame, dates: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of (store_id, date) on which declared hours of the store are valid, for any weekday."""
    periods = declared_hours(hours).select("store_id", "valid_from", "valid_to").unique()
    valid = pl.col("date").is_between("valid_from", "valid_to")
    return dates.join(periods, on="store_id").filter(valid).select("store_id", "date").unique()


def declared_trade(hours: pl.DataFrame, dates: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store, business date and clock hour that its declared hours cover: store_id, date, hour.

    `dates` has one row per (store_id, date), business dates; `stores` says when each store's day starts.
    """
    around = [dates.with_columns(date=pl.col("date") + pl.duration(days=days)) for days in (-1, 0, 1)]
    openings = pl.concat(around).unique().with_columns(weekday=pl.col("date").dt.weekday())
    since_start = pl.col("step") - day_start(stores)
    return (
        openings.join(declared_hours(hours), on=["store_id", "weekday"])
        .filter(pl.col("date").is_between("valid_from", "valid_to"))
        .with_columns(step=pl.int_ranges(pl.col("open_from"), pl.col("open_from") + pl.col("open_hours")))
        .explode("step")
        .select(
            "store_id",
            date=pl.col("date") + pl.duration(days=1) * since_start.floordiv(DAY_HOURS),
            hour=(pl.col("step") % DAY_HOURS).cast(pl.Int8),
        )
        .unique(maintain_order=True)
        .join(dates, on=["store_id", "date"], how="semi")
    )


def learned_day_starts(hours: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store whose trading hours are known from hours or demand: store_id and `day_starts`.

    A day begins at the first clock hour, counted from midnight, across which the store never trades. Declared hours
    decide where a store has any, else its demand of the last EVIDENCE_DAYS. Stores that trade round the clock begin
    at 0. `hours` is the canonical table; `demand` has store_id, hour_local and one number, `amount`.
    """
    declared = _declared_crossings(hours)
    learned = _traded_crossings(demand).join(declared.select("store_id"), on="store_id", how="anti")
    crossings = pl.concat([declared, learned.select(declared.columns)])
    clocks = crossings.with_columns(clock=pl.lit(list(range(DAY_HOURS)), pl.List(pl.Int64)))
    first = pl.col("clock").list.set_difference("crossed").list.min()
    return clocks.select("store_id", day_starts=first.fill_null(0).cast(pl.Int8)).sort("store_id")


def _declared_crossings(hours: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store with declared hours: `crossed`, the clock hours at whose start it is open already."""
    spans = declared_hours(hours)
    ends = pl.col("open_from") + pl.when(pl.col("open_hours") < DAY_HOURS).then("open_hours").otherwise(DAY_HOURS + 1)
    inside = spans.select("store_id", crossed=pl.int_ranges(pl.col("open_from") + 1, ends)).explode("crossed")
    crossed = inside.with_columns(pl.col("crossed").cast(pl.Int64) % DAY_HOURS)
    return crossed.group_by("store_id").agg(pl.col("crossed").drop_nulls().unique().sort())


def _traded_crossings(demand: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store with MIN_TRADED_DAYS of trade: `crossed`, traded hours that follow a traded hour."""
    sold = demand.filter(pl.col("amount") > 0)
    since = pl.col("hour_local").max().over("store_id") - pl.duration(days=EVIDENCE_DAYS)
    late = sold.filter(pl.col("hour_local") > since)
    enough = pl.col("hour_local").dt.date().n_unique().over("store_id") >= MIN_TRADED_DAYS
    hourly = (
        late.filter(enough)
        .group_by("store_id", hour=pl.col("hour_local").dt.hour().cast(pl.Int64))
        .agg(pl.col("amount").sum())
    )
    trades = hourly.filter(pl.col("amount") > QUIET_SHARE * pl.col("amount").sum().over("store_id"))
    before = trades.select("store_id", hour=(pl.col("hour") + 1) % DAY_HOURS)
    crossed = trades.select("store_id", "hour").join(before, on=["store_id", "hour"], how="semi")
    stores = trades.select("store_id").unique()
    lists = crossed.group_by("store_id").agg(crossed=pl.col("hour").sort())
    return stores.join(lists, on="store_id", how="left").with_columns(pl.col("crossed").fill_null([]))


def closed_days(closures: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store and business date closed the whole day, with `known_on`, the day it was known."""
    all_day = closures.filter(pl.col("from_hour").is_null() & pl.col("to_hour").is_null())
    return _earliest_known(all_day.select("store_id", "known_on", "date"))


def closed_hours(closures: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store, business date and clock hour closed for a part of the day, with `known_on`.

    Without a first hour a closure begins with the business day, without a last one it ends with it.
    """
    partial = closures.filter(pl.col("from_hour").is_not_null() | pl.col("to_hour").is_not_null())
    start = day_start(stores)
    first = ((pl.col("from_hour").cast(pl.Int64) - start) % DAY_HOURS).fill_null(0)
    last = ((pl.col("to_hour").cast(pl.Int64) - start) % DAY_HOURS).fill_null(DAY_HOURS - 1)
    end = pl.when(last < first).then(last + DAY_HOURS).otherwise(last)
    return (
        partial.select("store_id", "known_on", "date", start=start, step=pl.int_ranges(first, end + 1))
        .explode("step")
        .select("store_id", "date", "known_on", hour=((pl.col("step") + pl.col("start")) % DAY_HOURS).cast(pl.Int8))
        .pipe(_earliest_known)
    )


def _earliest_known(closed: pl.DataFrame) -> pl.DataFrame:
    """Return the rows once each, with the earliest day on which any of them was known; ALWAYS for one without."""
    known_on = pl.col("known_on").fill_null(ALWAYS).min()
    return closed.group_by(pl.exclude("known_on"), maintain_order=True).agg(known_on)


def without_closures(trade: pl.DataFrame, closures: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return rows of (store_id, date, hour), business dates, without those in a closure. Row order is not kept."""
    return trade.join(closed_days(closures), on=["store_id", "date"], how="anti").join(
        closed_hours(closures, stores), on=["store_id", "date", "hour"], how="anti"
    )


def without_known_closures(trade: pl.DataFrame, closures: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return rows of (store_id, origin_date, date, hour) without those in a closure known before the origin.

    Dates are business dates. Row order is not kept.
    """
    for closed in (closed_days(closures), closed_hours(closures, stores)):
        covered = trade.join(closed, on=[name for name in closed.columns if name != "known_on"], how="left")
        is_known = (pl.col("known_on") < pl.col("origin_date")).fill_null(value=False)
        trade = covered.filter(~is_known).drop("known_on")
    return trade


def known_closures(closures: pl.DataFrame, origin: date) -> pl.DataFrame:
    """Return the closures that were known before an origin."""
    return closures.filter(known_before(origin))
