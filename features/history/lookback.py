"""Values at an hour of the last similar days before a day, for many days and hours at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daypart.features.deterministic_sum import STEPS_PER_UNIT
from daypart.features.grid import DAY_HOURS, Column

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Lookback:
    """Days to look back from, each `row` with `rank` similar days before it in `days`; rank -1 has none."""

    days: Indices
    row: Indices
    rank: Indices
    hour: Indices

    def is_known(self, back: int) -> NDArray[np.bool_]:
        """Return whether there is a similar day, `back` days back."""
        return self.rank >= back

    def place(self, back: int) -> Indices:
        """Return the place of the hour on that day; any place where the day is not known."""
        day = self.days[np.where(self.is_known(back), self.row - back, 0)]
        places: Indices = day * DAY_HOURS + self.hour
        return places

    def mean(self, column: Column, days: int) -> Column:
        """Return the mean of the last `days` known values, added up in a fixed order; NaN without any."""
        total, known_count = np.zeros(len(self.row)), np.zeros(len(self.row))
        for back in range(days):
            value = column[self.place(back)]
            counts = self.is_known(back) & ~np.isnan(value)
            total += np.where(counts, value, 0.0)
            known_count += counts
        return ratio(total, known_count)

    def exact_means(self, steps: Indices, *spans: int) -> list[Column]:
        """Return the mean of the last values over each span, in rising order, of a column in whole millionths."""
        total, means = np.zeros(len(self.row), dtype=np.int64), []
        for back in range(spans[-1]):
            total += np.where(self.is_known(back), steps[self.place(back)], 0)
            if back + 1 in spans:
                means.append(ratio(total / STEPS_PER_UNIT, np.minimum(self.rank + 1, back + 1)))
        return means


def ratio(values: Column, base: Column | Indices) -> Column:
    """Return quotients; NaN unless the base is above 0."""
    quotients: Column = np.divide(values, base, out=np.full(len(values), np.nan), where=base > 0)
    return quotients


def millionths(values: Column) -> Indices:
    """Return values as whole millionths, whose sum does not depend on their order."""
    return np.rint(values * STEPS_PER_UNIT).astype(np.int64)
