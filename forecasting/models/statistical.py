"""The statistical member: exponential smoothing of each store's daily totals, spread over hours by a learned shape."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from daypart.features.deterministic_sum import exact_sum

SEASON_DAYS = 7
SMOOTHED_DAYS = 182
MIN_SEASON_DAYS = 28
"""With fewer known open days there is no weekly season to smooth, and the member is silent."""


def daily_forecasts(totals: pl.DataFrame, origins: Sequence[date], horizon_days: int) -> pl.DataFrame:
    """Return the day's demand, `total`, never below 0: one row per store, origin and date of the horizon.

    Additive-error, additive-season exponential smoothing without trend on log totals (ETS(A,N,A): Hyndman et
    al. 2008), refitted at every origin on the last half year before it. Closed days are bridged by the same
    weekday of the week before. Stores with under four weeks of open days have no rows.
    """
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS

    series = _series(totals, origins)
    if series.is_empty():
        return pl.DataFrame(
            schema={"store_id": pl.String, "origin_date": pl.Date, "date": pl.Date, "total": pl.Float64}
        )
    engine = StatsForecast(models=[AutoETS(SEASON_DAYS, "ANA", alias="level")], freq="1d", n_jobs=1)
    forecasts = engine.forecast(df=series.select("unique_id", "ds", "y"), h=horizon_days)
    names = series.select("unique_id", "store_id", "origin_date").unique()
    days: pl.DataFrame = (
        forecasts.join(names, on="unique_id")
        .select(
            "store_id",
            "origin_date",
            date=pl.col("ds").cast(pl.Date),
            total=(pl.col("level").exp() - 1).clip(0),
        )
        .sort("store_id", "origin_date", "date")
    )
    return days


def _series(totals: pl.DataFrame, origins: Sequence[date]) -> pl.DataFrame:
    """Return one row per store, origin and date of the half year before it, without gaps."""
    frame = pl.DataFrame({"origin_date": sorted(set(origins))}, schema={"origin_date": pl.Date})
    back = pl.duration(days=SMOOTHED_DAYS)
    spans = (
        totals.select("store_id", "date").join(frame, how="cross")
        .filter(pl.col("date") < pl.col("origin_date"), pl.col("date") >= pl.col("origin_date") - back)
        .group_by("store_id", "origin_date").agg(first=pl.col("date").min(), open_days=pl.len())
        .filter(pl.col("open_days") >= MIN_SEASON_DAYS)
    )  # fmt: skip
    grid = spans.with_columns(
        date=pl.date_ranges("first", pl.col("origin_date") - pl.duration(days=1))
    ).explode("date")  # fmt: skip
    daily_totals = grid.join(totals.select("store_id", "date", "total"), on=["store_id", "date"], how="left")
    by = ["store_id", "origin_date"]
    bridged = pl.col("total").forward_fill().over([*by, pl.col("date").dt.weekday()])
    mean = exact_sum(pl.col("total")) / pl.col("total").count()
    return (
        daily_totals.sort(*by, "date")
        .with_columns(pl.coalesce(bridged, mean.over(by)).alias("total"))
        .select(*by, unique_id=pl.format("{}|{}", "store_id", "origin_date"), ds=pl.col("date").cast(pl.Datetime("us")),
                y=pl.col("total").log1p())
    )  # fmt: skip


def spread(rows: pl.DataFrame, shape: str, days: pl.DataFrame) -> pl.Series:
    """Return the daily forecasts spread over hours in proportion to the column `shape`; null where silent."""
    by = ["store_id", "origin_date", "date"]
    day_sum = exact_sum(pl.col(shape)).over(by)
    share = pl.col(shape) / day_sum
    joined = rows.select(*by, shape).join(days, on=by, how="left", maintain_order="left")
    return joined.select(pl.col("total") * pl.when(day_sum > 0).then(share)).to_series()
