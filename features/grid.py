"""A numbered place for every clock hour of a block of stores, so that the value of an hour is found without search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.business_day import business_clock, business_date, day_start, late_stores

Column = NDArray[np.float64]
"""One value for every place of a grid."""

DAY_HOURS = 24


@dataclass(frozen=True)
class Grid:
    """Numbers of 24 places a calendar date, the dates of a store in a row, store by store in order of ids."""

    store_ids: pl.Series
    first: date
    dates: int
    stores: pl.DataFrame = field(default_factory=lambda: late_stores(pl.DataFrame()))
    """The stores whose days do not begin at midnight, as `business_day.late_stores` returns them."""

    @classmethod
    def from_demand(cls, stores: pl.DataFrame, demand: pl.DataFrame, last: date) -> Self:
        """Return the grid from the first business date of demand to `last`; without dates where there is no demand.

        `stores` has store_id and, where days begin after midnight, `day_starts`.
        """
        first = demand.select(business_date(stores).min()).item() or last + timedelta(days=1)
        return cls(stores["store_id"].sort(), first, max((last - first).days + 1, 0), late_stores(stores))

    def day(self, on: str = "date") -> pl.Expr:
        """Return the number of the date of each row, by store_id and `on`; null outside the grid."""
        step = (pl.col(on) - self.first).dt.total_days()
        return pl.when(step.is_between(0, self.dates - 1)).then(self._store() * self.dates + step)

    def columns(
        self, rows: pl.DataFrame, at: str, names: Sequence[str], absent: float = np.nan
    ) -> Mapping[str, Column]:
        """Return some columns of rows, by store_id and local time `at`, as values by place (business date and hour).

        A place without a value has `absent`. Values that fall in one place, as when clocks go back and show an hour
        twice, are averaged.
        """
        since = (business_clock(self.stores, at) - pl.lit(self.first).cast(pl.Datetime("us"))).dt.total_hours()
        inside = since.is_between(0, self.dates * DAY_HOURS - 1)
        if not self.stores.is_empty():
            since = since // DAY_HOURS * DAY_HOURS + pl.col(at).dt.hour()
        place = pl.when(inside).then(self._store() * (self.dates * DAY_HOURS) + since)
        placed = rows.select(*names, place=place)
        return {name: self._column(placed.select("place", value=name).drop_nulls(), absent) for name in names}

    def hour_counts(self, spans: pl.DataFrame) -> Column:
        """Return how many rows of store_id, date, first_hour and last_hour cover each place.

        The hours count from the beginning of the business day.
        """
        hours = pl.int_ranges(pl.col("first_hour").cast(pl.Int64), pl.col("last_hour").cast(pl.Int64) + 1)
        spread = spans.select(day=self.day(), start=day_start(self.stores), hour=hours).drop_nulls()
        placed = spread.explode("hour", empty_as_null=False).with_columns(
            (pl.col("hour") + pl.col("start")) % DAY_HOURS
        )
        place = placed.select(pl.col("day") * DAY_HOURS + pl.col("hour")).to_series().to_numpy()
        return np.bincount(place, minlength=self.places).astype(np.float64)

    def day_mask(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        """Return for every store and date, by number, whether `rows` has them."""
        is_marked = np.zeros(len(self.store_ids) * self.dates, dtype=np.bool_)
        is_marked[rows.select(day=self.day()).drop_nulls().to_series().to_numpy()] = True
        return is_marked

    @property
    def places(self) -> int:
        """Number of places."""
        return len(self.store_ids) * self.dates * DAY_HOURS

    def _store(self) -> pl.Expr:
        store = pl.col("store_id").cast(pl.Enum(self.store_ids.cast(pl.String)), strict=False)
        return store.to_physical().cast(pl.Int64)

    def _column(self, cells: pl.DataFrame, absent: float) -> Column:
        column = np.full(self.places, absent)
        place, value = cells["place"].to_numpy(), cells["value"].to_numpy()
        column[place] = value
        shared = np.unique(place[column[place] != value])
        if len(shared):
            meeting = cells.filter(pl.col("place").is_in(pl.Series(shared).implode()))
            mean = meeting.group_by("place").agg(pl.col("value").mean())
            column[mean["place"].to_numpy()] = mean["value"].to_numpy()
        return column
