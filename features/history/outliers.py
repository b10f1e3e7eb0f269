"""Outliers: hours with a slipped decimal point or a test run of the till, which must not distort weeks of states."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.grid import DAY_HOURS, Column, Grid

OUTLIER_RATIO = 20
"""An hour of more than this many usual busiest hours is an outlier."""
PEAK_DAYS, MIN_PEAK_DAYS = 28, 3
"""The usual busiest hour is the median of PEAK_DAYS open days before, where there are at least MIN_PEAK_DAYS."""


def cap_outliers(grid: Grid, sold: Column) -> Column:
    """Return demand with each outlier as a usual busiest hour; the same array where there is none.

    Each day is compared with earlier days alone, so later days change nothing.
    """
    by_day = sold.reshape(-1, DAY_HOURS)
    peaks = by_day.max(axis=1, initial=0.0).reshape(len(grid.store_ids), grid.dates)
    lowest = np.where(peaks > 0, peaks, np.inf).min(axis=1, initial=np.inf)
    suspects = np.flatnonzero(peaks.max(axis=1, initial=0.0) > OUTLIER_RATIO * lowest)
    if not len(suspects):
        return sold
    capped = by_day.copy()
    for store in suspects:
        days = np.flatnonzero(peaks[store] > 0)
        usual = _usual(peaks[store, days])[:, None]
        store_rows = store * grid.dates + days
        capped[store_rows] = np.where(by_day[store_rows] > OUTLIER_RATIO * usual, usual, by_day[store_rows])
    return capped.ravel()


def _usual(peaks: NDArray[np.float64]) -> Column:
    """Return the median of the busiest hours before each day; infinite where there are too few."""
    before = pl.Series(peaks).shift(1).rolling_median(PEAK_DAYS, min_samples=MIN_PEAK_DAYS)
    medians: Column = before.fill_null(np.inf).to_numpy()
    return medians
