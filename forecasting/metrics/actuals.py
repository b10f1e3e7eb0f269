"""Actuals: the demand of published hours, and which days without demand count as 0."""

from datetime import date

import polars as pl

from daypart.features.business_day import business_date
from daypart.features.chain_data import ChainData
from daypart.features.history import trading_hours
from daypart.features.tables.schemas import TARGETS

TARGET_DAY_KEY = ("store_id", "target", "date")
STORE_DATE = ("store_id", "date")


def idle_days(records: ChainData, since: date) -> pl.DataFrame:
    """Return one row per store, target and business date from `since` on which an open store sold nothing, sorted.

    A store was open by its declared hours where they are valid on the date and no closure covers them, and another
    target's demand does not say that rows are missing; on a date without declared hours it was open where rows of 0 say
    so and no closure of the whole day does. Only dates between a store's first and last row are known. Learned hours
    alone never make a day idle: it may be closed. Columns: store_id, target, date and `known_on`, the date of the
    row by which it is known, which is a later one where the date has no row.
    """
    days = _days(records.demand, records.stores)
    silent = _silent(days, since)
    dates = silent.select(STORE_DATE).unique()
    trade = trading_hours.declared_trade(records.hours, dates, records.stores)
    covered = trading_hours.without_closures(trade, records.closures, records.stores)
    busy = days.filter(pl.col("total") > 0.0).select(STORE_DATE, busy=True).unique()
    declared = trading_hours.declared_days(records.hours, dates)
    by_hours = silent.join(declared, on=STORE_DATE, how="semi").join(covered, on=STORE_DATE, how="semi")
    by_hours = by_hours.join(busy, on=STORE_DATE, how="left")
    closed = trading_hours.closed_days(records.closures)
    by_rows = (
        silent.filter("recorded").join(declared, on=STORE_DATE, how="anti").join(closed, on=STORE_DATE, how="anti")
    )
    by_hours = by_hours.filter(pl.col("recorded") | pl.col("busy").is_null()).drop("busy")
    idle = pl.concat([by_hours, by_rows])
    ends = idle.join(records.stores.select("store_id", "closed_on"), on="store_id", how="left")
    open_then = pl.col("closed_on").is_null() | (pl.col("date") < pl.col("closed_on"))
    return ends.filter(open_then).select(*TARGET_DAY_KEY, "known_on").sort(TARGET_DAY_KEY)


def with_actuals(
    forecasts: pl.DataFrame, demand: pl.DataFrame, idle: pl.DataFrame, stores: pl.DataFrame
) -> pl.DataFrame:
    """Add `actual` and `idle` to published rows, whose order stays; `idle` has the rows of `idle_days`.

    `actual` is the demand of that hour: 0 in an hour without demand on a day with demand or on an idle day, null on
    other days without demand, which are not scored. `idle` says whether the day is an idle one.
    """
    long = _long(demand, stores)
    sold = long.group_by(TARGET_DAY_KEY).agg(pl.col("actual").sum()).filter(pl.col("actual") > 0.0)
    counted = pl.concat([sold.select(TARGET_DAY_KEY, idle=False), idle.select(TARGET_DAY_KEY, idle=True)])
    hours = long.select("store_id", "target", "hour_utc", "actual")
    return (
        forecasts.with_columns(date="business_date")
        .join(counted, on=TARGET_DAY_KEY, how="left", maintain_order="left", validate="m:1")
        .join(hours, on=["store_id", "target", "hour_utc"], how="left", maintain_order="left")
        .with_columns(actual=pl.when(pl.col("idle").is_not_null()).then(pl.col("actual").fill_null(0.0)))
        .with_columns(pl.col("idle").fill_null(value=False))
        .drop("date")
    )


def count_unscored(rows: pl.DataFrame) -> dict[str, int]:
    """Return by target how many store-days that were forecast as open have no `actual`, so that they are not scored."""
    unscored_rows = rows.filter(pl.col("actual").is_null(), pl.col("forecast") > 0.0)
    days = unscored_rows.select("store_id", "target", date="business_date").unique()
    counts = dict(days.group_by("target").len().iter_rows())
    return {target: counts.get(target, 0) for target in rows["target"].unique().sort()}


def _long(demand: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store, target and hour whose demand is recorded."""
    return pl.concat(
        demand.select("store_id", "hour_utc", pl.lit(target).alias("target"), date=business_date(stores),
                      actual=pl.col(target))
        for target in TARGETS
    ).filter(pl.col("actual").is_not_null())  # fmt: skip


def _days(demand: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store, target and date with rows: their `total`."""
    return _long(demand, stores).group_by(TARGET_DAY_KEY).agg(total=pl.col("actual").sum())


def _silent(days: pl.DataFrame, since: date) -> pl.DataFrame:
    """Return dates without demand between a store's first and last row: `recorded` where rows are 0, and `known_on`."""
    spans = days.group_by("store_id", "target").agg(
        first=pl.max_horizontal(pl.col("date").min(), pl.lit(since)), last=pl.col("date").max()
    )
    within = spans.filter(pl.col("first") <= pl.col("last"))
    dates = within.select("store_id", "target", date=pl.date_ranges("first", "last")).explode("date")
    silent_dates = dates.join(days, on=TARGET_DAY_KEY, how="left").filter(pl.col("total").fill_null(0.0) <= 0.0)
    rows = days.select(*TARGET_DAY_KEY, known_on="date").sort("date")
    with_known_on = silent_dates.sort("date").join_asof(
        rows, on="date", by=["store_id", "target"], strategy="forward", check_sortedness=False
    )
    return with_known_on.select(*TARGET_DAY_KEY, "known_on", recorded=pl.col("total").is_not_null())
