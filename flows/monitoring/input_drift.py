"""Input drift: what the lake's inputs were of late, beside the same season a year before."""

from datetime import date, timedelta

import polars as pl

from daypart.features.quality.input_drift import Drift, drifts, seasons
from daypart.flows.lake.lake import Lake

MEAN_DAYS = 364


def drifted(lake: Lake, on: date, target: str) -> list[Drift]:
    """The inputs of the weeks before `on` beside those of a year before; nothing where there was no such season yet."""
    recent, before = (_days(lake, first, last, target) for first, last in seasons(on))
    return drifts(recent, before)


def _days(lake: Lake, first: date, last: date, target: str) -> pl.DataFrame:
    """One row per store and day: the inputs; a column that is known of no day is null."""
    day = pl.col("hour_local").dt.date().alias("date")
    key = ["store_id", "date"]
    sold = _within(lake, "demand", "hour", first - timedelta(days=MEAN_DAYS), last).group_by("store_id", day)
    daily = sold.agg(pl.col(target).sum()).filter(pl.col(target) > 0)
    against = daily.with_columns(demand=pl.col(target) / pl.col(target).mean().over("store_id"))
    worked = _within(lake, "labor", "hour", first, last).group_by("store_id", day).agg(pl.col("scheduled_hours").sum())
    observed = _within(lake, "weather", "valid", first, last).filter(pl.col("issued_utc").is_null())
    valid = pl.col("valid_local").dt.date().alias("date")
    weather = observed.group_by("store_id", valid).agg(pl.col("temperature_c", "precipitation_mm").mean())
    joined = against.filter(pl.col("date") >= first).select(*key, "demand")
    for other in (worked, weather):
        joined = joined.join(other, on=key, how="left")
    return joined.collect().sort(key)


def _within(lake: Lake, table: str, moment: str, first: date, last: date) -> pl.LazyFrame:
    """A table's rows of some local days; files of other months are not read."""
    rows, day = lake.scan_or_empty(table), pl.col(f"{moment}_local").dt.date()
    start, end = (pl.lit(edge).cast(pl.Datetime("us")) for edge in (first, last))
    near = pl.col(f"{moment}_utc").is_between(start - timedelta(days=1), end + timedelta(days=2))
    return rows.filter(near, day.is_between(first, last))
