"""The grid of hours that all stores share: one axis of UTC hours, shown by each time zone's clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from daypart.features.simulator.noise import Index, Mask

HOURS_WEST = 12
"""Zones of whole hours up to so far west of Greenwich fit on the grid."""

Times = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Clocks:
    """UTC hours (hours,) and what each zone's clock shows then (zones, hours).

    `day` counts local dates from the start and can lie outside 0 .. days - 1 at the edges; `at` finds the
    first UTC hour of a local (day, hour), -1 where the clock skips it.
    """

    start: date
    days: int
    utc: Times
    local: Times
    day: Index
    hour: Index
    at: Index

    @property
    def dates(self) -> list[date]:
        """Local dates of the span."""
        return [self.start + timedelta(days=step) for step in range(self.days)]

    @property
    def inside(self) -> Mask:
        """Whether the local date lies in the span, (zones, hours)."""
        return np.asarray((self.day >= 0) & (self.day < self.days))


def read_clocks(start: date, days: int, zones: Sequence[str]) -> Clocks:
    """Return the clocks of the zones, all of them at whole hours west of Greenwich, over local dates from start."""
    first = datetime.combine(start, time())
    hours = pl.datetime_range(first, first + timedelta(days=days, hours=HOURS_WEST), "1h", eager=True)
    utc = hours.cast(pl.Datetime("us"))
    shown = [
        utc.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None).to_numpy()
        for zone in zones
    ]
    local = np.stack(shown)
    since = (local - np.datetime64(first, "us")).astype("timedelta64[h]").astype(np.int64)
    day, hour = since // 24, since % 24
    at = np.full((len(zones), days, 24), -1, dtype=np.int64)
    again = np.zeros(local.shape, dtype=bool)
    again[:, 1:] = local[:, 1:] == local[:, :-1]
    zone, index = np.nonzero((day >= 0) & (day < days) & ~again)
    at[zone, day[zone, index], hour[zone, index]] = index
    return Clocks(start, days, utc.to_numpy(), local, day, hour, at)
