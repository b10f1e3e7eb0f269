"""Weather as it was known: the latest forecast issued before the origin, beside what was observed before it."""

from datetime import date, timedelta
from typing import Literal

import polars as pl

from daypart.features import clock
from daypart.features.business_day import day_start

WeatherView = Literal["issued", "observed", "none"]
"""Which weather a target hour sees: issued before the origin, the one that came (hindsight), or none."""

MEASURES = (
    "temperature_c",
    "precipitation_mm",
    "snowfall_cm",
    "wind_speed_kmh",
    "humidity_pct",
    "cloud_cover_pct",
)


LATE = timedelta(days=3)

DEPARTING = ("temperature_c", "precipitation_mm", "snowfall_cm")
"""Measures whose departure from the incumbent's days is a feature."""


def observed(weather: pl.DataFrame) -> pl.DataFrame:
    """The rows that tell what came, which no one had issued before."""
    return weather.filter(pl.col("issued_utc").is_null())


def before(weather: pl.DataFrame, stores: pl.DataFrame, origin: date) -> pl.DataFrame:
    """The rows that one origin may see: what was observed, and each store's latest issue strictly before it."""
    at = stores.select("store_id", "timezone", day_starts=day_start(stores), origin_date=pl.lit(origin))
    starts = clock.origin_utc(at)
    # Most rows are of earlier issues: where every store has a late one, the time alone spares them the search.
    late = weather.filter(pl.col("issued_utc") >= pl.lit(origin, pl.Datetime("us")) - LATE)
    latest = _latest(late, starts)
    if latest.height < starts.height:
        late, latest = weather, _latest(weather, starts)
    issued = late.join(latest, left_on=["store_id", "issued_utc"], right_on=["store_id", "latest_utc"], how="semi")
    return pl.concat([observed(weather), issued])


def _latest(weather: pl.DataFrame, origins: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows of (store_id, origin_utc) with an issue strictly before; adds `latest_utc`, its time."""
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


def weather_of(rows: pl.DataFrame, weather: pl.DataFrame, view: WeatherView) -> pl.DataFrame:
    """Adds to rows of (store_id, origin_utc, hour_utc) each measure for the target hour, null where unknown.

    Under "issued" a row sees only the latest issue strictly before its origin; hours that this issue does not
    cover are null. Under "observed" it sees what came, which is hindsight. Row order is not kept.
    """
    if view == "observed":
        return _as_observed(rows, weather)
    return _as_issued(rows, weather, _latest(weather, rows.select("store_id", "origin_utc").unique()))


def _as_observed(rows: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    measured = observed(weather).select("store_id", pl.col("valid_utc").alias("hour_utc"), *MEASURES)
    return rows.join(measured, on=["store_id", "hour_utc"], how="left")


def _as_issued(rows: pl.DataFrame, weather: pl.DataFrame, latest: pl.DataFrame) -> pl.DataFrame:
    issues = latest.join(weather, left_on=["store_id", "latest_utc"], right_on=["store_id", "issued_utc"])
    columns = ["store_id", "origin_utc", pl.col("valid_utc").alias("hour_utc"), *MEASURES]
    return rows.join(issues.select(columns), on=["store_id", "origin_utc", "hour_utc"], how="left")


def with_hindsight(rows: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Adds the measures as issued or, to rows of an origin without any issue before it, as observed.

    `hindsight` says to which. Only for `issues.degraded`, which makes forecasts of these. Row order is not kept.
    """
    by = ["store_id", "origin_utc"]
    latest = _latest(weather, rows.select(by).unique())
    issued, untold = (rows.join(latest, on=by, how=how) for how in ("semi", "anti"))
    return pl.concat([
        _as_issued(issued, weather, latest).with_columns(hindsight=pl.lit(value=False)),
        _as_observed(untold, weather).with_columns(hindsight=pl.lit(value=True)),
    ])  # fmt: skip


def weather_features() -> list[pl.Expr]:
    """The weather family: the hour's own weather, and how it departs from that of the incumbent's four days."""
    measures = [pl.col(measure).alias(f"weather_{measure}") for measure in MEASURES]
    departures = [
        (pl.col(measure) - pl.col(f"{measure}_base")).alias(f"weather_{measure}_departure") for measure in DEPARTING
    ]
    return measures + departures
