"""Weather as known at an origin: the latest forecast issued before it, and observations before it."""

from datetime import date, timedelta
from typing import Literal

import polars as pl

from daypart.features import clock
from daypart.features.business_day import day_start

WeatherView = Literal["issued", "observed", "none"]
"""Which weather a target hour sees: issued before the origin, observed (hindsight), or none."""

MEASURES = (
    "temperature_c",
    "precipitation_mm",
    "snowfall_cm",
    "wind_speed_kmh",
    "humidity_pct",
    "cloud_cover_pct",
)


RECENT_ISSUES = timedelta(days=3)
"""Age of the issues that are searched first."""

DEPARTING = ("temperature_c", "precipitation_mm", "snowfall_cm")
"""Measures whose departure from the incumbent's days is a feature."""


def observations(weather: pl.DataFrame) -> pl.DataFrame:
    """Return the observed rows, which have no issue."""
    return weather.filter(pl.col("issued_utc").is_null())


def known_at(weather: pl.DataFrame, stores: pl.DataFrame, origin: date) -> pl.DataFrame:
    """Return the rows that one origin may see: observations, and each store's latest issue strictly before it."""
    at = stores.select("store_id", "timezone", day_starts=day_start(stores), origin_date=pl.lit(origin))
    starts = clock.origin_utc(at)
    # Most rows are of earlier issues: where every store has a late one, the time alone spares them the search.
    late = weather.filter(pl.col("issued_utc") >= pl.lit(origin, pl.Datetime("us")) - RECENT_ISSUES)
    latest = _latest(late, starts)
    if latest.height < starts.height:
        late, latest = weather, _latest(weather, starts)
    issued = late.join(latest, left_on=["store_id", "issued_utc"], right_on=["store_id", "latest_utc"], how="semi")
    return pl.concat([observations(weather), issued])


def _latest(weather: pl.DataFrame, origins: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of (store_id, origin_utc) with an earlier issue, and add `latest_utc`, the time of the latest."""
    issues = weather.select("store_id", issued_utc="issued_utc", latest_utc="issued_utc").drop_nulls().unique()
    return (
        origins.sort("origin_utc")
        .join_asof(
            issues.sort("issued_utc"),
            left_on="origin_utc", right_on="issued_utc", by="store_id",
            strategy="backward", allow_exact_matches=False, check_sortedness=False,
        )
        .drop_nulls("latest_utc")
    )  # fmt: skip


def with_weather(rows: pl.DataFrame, weather: pl.DataFrame, view: WeatherView) -> pl.DataFrame:
    """Add to rows of (store_id, origin_utc, hour_utc) each measure for the target hour, null where unknown.

    Under "issued" a row sees only the latest issue strictly before its origin; hours that this issue does not
    cover are null. Under "observed" it sees observations, which is hindsight. Row order is not kept.
    """
    if view == "observed":
        return _as_observed(rows, weather)
    return _as_issued(rows, weather, _latest(weather, rows.select("store_id", "origin_utc").unique()))


def _as_observed(rows: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    measured = observations(weather).select("store_id", pl.col("valid_utc").alias("hour_utc"), *MEASURES)
    return rows.join(measured, on=["store_id", "hour_utc"], how="left")


def _as_issued(rows: pl.DataFrame, weather: pl.DataFrame, latest: pl.DataFrame) -> pl.DataFrame:
    issues = latest.join(weather, left_on=["store_id", "latest_utc"], right_on=["store_id", "issued_utc"])
    columns = ["store_id", "origin_utc", pl.col("valid_utc").alias("hour_utc"), *MEASURES]
    return rows.join(issues.select(columns), on=["store_id", "origin_utc", "hour_utc"], how="left")


def with_hindsight(rows: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Add the measures as issued or, for rows of an origin without an earlier issue, as observed.

    Column `hindsight` marks the observed rows. Use it with `weather_issues.degrade_hindsight` alone, which makes
    forecasts of them. Row order is not kept.
    """
    by = ["store_id", "origin_utc"]
    latest = _latest(weather, rows.select(by).unique())
    issued, unissued = (rows.join(latest, on=by, how=how) for how in ("semi", "anti"))
    return pl.concat([
        _as_issued(issued, weather, latest).with_columns(hindsight=pl.lit(value=False)),
        _as_observed(unissued, weather).with_columns(hindsight=pl.lit(value=True)),
    ])  # fmt: skip


def weather_features() -> list[pl.Expr]:
    """Return the weather family: the hour's weather, and its departure from that of the incumbent's four days."""
    measures = [pl.col(measure).alias(f"weather_{measure}") for measure in MEASURES]
    departures = [
        (pl.col(measure) - pl.col(f"{measure}_base")).alias(f"weather_{measure}_departure") for measure in DEPARTING
    ]
    return measures + departures
