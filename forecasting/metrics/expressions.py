"""The metrics, each defined once: WAPE, bias and accuracy in basis points (bps) of the volume, coverage, pinball loss.

Functions take and return polars expressions; `bps` and `accuracy_bps` take numbers too.
"""

from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

Value = TypeVar("Value", float, NDArray[np.float64], pl.Expr)

BASIS_POINTS = 10_000.0
"""Basis points in a whole."""


def bps(part: Value, volume: Value) -> Value:
    """Return a part of the volume in bps; the caller sees to it that the volume is above 0."""
    return BASIS_POINTS * part / volume


def volume_bps(part: pl.Expr, volume: pl.Expr) -> pl.Expr:
    """Return a summed part of the summed volume in bps; null where the volume is not above 0."""
    return pl.when(volume > 0.0).then(bps(part, volume))


def wape_bps(error: pl.Expr, actual: pl.Expr) -> pl.Expr:
    """Return WAPE in bps: the sum of errors over that of actuals, over the rows whose error is known.

    `error` is an absolute error or another loss in the unit of `actual`. Null where the actuals sum to 0.
    """
    volume = pl.when(error.is_not_null()).then(actual).sum()
    return volume_bps(error.sum(), volume)


def bias_bps(forecast: pl.Expr, actual: pl.Expr) -> pl.Expr:
    """Return the bias in bps of the actuals: above 0 where the forecast is too high, null where actuals sum to 0."""
    return volume_bps((forecast - actual).sum(), actual.sum())


def accuracy_bps(wape: Value) -> Value:
    """Return the accuracy in bps of a WAPE in bps: 10,000 less the WAPE."""
    return BASIS_POINTS - wape


def coverage(within_band: pl.Expr, banded: pl.Expr) -> pl.Expr:
    """Return the share of rows within their band, of those that have one; null where none has."""
    return within_band.filter(banded).mean()


def coverage_of_counts(within_band: pl.Expr, banded: pl.Expr) -> pl.Expr:
    """Return `coverage` from counts of rows within their band and of rows that have one."""
    return pl.when(banded.sum() > 0).then(within_band.sum() / banded.sum())


def pinball(actual: pl.Expr, quantile: pl.Expr, percent: int) -> pl.Expr:
    """Return the pinball loss of a quantile at p = percent / 100.

    It is p (actual - quantile) where the quantile is too low and (1 - p) (quantile - actual) where it is too high, so
    that the true quantile loses least.
    """
    error = actual - quantile
    return pl.max_horizontal(error * (percent / 100), error * (percent / 100 - 1))
