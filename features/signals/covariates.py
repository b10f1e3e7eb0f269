"""Covariates of the stores of a block, the same for every target: holidays, events, weather, labor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.chain_data import ChainData
from daypart.features.grid import DAY_HOURS, Column, Grid
from daypart.features.signals import calendar, events, labor, weather
from daypart.features.signals.weather import WeatherView

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Covariates:
    """Covariates of a block of stores on its grid of hours.

    `weather` is the view of weather that rows of the grid may see. `hourly` has by name the weather observed, the labor
    scheduled and the events active at every hour of the grid; NaN where unknown. `holidays`, `event_days` and
    `event_codes` are as `calendar` and `events` return them. By number of the grid's day, `holiday` says whether it is
    a holiday, `plain` that neither a holiday nor a temporary event touches it.
    `schedule_known_on` is the day, counted from 1970, on which the labor scheduled at an hour was known, NaN where it
    always was; None where no schedule has such a day.
    """

    grid: Grid
    weather: WeatherView
    holidays: pl.DataFrame
    event_days: pl.DataFrame
    event_codes: pl.DataFrame
    holiday: Marks
    plain: Marks
    hourly: Mapping[str, Column]
    schedule_known_on: Column | None = None

    @classmethod
    def from_data(cls, records: ChainData, view: WeatherView, last: date) -> Self:
        """Return the covariates of a block of stores, from the first date of its demand to `last`."""
        records = replace(records, labor=labor.known_in_time(records.labor, records.stores))
        grid = Grid.from_demand(records.stores, records.demand, last)
        first = min(grid.first, last)
        near = timedelta(days=calendar.HOLIDAY_NEAR_DAYS)
        holidays = calendar.public_holidays(records.stores, first - near, last + near)
        days = events.event_days(records.events, records.stores, first, last)
        holiday = grid.day_mask(holidays)
        plain = ~(holiday | grid.day_mask(events.busy_days(days)))
        codes = events.name_codes(records.events)
        columns, known_on = _hourly_columns(records, view, grid, days), _schedule_known_on(records.labor, grid)
        return cls(grid, view, holidays, days, codes, holiday, plain, columns, known_on)

    def scheduled_hours(self, rows: pl.DataFrame) -> pl.Series:
        """Return the labor scheduled at each row's store_id, date and hour, null unless known before `origin_date`."""
        scheduled = self._at(rows, self.hourly[labor.SCHEDULED])
        if self.schedule_known_on is None:
            return scheduled.alias(labor.SCHEDULED)
        known_on = self._at(rows, self.schedule_known_on)
        late = known_on >= rows["origin_date"].cast(pl.Int32)
        return pl.select(pl.when(~late.fill_null(value=False)).then(scheduled).alias(labor.SCHEDULED)).to_series()

    def _at(self, rows: pl.DataFrame, column: Column) -> pl.Series:
        """Return a column's value at each row's store_id, date and hour; null where it is NaN or outside the grid."""
        place = rows.select(self.grid.day() * DAY_HOURS + pl.col("hour")).to_series()
        return pl.Series(column, nan_to_null=True).gather(place)


def _hourly_columns(records: ChainData, view: WeatherView, grid: Grid, days: pl.DataFrame) -> Mapping[str, Column]:
    """Return the hourly columns of those tables that the chain records."""
    columns: dict[str, Column] = {}
    if view != "none" and records.weather.height:
        columns |= grid.columns(weather.observations(records.weather), "valid_local", weather.DEPARTING)
    if records.labor.height:
        columns |= grid.columns(records.labor, "hour_local", [labor.SCHEDULED])
    if records.events.height:
        columns |= {name: grid.hour_counts(spans) for name, spans in events.temporary_event_days(days).items()}
    return columns


def _schedule_known_on(schedule: pl.DataFrame, grid: Grid) -> Column | None:
    dated = schedule.filter(pl.col("known_on").is_not_null())
    if dated.is_empty():
        return None
    days = dated.with_columns(pl.col("known_on").cast(pl.Int32).cast(pl.Float64))
    return grid.columns(days, "hour_local", ["known_on"])["known_on"]
