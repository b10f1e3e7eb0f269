"""Bias by segment, with a test that is corrected for the number of segments."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from daypart.forecasting.metrics.expressions import volume_bps

MIN_BIAS_WEEKS = 4
"""With fewer weeks of evidence a bias cannot be distinguished from chance."""
FALSE_DISCOVERY_RATE = 0.05
"""Share of the segments called biased that may be so by chance."""
BIAS_COLUMNS = ("by", "segment", "weeks", "actual", "bias_bps", "p", "p_corrected", "biased")


def biases(cells: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return the bias of every segment: one row per column of `by` and value in it, sorted; BIAS_COLUMNS.

    `cells` have date, forecast and y.

    `p` is that of no bias, by Student's t over weeks: what is forecast of a week errs together, in all stores, so that
    hours and store-days are no evidence of their own (of one store they are store-weeks). `p_corrected` is for having
    asked of all rows at once (Benjamini & Hochberg 1995): at most FALSE_DISCOVERY_RATE of those called `biased` are so
    by chance, and where none is biased, one or more are called so at most that often. Null where there are too few
    weeks.
    """
    week = pl.col("date").dt.truncate("1w")
    weekly_sums = pl.concat(_weekly_sums(cells.with_columns(week=week), name) for name in by)
    segments = weekly_sums.group_by("by", "segment", maintain_order=True).agg(
        weeks=pl.len().cast(pl.Int64),
        actual=pl.col("y").sum(),
        over=pl.col("over").sum(),
        scatter=(pl.col("over") - pl.col("y") * pl.col("over").sum() / pl.col("y").sum()).pow(2).sum(),
    )
    segments = segments.with_columns(
        volume_bps(pl.col("over"), pl.col("actual")).alias("bias_bps"),
        _p_values(segments).alias("p"),
    )
    corrected = _correct(segments["p"])
    return segments.with_columns(corrected, (corrected <= FALSE_DISCOVERY_RATE).alias("biased")).select(BIAS_COLUMNS)


def _weekly_sums(cells: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return one row per value and week: y, and the forecast above it; cells without a value are left out."""
    weeks = (
        cells.drop_nulls(name)
        .group_by(name, "week")
        .agg(pl.col("y").sum(), over=(pl.col("forecast") - pl.col("y")).sum())
    )
    return weeks.sort(name, "week").select(
        pl.lit(name).alias("by"), pl.col(name).cast(pl.String).alias("segment"), "y", "over"
    )


def _p_values(segments: pl.DataFrame) -> pl.Series:
    from scipy.stats import t

    weeks = segments["weeks"].to_numpy()
    freedom = np.maximum(weeks - 1, 1)
    error = np.sqrt(segments["scatter"].to_numpy() * weeks / freedom)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.where(segments["over"].to_numpy() == 0, 0.0, np.abs(segments["over"].to_numpy()) / error)
    p = pl.Series("p", 2 * t.sf(apart, freedom))
    return pl.select(pl.when(segments["weeks"] >= MIN_BIAS_WEEKS).then(p)).to_series()


def _correct(p: pl.Series) -> pl.Series:
    from scipy.stats import false_discovery_control

    indices = p.is_not_null().arg_true()
    corrected = np.full(len(p), np.nan)
    if len(indices):
        corrected[indices.to_numpy()] = false_discovery_control(p.gather(indices).to_numpy())
    return pl.Series("p_corrected", corrected, nan_to_null=True)
