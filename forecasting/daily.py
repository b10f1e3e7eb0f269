"""Whole days from the hours of a matrix: the grain at which a store's level is learned, free of the hours' noise."""

import polars as pl

from features.exact import exact_sum
from features.matrix import feature_names

DAY = ["store_id", "origin_date", "date", "lead_days"]
OF_THE_HOUR = ("calendar_hour", "history_shape", "store_log_incumbent")
"""Features that tell the hours of a day apart and say nothing of the whole."""


def day_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per store, origin and date: `smooth`, `scale` and, where the rows have it, `y` are sums over its hours.

    Each feature is its mean over the day's hours, weighted by what they usually sell, so that a ratio of an hour
    becomes the ratio of the day. Sorted by store, origin and date.
    """
    features = [name for name in feature_names(rows) if name not in OF_THE_HOUR]
    weight = (pl.col("smooth").fill_null(0.0) / pl.col("scale")).clip(0.01, 100.0)
    sums = [exact_sum(pl.col(name)).alias(name) for name in ("smooth", "scale", "y") if name in rows.columns]
    means = [_mean(name, rows.schema[name]).alias(name) for name in features]
    return (
        rows.with_columns(weight=weight).group_by(DAY).agg(*sums, *means).sort(DAY)
    )


def _mean(name: str, dtype: pl.DataType) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    known = exact_sum(pl.when(value.is_not_null()).then("weight").otherwise(0.0))
    return pl.when(known > 0).then(exact_sum(value * pl.col("weight")) / known)
