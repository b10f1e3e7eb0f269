"""What a store's own past says at an origin by the hour: the incumbent, the shape of its days, recent levels.

Values are looked up for the days asked about: what follows a day is never touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.deterministic_sum import STEPS_PER_UNIT
from daypart.features.grid import DAY_HOURS, Column, Grid
from daypart.features.history import day_statistics, outliers
from daypart.features.history.lookback import Indices, Lookback, millionths, ratio
from daypart.features.signals.covariates import Outside

SAME_HOUR_WEEKS = 8
"""How many known same-weekday values are looked at; the incumbent is the mean of the last four."""

INCUMBENT_WEEKS = 4

SHAPE_WEEKS = 12
"""Over how many weeks the shape of a day is averaged: it is noisier by the hour than the level is by the day."""

HALF_YEAR_WEEKS = 26

LEVEL_DAYS = (7, 28)

YEAR_DAYS = 400
"""A holiday is remembered for so long, and the busiest hour: a year, and the days by which a movable feast moves."""


@dataclass(frozen=True)
class Past:
    """What a target's history says. Built once, read by many.

    `raw` is what was sold by place of the grid, 0 where nothing was; `sold`, on which all states rest, is the same
    without what `outliers` takes for a fault. `weekdays` and `totals` are the open days as
    `totals.weekday_states` and `totals.day_totals` have them, `day` their number in the grid. `hours` has one row
    per store and clock hour that it ever traded or declares. `holiday_sums` are the chain's (`effects`), `like`
    is what young stores borrow (`kinship`).
    """

    grid: Grid
    raw: Column
    sold: Column
    outside: Outside
    weekdays: pl.DataFrame
    totals: pl.DataFrame
    hours: pl.DataFrame
    holiday_ratios: pl.DataFrame
    store_codes: pl.DataFrame
    holiday_sums: pl.DataFrame
    like: Self | None = None

    @classmethod
    def of(
        cls, demand: pl.DataFrame, target: str, outside: Outside, declared: pl.DataFrame, codes: pl.DataFrame,
        sums: pl.DataFrame,
    ) -> Self:  # fmt: skip
        """The past of a block of stores; `declared` has one row per (store_id, hour).

        A date on which the target sums to 0 is closed. An hour that is declared has a history of 0 from the first
        day, so that the first demand in one changes nothing that was known before it.
        """
        grid = outside.grid
        raw = grid.columns(demand, "hour_local", [target], absent=0.0)[target]
        sold = outliers.tamed(grid, raw)
        weekdays = day_statistics.weekday_states(_open_days(outside, sold))
        days = day_statistics.day_totals(weekdays)
        hours = pl.concat([_traded_hours(grid, sold), declared]).unique()
        ratios = day_statistics.holiday_ratios(days, outside.holidays)
        return cls(grid, raw, sold, outside, weekdays, days, hours, ratios, codes, sums)

    def hour_states(self, points: pl.DataFrame) -> pl.DataFrame:
        """Adds to rows of a store's weekday and hour what the last known same weekdays were.

        Rows have `row`, `rank`, `plain_row`, `plain_rank` of `weekdays`, null where there is no such day, and hour.
        `base`: the incumbent; `last`, `last_2`, `last_8`: means of so many values; `plain_base`, `plain_12`,
        `plain_26`: means of the last four, twelve and twenty-six plain days; `<column>_base` for what was seen
        outside: its mean over the incumbent's days.
        """
        like, plain = self._lookback(points, "weekdays"), self._lookback(points, "plain")
        last_12, last_26 = plain.exact_means(self._steps, SHAPE_WEEKS, HALF_YEAR_WEEKS)
        means = {
            "base": like.mean(self.sold, INCUMBENT_WEEKS),
            **{name: like.mean(self.sold, k) for name, k in (("last", 1), ("last_2", 2), ("last_8", SAME_HOUR_WEEKS))},
            "plain_base": plain.mean(self.sold, INCUMBENT_WEEKS),
            "plain_12": last_12,
            "plain_26": last_26,
            **{f"{name}_base": like.mean(column, INCUMBENT_WEEKS) for name, column in self.outside.hourly.items()},
        }
        return _hstack(points, means)

    def incumbent(self, points: pl.DataFrame) -> pl.DataFrame:
        """Adds `incumbent` to rows as `hour_states` takes them: of what was sold as it was told, faults and all."""
        return _hstack(points, {"incumbent": self._lookback(points, "weekdays").mean(self.raw, INCUMBENT_WEEKS)})

    def hour_levels(self, points: pl.DataFrame) -> pl.DataFrame:
        """Adds to rows of a store's day, by `row` of `totals`, and hour how the hour ran on plain days up to it.

        `hour_level_7`, `hour_level_28`: its sum on plain days over what plain days led to expect, null without
        expectation; `hour_mean_28`: its mean, all over so many last open days.
        """
        days = points.select("row", "hour", rank=pl.col("open_days_known") - 1)
        lately = self._lookback(days, "totals")
        sold, expected = np.zeros(len(days), dtype=np.int64), np.zeros(len(days), dtype=np.int64)
        levels: dict[str, Column] = {}
        for back in range(LEVEL_DAYS[-1]):
            value, usual = self._plain_day(lately, back)
            sold += value
            expected += usual
            if back + 1 in LEVEL_DAYS:
                levels[f"hour_level_{back + 1}"] = ratio(sold / STEPS_PER_UNIT, expected / STEPS_PER_UNIT)
        (levels["hour_mean_28"],) = lately.exact_means(self._steps, LEVEL_DAYS[-1])
        return _hstack(points, levels)

    def _plain_day(self, lately: Lookback, back: int) -> tuple[Indices, Indices]:
        """What came on the day so many open days back and what was usual, in millionths; 0 unless plain and known."""
        day = np.where(lately.known(back), lately.row - back, 0)
        row, rank = (self._daily[name][day] for name in ("plain_row_before", "plain_rank_before"))
        counts = lately.known(back) & self._daily["plain"][day] & (rank >= 0)
        usual = Lookback(self._days["plain"], row, np.where(counts, rank, -1), lately.hour)
        expected = np.nan_to_num(usual.mean(self.sold, INCUMBENT_WEEKS))
        return np.where(counts, self._steps[lately.place(back)], 0), millionths(expected)

    def mean_total(self, rows: pl.DataFrame, on: str, back: int, ahead: int, least: int) -> pl.Series:
        """Mean total of the open days from so many before each row's date `on` to so many after it.

        Null with fewer than `least` of them.
        """
        day, valid = self._day(rows, on)
        first = day - day % max(self.grid.dates, 1)
        low, high = np.maximum(day - back, first), np.minimum(day + ahead + 1, first + self.grid.dates)
        amounts, opened = (running_sum[high] - running_sum[low] for running_sum in self._whole)
        return pl.Series(
            on, ratio(amounts / STEPS_PER_UNIT, np.where(valid & (opened >= least), opened, 0)), nan_to_null=True
        )

    def departure(self, rows: pl.DataFrame, on: str) -> pl.Series:
        """Total over usual on each row's date `on`; null where the store was closed or nothing was usual."""
        day, valid = self._day(rows, on)
        return pl.Series(on, np.where(valid, self._departures[day], np.nan), nan_to_null=True)

    def _day(self, rows: pl.DataFrame, on: str) -> tuple[Indices, NDArray[np.bool_]]:
        day = rows.select(self.grid.day(on)).to_series()
        return day.fill_null(0).to_numpy(), day.is_not_null().to_numpy()

    @cached_property
    def _steps(self) -> Indices:
        return millionths(self.sold)

    @cached_property
    def _whole(self) -> tuple[Indices, Indices]:
        """What was sold, in millionths, and the number of open days, on all days before each number."""
        amounts = np.zeros(len(self.grid.store_ids) * self.grid.dates, dtype=np.int64)
        amounts[self.totals["day"].to_numpy()] = millionths(self.totals["total"].to_numpy())
        return np.append(0, np.cumsum(amounts)), np.append(0, np.cumsum(amounts > 0))

    @cached_property
    def _departures(self) -> Column:
        departures = np.full(len(self.grid.store_ids) * self.grid.dates + 1, np.nan)
        departed = pl.when(pl.col("usual") > 0).then(pl.col("total") * (1.0 / pl.col("usual")))
        departures[self.totals["day"].to_numpy()] = self.totals.select(departed).to_series().to_numpy()
        return departures

    def busiest(self, origin: date) -> pl.DataFrame:
        """One row per store with any day before the origin: `busiest`, its largest hour in the year before, or ever."""
        past_days = self.totals.filter(pl.col("date") < origin).select("store_id", "date", "day")
        peak = pl.Series(self.sold.reshape(-1, DAY_HOURS)[past_days["day"].to_numpy()].max(axis=1), dtype=pl.Float64)
        near = pl.col("peak").filter(pl.col("date") >= origin - timedelta(days=YEAR_DAYS)).max()
        peaks = past_days.with_columns(peak=peak).group_by("store_id").agg(busiest=near, ever=pl.col("peak").max())
        return peaks.select("store_id", busiest=pl.coalesce("busiest", "ever"))

    def came(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of the rows of (store_id, date, hour) whose date is a known open day, with what came as `y`."""
        opened = self.totals.select("store_id", "date", "day")
        open_rows = rows.join(opened, on=["store_id", "date"], how="inner", maintain_order="left")
        place = open_rows.select(pl.col("day") * DAY_HOURS + pl.col("hour")).to_series().to_numpy()
        return open_rows.drop("day").with_columns(y=pl.Series(self.sold[place], dtype=pl.Float64))

    @cached_property
    def _days(self) -> Mapping[str, Indices]:
        frames = {"weekdays": self.weekdays, "plain": self.weekdays.filter("plain"), "totals": self.totals}
        # One more, which stands for none.
        return {name: np.append(frame["day"].to_numpy(), 0) for name, frame in frames.items()}

    @cached_property
    def _daily(self) -> Mapping[str, NDArray[np.int64]]:
        names = ("plain_row_before", "plain_rank_before")
        positions = {name: np.append(self.totals[name].fill_null(-1).to_numpy(), -1) for name in names}
        return {**positions, "plain": np.append(self.totals["plain"].to_numpy(), False)}

    def _lookback(self, points: pl.DataFrame, among: str) -> Lookback:
        prefix = "plain_" if among == "plain" else ""
        row, rank = (points[f"{prefix}{name}"].fill_null(-1).to_numpy() for name in ("row", "rank"))
        return Lookback(self._days[among], row, rank, points["hour"].cast(pl.Int64).to_numpy())


def _open_days(outside: Outside, sold: Column) -> pl.DataFrame:
    """One row per store and date with demand, sorted, as `totals.weekday_states` takes them; adds hours_traded."""
    grid, by_day = outside.grid, sold.reshape(-1, DAY_HOURS)
    amounts = millionths(by_day.sum(axis=1))
    day = np.flatnonzero(amounts > 0)
    store, step = np.divmod(day, max(grid.dates, 1))
    return pl.DataFrame({
        "store_id": grid.store_ids.gather(store), "store": store, "day": day,
        "date": pl.select(pl.lit(grid.first) + pl.duration(days=1) * pl.lit(pl.Series(step))).to_series(),
        "total": amounts[day] / STEPS_PER_UNIT, "hours_traded": (by_day[day] > 0).sum(axis=1),
        "plain": outside.plain[day], "holiday": outside.holiday[day],
    })  # fmt: skip


def _traded_hours(grid: Grid, sold: Column) -> pl.DataFrame:
    """One row per store and clock hour with any demand: store_id, hour."""
    ever = (sold.reshape(len(grid.store_ids), grid.dates, DAY_HOURS) > 0).any(axis=1)
    store, hour = np.nonzero(ever)
    ids = grid.store_ids.gather(store)
    return pl.DataFrame({"store_id": ids, "hour": pl.Series(hour, dtype=pl.Int8)})


def _hstack(points: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    return points.with_columns(pl.Series(name, value, nan_to_null=True) for name, value in columns.items())
