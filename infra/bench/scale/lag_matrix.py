"""Lags, rolling means and date features of regular hourly series, from the project's own primitives."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from daypart.features.deterministic_sum import STEPS, ordered_sum, rank
from daypart.forecasting.models.engine import WORKERS
from infra.bench.harness.isolated_job import Work

WEEK = 168
LAGS = (168, 336, 504, 672)
WINDOWS = (168, 672)
DATE_FEATURES = ("hour", "weekday", "month", "ordinal_day")
DEPTH = 8 * WEEK
"""How many earlier hours a row needs for all its features; rows with fewer are left out."""


def lag_matrix(series: pl.DataFrame) -> pl.DataFrame:
    """Rows of (unique_id, ds, y), sorted and without gaps, that have DEPTH hours before them, with their features.

    `lag<k>`; `same_4`, `same_8`: mean of as many same hours of the week, `mean_168`, `mean_672`: of as many hours,
    all up to a week before; hour, weekday, month and ordinal_day of `ds`. Lags and means are of y's type.
    """
    y, dtype = pl.col("y"), series.schema["y"]
    # What reaches across the start of a series lies within DEPTH rows of it.
    lagged = {f"lag{lag}": y.shift(lag) for lag in LAGS}
    sums = (y.cast(pl.Float64) * STEPS).round().cast(pl.Int64).cum_sum()
    means = {f"mean_{k}": ((sums - sums.shift(k)) / (STEPS * k)).shift(WEEK).cast(dtype) for k in WINDOWS}
    wide = series.with_columns(rank=rank("unique_id"), **lagged, **means)
    wide = wide.with_columns(same_4=ordered_sum(pl.col(name) for name in lagged) / len(LAGS))
    wide = wide.with_columns(same_8=(pl.col("same_4") + pl.col("same_4").shift(4 * WEEK)) / 2)
    return _dated(wide.filter(pl.col("rank") >= DEPTH).drop("rank"))


def _dated(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds the date features, each told once for every hour that there is."""
    first, last = rows["ds"].min(), rows["ds"].max()
    hours = pl.datetime_range(first, last, "1h", eager=True).alias("ds").to_frame()
    date_features = hours.select(getattr(pl.col("ds").dt, name)().alias(name) for name in DATE_FEATURES)
    place = (rows["ds"] - first).dt.total_hours().cast(pl.UInt32)
    return rows.hstack(date_features.select(pl.all().gather(place)))


def sums(rows: pl.DataFrame) -> dict[str, float]:
    """What becomes of the rows: their number, and the sum of every column but the date."""
    column_sums = rows.drop("ds").select(pl.all().cast(pl.Float64).sum()).row(0, named=True)
    return {"rows": rows.height, **column_sums}


def in_blocks(series: Path) -> Work:
    """The matrix of all series, a file of them at a time, two at once; each block is summed up and let go."""

    def work() -> dict[str, float]:
        with ThreadPoolExecutor(WORKERS) as pool:
            return _added(pool.map(_block, sorted(series.iterdir())))

    return work


def _block(path: Path) -> dict[str, float]:
    return sums(lag_matrix(pl.read_parquet(path)))


def _added(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    return pl.DataFrame(list(parts)).sum().row(0, named=True)
