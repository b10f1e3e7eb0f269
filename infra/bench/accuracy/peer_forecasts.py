"""Forecasts by two peers, statsforecast and mlforecast, each set up as an analyst would first use it.

A peer takes (records, target, origins, horizon_days) and sees only demand before the local date of each origin. It
returns store_id, origin_date, hour_utc, forecast: every real clock hour of the horizon of stores with earlier demand,
in the target's unit and never below 0.
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.clock import hour_grid
from daypart.features.signals.calendar import public_holidays
from infra.bench.harness.hourly_series import gapless

RETRAIN_EVERY_DAYS = 28
DAY_HOURS, WEEK_HOURS = 24, 168
FIT_SPAN = timedelta(weeks=52)
STATE_SPAN = timedelta(weeks=10)
"""The part of a series that the features of its next hours need."""

CLOSED_AFTER = timedelta(weeks=8)
"""An hour of the week without trade for this long counts as closed."""

PEER_LAGS = (DAY_HOURS, 2 * DAY_HOURS, 3 * DAY_HOURS, WEEK_HOURS, 2 * WEEK_HOURS, 3 * WEEK_HOURS, 4 * WEEK_HOURS)
PEER_DATE_FEATURES = ("hour", "weekday", "day", "month", "ordinal_day")
PEER_TREES, PEER_LEAVES, PEER_LEARNING_RATE = 300, 31, 0.05

Peer = Callable[[ChainData, str, list[date], int], pl.DataFrame]


def forecast_by_statsforecast(records: ChainData, target: str, origins: list[date], horizon_days: int) -> pl.DataFrame:
    """Forecast by seasons of a day and a week (MSTL) about an exponentially smoothed trend, refitted at every origin on a year."""
    from statsforecast import StatsForecast
    from statsforecast.models import MSTL, AutoETS

    series, forecasts = local_series(records, target, origins[-1]), []
    for origin in origins:
        model = MSTL(season_length=[DAY_HOURS, WEEK_HOURS], trend_forecaster=AutoETS(model="ZZN"), alias="forecast")
        history = before(series, origin, FIT_SPAN)
        forecast = StatsForecast(models=[model], freq="1h", n_jobs=1).forecast(df=history, h=horizon_days * DAY_HOURS)
        forecasts.append(_at_real_hours(forecast, history, records, origin, horizon_days))
    return pl.concat(forecasts)


def forecast_by_mlforecast(records: ChainData, target: str, origins: list[date], horizon_days: int) -> pl.DataFrame:
    """Forecast recursively by boosted trees of all series, retrained every four weeks on all earlier hours."""
    series, forecasts = local_series(records, target, origins[-1]), []
    days = timedelta(days=horizon_days)
    holidays = public_holidays(records.stores, series["ds"].min().date(), origins[-1] + days)
    for origin in origins:
        if (origin - origins[0]).days % RETRAIN_EVERY_DAYS == 0:
            # Rows of young series stay: the trees handle missing lags.
            forecaster = _trees().fit(_with_holidays(before(series, origin), holidays), static_features=[],
                                      dropna=False)  # fmt: skip
        history = before(series, origin, STATE_SPAN)
        ahead = _with_holidays(_hours(history, origin, origin + days), holidays)
        state = _with_holidays(history, holidays)
        forecast = forecaster.predict(horizon_days * DAY_HOURS, new_df=state, X_df=ahead)
        forecasts.append(_at_real_hours(forecast, history, records, origin, horizon_days))
    return pl.concat(forecasts)


def _trees() -> Any:
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, SeasonalRollingMean

    model = LGBMRegressor(n_estimators=PEER_TREES, num_leaves=PEER_LEAVES, learning_rate=PEER_LEARNING_RATE, objective="l1", random_state=7,
                          deterministic=True, force_row_wise=True, verbosity=-1)  # fmt: skip
    means = {
        DAY_HOURS: [RollingMean(hours, min_samples=1) for hours in (DAY_HOURS, WEEK_HOURS, 4 * WEEK_HOURS)],
        WEEK_HOURS: [SeasonalRollingMean(WEEK_HOURS, weeks, min_samples=1) for weeks in (4, 8)],
    }
    return MLForecast(
        {"forecast": model}, freq="1h", lags=PEER_LAGS, lag_transforms=means, date_features=PEER_DATE_FEATURES
    )


def local_series(records: ChainData, target: str, end: date) -> pl.DataFrame:
    """Return every hour of each store's own clock, first demand to before `end`: unique_id, ds, y, 0 without trade.

    The hour that the clock skips in spring counts as one without trade; of the two that it shows in autumn as one
    hour, y is the mean.
    """
    demand = records.demand.filter(pl.col(target).is_not_null(), pl.col("hour_local") < datetime.combine(end, time()))
    hourly_means = demand.group_by(unique_id="store_id", ds="hour_local").agg(y=pl.col(target).mean())
    return gapless(hourly_means.filter(pl.col("y") > 0), datetime.combine(end, time()))


def before(series: pl.DataFrame, origin: date, span: timedelta | None = None) -> pl.DataFrame:
    """Return the hours before the origin's date, or the last `span` of them."""
    end = datetime.combine(origin, time())
    history = series.filter(pl.col("ds") < end)
    return history if span is None else history.filter(pl.col("ds") >= end - span)


def _hours(history: pl.DataFrame, first: date, end: date) -> pl.DataFrame:
    """Every hour of each series from the date `first` to before `end`."""
    moments = [datetime.combine(day, time()) for day in (first, end)]
    hours = pl.datetime_range(*moments, "1h", closed="left", eager=True).cast(pl.Datetime("us")).alias("ds")
    return history.select(pl.col("unique_id").unique(maintain_order=True)).join(hours.to_frame(), how="cross")


def _with_holidays(hours: pl.DataFrame, holidays: pl.DataFrame) -> pl.DataFrame:
    marked = holidays.select(unique_id="store_id", date="date", holiday=pl.lit(1))
    dated = hours.with_columns(date=pl.col("ds").dt.date())
    with_marks = dated.join(marked.unique(), on=["unique_id", "date"], how="left", maintain_order="left")
    return with_marks.drop("date").with_columns(pl.col("holiday").fill_null(0))


def _at_real_hours(
    forecast: pl.DataFrame, history: pl.DataFrame, records: ChainData, origin: date, horizon_days: int
) -> pl.DataFrame:
    """The forecast of hours by the store's clock as one of real hours; closed hours and what is below 0 are 0."""
    week = [pl.col("ds").dt.weekday().alias("weekday"), pl.col("ds").dt.hour().alias("hour")]
    recent = before(history, origin, CLOSED_AFTER).filter(pl.col("y") > 0)
    opened = recent.select("unique_id", *week).unique().with_columns(opened=True)
    local_hours = forecast.with_columns(week).join(opened, on=["unique_id", "weekday", "hour"], how="left").select(
        store_id="unique_id", hour_local=pl.col("ds").cast(pl.Datetime("us")),
        forecast=pl.when("opened").then(pl.col("forecast").clip(0.0)).otherwise(0.0),
    )  # fmt: skip
    grid = hour_grid(records.stores, origin, origin + timedelta(days=horizon_days - 1)).collect()
    return grid.join(local_hours, on=["store_id", "hour_local"]).select(
        "store_id", pl.lit(origin).alias("origin_date"), "hour_utc", pl.col("forecast").cast(pl.Float64)
    )  # fmt: skip


PEERS: dict[str, Peer] = {"statsforecast": forecast_by_statsforecast, "mlforecast": forecast_by_mlforecast}
"""By the name of the library that each needs."""
