"""Data health: what the lake's records say of themselves, before any model is blamed."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from daypart.features.matrix import HORIZON_DAYS
from daypart.features.quality import data_health
from daypart.features.quality.data_health import Fault
from daypart.flows.lake.lake import Lake

DEMAND_DAYS = 7
RECENT_DAYS, BEFORE_DAYS = 7, 28
FEED_DAYS = 45
"""How far back a feed of weather is looked for."""


def faults(lake: Lake, on: date, targets: Sequence[str]) -> dict[str, list[Fault]]:
    """Data faults of the days before `on` that touch each target, as `features.quality.data_health` has them."""
    observed = lake.scan_or_empty("weather").filter(pl.col("issued_utc").is_null())
    shared = [*_weather(lake, on), *_lost("weather", "valid_local", observed, on)]
    return {target: [*_demand(lake, on, target), *shared] for target in targets}


def _demand(lake: Lake, on: date, target: str) -> list[Fault]:
    rows = lake.scan("demand").select("hour_local", target)
    return [*data_health.demand_faults(_days(lake, on, target), on), *_lost("demand", "hour_local", rows, on)]


def _days(lake: Lake, on: date, target: str) -> pl.DataFrame:
    """One row per store and day that was forecast, as `data_health.demand_faults` takes it; the latest origin's say."""
    since = on - timedelta(days=DEMAND_DAYS)
    day = pl.col("business_date")
    forecasts = lake.scan("forecasts").filter(
        pl.col("origin_date") > since - timedelta(days=HORIZON_DAYS), pl.col("origin_date") < on,
        pl.col("target") == target, day.is_between(since, on - timedelta(days=1)),
    )  # fmt: skip
    moment = pl.lit(since).cast(pl.Datetime("us"))
    actuals = lake.scan("demand").filter(
        pl.col("hour_utc") >= moment - timedelta(days=1), pl.col(target).is_not_null()
    ).select("store_id", "hour_utc", actual=pl.col(target))  # fmt: skip
    days = data_health.store_days(forecasts.join(actuals, on=["store_id", "hour_utc"], how="left"))
    return _open(lake, days).collect().sort("store_id", "date")


def _open(lake: Lake, days: pl.LazyFrame) -> pl.LazyFrame:
    """Days that no closure explains; a store that closed for good is not missed."""
    closures = lake.scan_or_empty("closures").select("store_id", "date").unique()
    closed = lake.scan("stores").filter(pl.col("closed_on").is_not_null()).select("store_id", "closed_on")
    open_days = days.join(closures, on=["store_id", "date"], how="anti").join(closed, on="store_id", how="left")
    return open_days.filter(pl.col("closed_on").is_null() | (pl.col("date") < pl.col("closed_on"))).drop("closed_on")


def _weather(lake: Lake, on: date) -> list[Fault]:
    midnight = pl.lit(on).cast(pl.Datetime("us"))
    issued = lake.scan_or_empty("weather").filter(
        pl.col("issued_utc").is_not_null(),
        pl.col("issued_utc") < midnight,
        pl.col("valid_utc") >= midnight - timedelta(days=FEED_DAYS),
    )
    latest = issued.group_by("store_id").agg(pl.col("issued_utc").max()).collect()
    return data_health.stale_weather(latest, on)


def _lost(table: str, moment: str, rows: pl.LazyFrame, on: date) -> list[Fault]:
    """Columns that were filled before and are empty now, by a moment of the rows."""
    day, since = pl.col(moment).dt.date(), on - timedelta(days=RECENT_DAYS)
    span = rows.filter(day >= since - timedelta(days=BEFORE_DAYS), day < on)
    filled = span.group_by(recent=day >= since).agg(pl.all().is_not_null().mean()).collect()
    recent, before = (filled.filter(pl.col("recent") == late).drop("recent") for late in (True, False))
    return data_health.lost_columns(table, recent, before, since)
