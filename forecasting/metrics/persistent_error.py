"""Steady misses: what an error that returns day after day at the same hour of a store costs in accuracy.

Luck and hard days differ from day to day; what a model has wrong about a store returns. The square of what returns is
estimated without bias from products of different days' misses (a U-statistic, Hoeffding 1948), so that luck adds
nothing to it on average, and noise that all stores share adds nothing to it at all where it moves whole days. It is
the tracking signal of Trigg (1964) asked of every hour at once.
"""

import math
from datetime import date

import polars as pl

from daypart.features.deterministic_sum import exact_sum

WEEK_DAYS = 7
MIN_HOUR_DAYS = 4
"""Days of an hour from which it can be said that a miss returns."""
UNIT_STORE = ("unit", "store_id")
ERROR_COLUMNS = {
    **{"forecast": "error", "incumbent": "incumbent_error"},
    **{"own_forecast": "own_error", "own_incumbent": "own_incumbent_error"},
}
MAX_MISS_SPREADS = 4.0
"""Misses beyond so many spreads count as that: one day's event is no steady miss."""


def hourly_errors(rows: pl.LazyFrame, on: date) -> pl.DataFrame:
    """Return one row per unit, store, business date and hour before `on`, over the origins that forecast it.

    Columns of `rows`: unit, store_id, origin_date, hour_local, business_date, forecast, incumbent, actual (null = not
    known). Only open days are kept. `week` counts back from `on`, 0 the latest; `forecast` and errors are means over
    origins. `own_error` and `own_incumbent_error` are the errors that remain when the unit's total of the day is
    forecast right: days that are hard for all stores are taken out.
    """
    actual, day = pl.col("actual"), pl.col("business_date")
    past_rows = rows.filter(actual.is_not_null(), day < on)
    past_rows = past_rows.with_columns(date=day, incumbent=pl.col("incumbent").fill_null(0.0))
    return (
        _with_right_days(past_rows)
        .group_by(*UNIT_STORE, "business_date", "hour_local", maintain_order=True)
        .agg(
            actual.first(),
            pl.col("forecast").mean(),
            *((pl.col(name) - actual).abs().mean().alias(error) for name, error in ERROR_COLUMNS.items()),
        )
        .with_columns(date=day, hour=pl.col("hour_local").dt.hour())
        .with_columns(week=(pl.lit(on) - pl.col("date")).dt.total_days().sub(1) // WEEK_DAYS)
    )


def _with_right_days(rows: pl.LazyFrame) -> pl.DataFrame:
    """Add `own_forecast` and `own_incumbent`, scaled so that the unit's total of the day is right."""
    actual, unit_day = pl.col("actual"), ("unit", "origin_date", "date")
    # In one order, so that sums have the same bits whatever the order of the rows.
    ordered = rows.sort(*UNIT_STORE, "hour_local", "origin_date").collect()
    return ordered.with_columns(
        (pl.col(name) * (actual.sum().over(unit_day) / pl.col(name).sum().over(unit_day)))
        .fill_nan(0.0)
        .alias(f"own_{name}")
        for name in ("forecast", "incumbent")
    )


def store_weeks(rows: pl.LazyFrame, on: date) -> pl.DataFrame:
    """Return the evidence of each week before `on` (0 the latest): one row per unit, store and week, sorted.

    Rows as `hourly_errors` takes them. `actual` and the errors: sums in the target's unit; `root`: the sum of
    square roots of forecasts, to which the error of a good forecast is in proportion; `days`; `steady`: what steady
    misses by the hour of the day, whole days' own ups and downs apart, added to the error, in the target's unit (may
    be below 0 by chance). Weeks of fewer than MIN_HOUR_DAYS days are left out.
    """
    base, key = pl.col("forecast").clip(lower_bound=0.0), (*UNIT_STORE, "week")
    traded = hourly_errors(rows, on).filter(base > 0.0).with_columns(root=base.sqrt())
    sums = traded.group_by(key, maintain_order=True).agg(
        pl.col("actual", "root", *ERROR_COLUMNS.values()).sum(), pl.col("date").n_unique().alias("days")
    )
    weeks = sums.join(_steady(traded), on=key, validate="1:1").filter(pl.col("days") >= MIN_HOUR_DAYS)
    return weeks.sort(key)


def week_errors(rows: pl.LazyFrame, on: date) -> pl.DataFrame:
    """Return the whole errors of `store_weeks` in one pass over the rows: one row per unit, store and week, sorted.

    `actual`, `error`, `incumbent_error` and `root` are added up over origins as well as hours, all alike.
    """
    actual, day = pl.col("actual"), pl.col("business_date")
    key = (*UNIT_STORE, "week")
    past_rows = rows.filter(actual.is_not_null(), pl.col("forecast") > 0.0, day < on)
    dated = past_rows.with_columns(week=(pl.lit(on) - day).dt.total_days().sub(1) // WEEK_DAYS)
    by_hand = pl.col("incumbent").fill_null(0.0)
    sums = {
        "actual": actual,
        "error": (pl.col("forecast") - actual).abs(),
        "incumbent_error": (by_hand - actual).abs(),
        "root": pl.col("forecast").sqrt(),
    }
    return dated.group_by(key).agg(exact_sum(value).alias(name) for name, value in sums.items()).collect().sort(key)


def _steady(traded: pl.DataFrame) -> pl.DataFrame:
    """Return one row per unit, store and week: `steady`."""
    key, day = (*UNIT_STORE, "week"), (*UNIT_STORE, "date")
    ratio = pl.col("actual").sum().over(day) / pl.col("forecast").sum().over(day)
    missed = traded.with_columns(miss=(pl.col("actual") - pl.col("forecast") * ratio) / pl.col("root"))
    # The median of a normal's absolute deviations is 1/1.4826 of its spread.
    spread = pl.col("miss").abs().median().over(key) * 1.4826
    hours = (
        missed.with_columns(miss=pl.col("miss").clip(-MAX_MISS_SPREADS * spread, MAX_MISS_SPREADS * spread))
        .group_by(*key, "hour", maintain_order=True)
        .agg(n=pl.len(), total=pl.col("miss").sum(), squares=pl.col("miss").pow(2).sum(), root=pl.col("root").sum())
    )
    returned = (pl.col("total").pow(2) - pl.col("squares")) / (pl.col("n") * (pl.col("n") - 1))
    returned_error = pl.when(pl.col("n") >= MIN_HOUR_DAYS).then(returned * pl.col("root")).otherwise(0.0).sum()
    # A miss of d beside luck of spread s adds d^2 / (s sqrt(2 pi)) to the mean absolute error, to the second order.
    variance = pl.col("squares").sum() / pl.col("n").sum()
    steady = pl.when(variance > 0.0).then(returned_error / (2.0 * math.pi * variance).sqrt()).otherwise(0.0)
    return hours.group_by(key, maintain_order=True).agg(steady=steady)
