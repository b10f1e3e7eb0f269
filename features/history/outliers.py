"""Hours that cannot be true: a slipped decimal point or a test run of the till, which must not move weeks of states."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.grid import DAY_HOURS, Column, Grid

FAULT = 20
"""An hour of more than so many usual busiest hours is taken for a fault."""
USUAL_DAYS, LEAST_DAYS = 28, 3
"""The usual busiest hour is the median of that of so many open days before, where there are at least a few."""


def tamed(grid: Grid, sold: Column) -> Column:
    """What was sold, where a fault counts as a usual busiest hour; the same array where there is none.

    Each day is held against the days before it alone: later ones change nothing.
    """
    by_day = sold.reshape(-1, DAY_HOURS)
    peaks = by_day.max(axis=1, initial=0.0).reshape(len(grid.store_ids), grid.dates)
    lowest = np.where(peaks > 0, peaks, np.inf).min(axis=1, initial=np.inf)
    suspects = np.flatnonzero(peaks.max(axis=1, initial=0.0) > FAULT * lowest)
    if not len(suspects):
        return sold
    tame = by_day.copy()
    for store in suspects:
        days = np.flatnonzero(peaks[store] > 0)
        usual = _usual(peaks[store, days])[:, None]
        store_rows = store * grid.dates + days
        tame[store_rows] = np.where(by_day[store_rows] > FAULT * usual, usual, by_day[store_rows])
    return tame.ravel()


def _usual(peaks: NDArray[np.float64]) -> Column:
    """The median of the busiest hours before each; infinite where there are too few."""
    before = pl.Series(peaks).shift(1).rolling_median(USUAL_DAYS, min_samples=LEAST_DAYS)
    medians: Column = before.fill_null(np.inf).to_numpy()
    return medians
