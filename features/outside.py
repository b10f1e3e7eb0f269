"""What went on around the stores of a block, the same for every target: holidays, events, weather, labor."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features import calendar, events, labor, weather
from features.grid import DAY_HOURS, Column, Grid
from features.records import Records
from features.weather import WeatherView

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Outside:
    """`seen` has, by name, what was observed, scheduled or going on at every hour of the grid; NaN where unknown.

    `holidays`, `event_days` and `event_codes` are as `calendar` and `events` have them; by number of the grid's
    day, `holiday` says whether it is one, `plain` that neither it nor an event that passes touches the day.
    """

    grid: Grid
    holidays: pl.DataFrame
    event_days: pl.DataFrame
    event_codes: pl.DataFrame
    holiday: Marks
    plain: Marks
    seen: Mapping[str, Column]

    @classmethod
    def of(cls, records: Records, view: WeatherView, last: date) -> Self:
        """Of a block of stores, from the first date of its demand to `last`."""
        grid = Grid.of(records.stores["store_id"], records.demand, last)
        first = min(grid.first, last)
        near = timedelta(days=calendar.NEAR_DAYS)
        holidays = calendar.public_holidays(records.stores, first - near, last + near)
        days = events.event_days(records.events, records.stores, first, last)
        holiday = grid.marked(holidays)
        plain = ~(holiday | grid.marked(events.busy_days(days)))
        codes = events.name_codes(records.events)
        return cls(grid, holidays, days, codes, holiday, plain, _seen(records, view, grid, days))

    def at(self, rows: pl.DataFrame, name: str) -> pl.Series:
        """What is in a column of `seen` at each row's store_id, date and hour; null where unknown."""
        place = rows.select(self.grid.day() * DAY_HOURS + pl.col("hour")).to_series()
        return pl.Series(name, self.seen[name], nan_to_null=True).gather(place)


def _seen(records: Records, view: WeatherView, grid: Grid, days: pl.DataFrame) -> Mapping[str, Column]:
    """Only what the chain records."""
    seen: dict[str, Column] = {}
    if view != "none" and records.weather.height:
        seen |= grid.columns(weather.observed(records.weather), "valid_local", weather.DEPARTING)
    if records.labor.height:
        seen |= grid.columns(records.labor, "hour_local", [labor.SCHEDULED])
    if records.events.height:
        seen |= {name: grid.counts(spans) for name, spans in events.passing_days(days).items()}
    return seen
