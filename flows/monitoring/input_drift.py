"""Input drift: what the lake's inputs were of late, beside the same season a year before."""

from datetime import date, timedelta

import polars as pl

from daypart.features.deterministic_sum import exact_sum
from daypart.features.quality.input_drift import Drift, drifts, seasons
from daypart.flows.lake.lake import Lake

MEAN_DAYS = 364


def read_drifts(lake: Lake, on: date, target: str) -> list[Drift]:
    """The inputs of the weeks before `on` beside those of a year before; nothing where there was no such season yet."""
    recent, before = (_days(lake, first, last, target) for first, last in seasons(on))
    return drifts(recent, before)


def _days(lake: Lake, first: date, last: date, target: str) -> pl.DataFrame:
    """One row per store and day: the inputs; a column that is known of no day is null."""
    day = pl.col("hour_local").dt.date().alias("date")
    key = ["store_id", "date"]
    sold = _within(lake, "demand", "hour", first - timedelta(days=MEAN_DAYS), last).group_by("store_id", day)
    daily = sold.agg(exact_sum(pl.col(target)).alias(target)).filter(pl.col(target) > 0)
    against = daily.with_columns(demand=pl.col(target) / _mean(target).over("store_id"))
    scheduled = exact_sum(pl.col("scheduled_hours")).alias("scheduled_hours")
    worked = _within(lake, "labor", "hour", first, last).group_by("store_id", day).agg(scheduled)
    observed = _within(lake, "weather", "valid", first, last).filter(pl.col("issued_utc").is_null())
    valid = pl.col("valid_local").dt.date().alias("date")
    weather = observed.group_by("store_id", valid).agg(map(_mean, ("temperature_c", "precipitation_mm")))
    joined = against.filter(pl.col("date") >= first).select(*key, "demand")
    for other in (worked, weather):
        joined = joined.join(other, on=key, how="left")
    return joined.collect().sort(key)


def _mean(name: str) -> pl.Expr:
    """Return the mean of a column, the same to the last bit for any order of rows; null where all are null."""
    values = pl.col(name)
    return pl.when(values.count() > 0).then(exact_sum(values) / values.count()).alias(name)


def _within(lake: Lake, table: str, moment: str, first: date, last: date) -> pl.LazyFrame:
    """A table's rows of some local days; files of other months are not read."""
    rows, day = lake.scan_or_empty(table), pl.col(f"{moment}_local").dt.date()
    start, end = (pl.lit(edge).cast(pl.Datetime("us")) for edge in (first, last))
    near = pl.col(f"{moment}_utc").is_between(start - timedelta(days=1), end + timedelta(days=2))
    return rows.filter(near, day.is_between(first, last))
