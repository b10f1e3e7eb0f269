"""A place for every clock hour of a block of stores, so that what any hour was is found without a search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

Column = NDArray[np.float64]
"""One value for every place of a grid."""

DAY_HOURS = 24


@dataclass(frozen=True)
class Grid:
    """Numbers 24 places to a calendar date, the dates of a store in a row, store by store in order of ids."""

    store_ids: pl.Series
    first: date
    dates: int

    @classmethod
    def of(cls, store_ids: pl.Series, demand: pl.DataFrame, last: date) -> Self:
        """The grid from the first local date of demand to `last`; without dates where there is no demand."""
        first = demand.select(pl.col("hour_local").min().dt.date()).item() or last + timedelta(days=1)
        return cls(store_ids.sort(), first, max((last - first).days + 1, 0))

    def day(self, on: str = "date") -> pl.Expr:
        """Number of the date of each row, whose columns are store_id and `on`; null outside the grid."""
        step = (pl.col(on) - self.first).dt.total_days()
        return pl.when(step.is_between(0, self.dates - 1)).then(self._store() * self.dates + step)

    def columns(
        self, rows: pl.DataFrame, at: str, names: Sequence[str], absent: float = np.nan
    ) -> Mapping[str, Column]:
        """The values of some columns of rows by store_id and local time `at`, by place.

        Where nothing is told there is `absent`. Values that meet in one place, as when clocks go back and show an
        hour twice, are averaged.
        """
        since = (pl.col(at) - pl.lit(self.first).cast(pl.Datetime("us"))).dt.total_hours()
        inside = since.is_between(0, self.dates * DAY_HOURS - 1)
        place = pl.when(inside).then(self._store() * (self.dates * DAY_HOURS) + since)
        placed = rows.select(*names, place=place)
        return {name: self._column(placed.select("place", value=name).drop_nulls(), absent) for name in names}

    def counts(self, spans: pl.DataFrame) -> Column:
        """How many of some rows of store_id, date, first_hour and last_hour cover each place."""
        hours = pl.int_ranges(pl.col("first_hour").cast(pl.Int64), pl.col("last_hour").cast(pl.Int64) + 1)
        placed = spans.select(day=self.day(), hour=hours).drop_nulls().explode("hour", empty_as_null=False)
        place = placed.select(pl.col("day") * DAY_HOURS + pl.col("hour")).to_series().to_numpy()
        return np.bincount(place, minlength=self.places).astype(np.float64)

    def marked(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        """For every store and date, by number, whether there is a row of them."""
        found = np.zeros(len(self.store_ids) * self.dates, dtype=np.bool_)
        found[rows.select(day=self.day()).drop_nulls().to_series().to_numpy()] = True
        return found

    @property
    def places(self) -> int:
        """How many there are."""
        return len(self.store_ids) * self.dates * DAY_HOURS

    def _store(self) -> pl.Expr:
        known = pl.col("store_id").cast(pl.Enum(self.store_ids.cast(pl.String)), strict=False)
        return known.to_physical().cast(pl.Int64)

    def _column(self, told: pl.DataFrame, absent: float) -> Column:
        column = np.full(self.places, absent)
        place, value = told["place"].to_numpy(), told["value"].to_numpy()
        column[place] = value
        shared = np.unique(place[column[place] != value])
        if len(shared):
            meeting = told.filter(pl.col("place").is_in(pl.Series(shared).implode()))
            mean = meeting.group_by("place").agg(pl.col("value").mean())
            column[mean["place"].to_numpy()] = mean["value"].to_numpy()
        return column
