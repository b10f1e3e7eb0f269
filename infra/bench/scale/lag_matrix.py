"""Lags, rolling means and date features of regular hourly series, from the project's own primitives."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from daypart.features.deterministic_sum import STEPS_PER_UNIT, ordered_sum, rank
from daypart.forecasting.models.engine import WORKERS
from infra.bench.harness.isolated_job import Work

WEEK_HOURS = 168
LAG_HOURS = (168, 336, 504, 672)
MEAN_WINDOWS = (168, 672)
LAG_DATE_FEATURES = ("hour", "weekday", "month", "ordinal_day")
LAG_DEPTH = 8 * WEEK_HOURS
"""Earlier hours that a row needs for all its features; rows with fewer are left out."""


def lag_matrix(series: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of sorted hourly (unique_id, ds, y) that have LAG_DEPTH hours before them, with features.

    `lag<k>`; `same_4`, `same_8`: mean of as many same hours of the week, `mean_168`, `mean_672`: of as many hours,
    all up to a week before; hour, weekday, month and ordinal_day of `ds`. Lags and means are of y's type.
    """
    y, dtype = pl.col("y"), series.schema["y"]
    # A value that reaches across the start of a series lies within LAG_DEPTH rows of it; those rows are dropped.
    lagged = {f"lag{lag}": y.shift(lag) for lag in LAG_HOURS}
    sums = (y.cast(pl.Float64) * STEPS_PER_UNIT).round().cast(pl.Int64).cum_sum()
    means = {
        f"mean_{k}": ((sums - sums.shift(k)) / (STEPS_PER_UNIT * k)).shift(WEEK_HOURS).cast(dtype) for k in MEAN_WINDOWS
    }
    wide = series.with_columns(rank=rank("unique_id"), **lagged, **means)
    wide = wide.with_columns(same_4=ordered_sum(pl.col(name) for name in lagged) / len(LAG_HOURS))
    wide = wide.with_columns(same_8=(pl.col("same_4") + pl.col("same_4").shift(4 * WEEK_HOURS)) / 2)
    return _dated(wide.filter(pl.col("rank") >= LAG_DEPTH).drop("rank"))


def _dated(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the date features, computed once per hour."""
    first, last = pl.col("ds").min(), pl.col("ds").max()
    hours = rows.select(pl.datetime_range(first, last, "1h").alias("ds"))
    date_features = hours.select(getattr(pl.col("ds").dt, name)().alias(name) for name in LAG_DATE_FEATURES)
    place = rows.select((pl.col("ds") - first).dt.total_hours().cast(pl.UInt32)).to_series()
    return rows.hstack(date_features.select(pl.all().gather(place)))


def sums(rows: pl.DataFrame) -> dict[str, float]:
    """Return the number of rows and the sum of every column but the date."""
    column_sums = rows.drop("ds").select(pl.all().cast(pl.Float64).sum()).row(0, named=True)
    return {"rows": rows.height, **column_sums}


def in_blocks(series: Path) -> Work:
    """Return the work on all series, two files at a time; each block is summed up and not kept."""

    def work() -> dict[str, float]:
        with ThreadPoolExecutor(WORKERS) as pool:
            return _added(pool.map(_block, sorted(series.iterdir())))

    return work


def _block(path: Path) -> dict[str, float]:
    return sums(lag_matrix(pl.read_parquet(path)))


def _added(parts: Iterable[dict[str, float]]) -> dict[str, float]:
    return pl.DataFrame(list(parts)).sum().row(0, named=True)
