"""A store's demand history at an origin by the hour: the incumbent, the shape of its days, recent levels.

Values are looked up for the given days; nothing after a day is ever read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.chain_data import ChainData
from daypart.features.deterministic_sum import STEPS_PER_UNIT
from daypart.features.grid import DAY_HOURS, Column, Grid
from daypart.features.history import day_statistics, outliers, trading_hours
from daypart.features.history.lookback import Indices, Lookback, millionths, ratio
from daypart.features.signals.covariates import Covariates

SAME_HOUR_WEEKS = 8
"""Number of known same-weekday values that are read; the incumbent is the mean of the last four."""

INCUMBENT_WEEKS = 4

SHAPE_WEEKS = 12
"""Weeks over which the shape of a day is averaged: hourly shapes are noisier than daily levels."""

HALF_YEAR_WEEKS = 26

HOUR_LEVEL_DAYS = (7, 28)

YEARLY_MEMORY_DAYS = 400
"""Days for which holidays and the busiest hour are remembered: a year, and the days by which a movable feast moves."""


@dataclass(frozen=True)
class DemandHistory:
    """A target's history for a block of stores. Build it once and share it.

    `raw` is the demand by place of the grid, 0 where nothing was sold; `sold`, from which all states are computed, is
    the same with outliers capped. `weekdays` and `totals` are the open days as `day_statistics.weekday_states` and
    `day_statistics.day_totals` return them, `day` their number in the grid. `hours` has one row per store and clock
    hour that it ever traded or declares. `holiday_sums` are the chain's (`holiday_effects`). `donor_history` is the
    history that young stores borrow (`similar_stores`).
    """

    target: str
    grid: Grid
    raw: Column
    sold: Column
    covariates: Covariates
    weekdays: pl.DataFrame
    totals: pl.DataFrame
    hours: pl.DataFrame
    holiday_ratios: pl.DataFrame
    store_codes: pl.DataFrame
    holiday_sums: pl.DataFrame
    donor_history: Self | None = None

    @classmethod
    def from_data(
        cls, data: ChainData, target: str, covariates: Covariates, codes: pl.DataFrame, sums: pl.DataFrame
    ) -> Self:
        """Return the history of a block of stores, from its demand and declared hours.

        `codes` are the chain's `horizon.store_codes`, `sums` its `holiday_effects.holiday_sums`. A date on which the
        target sums to 0 is closed. A declared hour has a history of 0 from the first day, so that the first demand in
        it changes nothing that was known before.
        """
        grid = covariates.grid
        raw = grid.columns(data.demand, "hour_local", [target], absent=0.0)[target]
        sold = outliers.cap_outliers(grid, raw)
        weekdays = day_statistics.weekday_states(_open_days(covariates, sold))
        days = day_statistics.day_totals(weekdays)
        hours = pl.concat([_traded_hours(grid, sold), trading_hours.declared_clock_hours(data.hours)]).unique()
        ratios = day_statistics.holiday_ratios(days, covariates.holidays)
        return cls(target, grid, raw, sold, covariates, weekdays, days, hours, ratios, codes, sums)

    def hour_states(self, points: pl.DataFrame) -> pl.DataFrame:
        """Add to rows of a store's weekday and hour the means of the last known same weekdays.

        Rows have `row`, `rank`, `plain_row`, `plain_rank` of `weekdays`, null where there is no such day, and hour.
        `base`: the incumbent; `last`, `last_2`, `last_8`: means of as many values; `plain_base`, `plain_12`,
        `plain_26`: means of the last four, twelve and twenty-six plain days; `<column>_base` for each hourly
        covariate: its mean over the incumbent's days.
        """
        weekdays, plain = self._lookback(points, "weekdays"), self._lookback(points, "plain")
        last_12, last_26 = plain.exact_means(self._sold_steps, SHAPE_WEEKS, HALF_YEAR_WEEKS)
        means = {
            "base": weekdays.mean(self.sold, INCUMBENT_WEEKS),
            **{
                name: weekdays.mean(self.sold, k)
                for name, k in (("last", 1), ("last_2", 2), ("last_8", SAME_HOUR_WEEKS))
            },
            "plain_base": plain.mean(self.sold, INCUMBENT_WEEKS),
            "plain_12": last_12,
            "plain_26": last_26,
            **{
                f"{name}_base": weekdays.mean(column, INCUMBENT_WEEKS)
                for name, column in self.covariates.hourly.items()
            },
        }
        return _hstack(points, means)

    def incumbent(self, points: pl.DataFrame) -> pl.DataFrame:
        """Add `incumbent` to rows as `hour_states` takes them: of demand as recorded, outliers included."""
        return _hstack(points, {"incumbent": self._lookback(points, "weekdays").mean(self.raw, INCUMBENT_WEEKS)})

    def hour_levels(self, points: pl.DataFrame) -> pl.DataFrame:
        """Add to rows of a store's day, by `row` of `totals`, and hour the level of the hour on plain days up to it.

        `hour_level_7`, `hour_level_28`: its sum on plain days over its expected sum, null without expectation;
        `hour_mean_28`: its mean, all over as many last open days.
        """
        days = points.select("row", "hour", rank=pl.col("open_days_known") - 1)
        lately = self._lookback(days, "totals")
        sold, expected = np.zeros(len(days), dtype=np.int64), np.zeros(len(days), dtype=np.int64)
        levels: dict[str, Column] = {}
        for back in range(HOUR_LEVEL_DAYS[-1]):
            value, usual = self._plain_day(lately, back)
            sold += value
            expected += usual
            if back + 1 in HOUR_LEVEL_DAYS:
                levels[f"hour_level_{back + 1}"] = ratio(sold / STEPS_PER_UNIT, expected / STEPS_PER_UNIT)
        (levels["hour_mean_28"],) = lately.exact_means(self._sold_steps, HOUR_LEVEL_DAYS[-1])
        return _hstack(points, levels)

    def _plain_day(self, lately: Lookback, back: int) -> tuple[Indices, Indices]:
        """Return actual and usual demand `back` open days ago, in millionths; 0 unless the day is plain and known."""
        day = np.where(lately.is_known(back), lately.row - back, 0)
        row, rank = (self._daily[name][day] for name in ("plain_row_before", "plain_rank_before"))
        counts = lately.is_known(back) & self._daily["plain"][day] & (rank >= 0)
        usual = Lookback(self._days["plain"], row, np.where(counts, rank, -1), lately.hour)
        expected = np.nan_to_num(usual.mean(self.sold, INCUMBENT_WEEKS))
        return np.where(counts, self._sold_steps[lately.place(back)], 0), millionths(expected)

    def mean_total(self, rows: pl.DataFrame, on: str, back: int, ahead: int, least: int) -> pl.Series:
        """Return the mean total of the open days from `back` days before each row's date `on` to `ahead` days after.

        Null with fewer than `least` of them.
        """
        day, valid = self._day(rows, on)
        first = day - day % max(self.grid.dates, 1)
        low, high = np.maximum(day - back, first), np.minimum(day + ahead + 1, first + self.grid.dates)
        amounts, opened = (running_sum[high] - running_sum[low] for running_sum in self._running_totals)
        return pl.Series(
            on, ratio(amounts / STEPS_PER_UNIT, np.where(valid & (opened >= least), opened, 0)), nan_to_null=True
        )

    def departure(self, rows: pl.DataFrame, on: str) -> pl.Series:
        """Return total over usual on each row's date `on`; null where the store was closed or nothing was usual."""
        day, valid = self._day(rows, on)
        return pl.Series(on, np.where(valid, self._departures[day], np.nan), nan_to_null=True)

    def _day(self, rows: pl.DataFrame, on: str) -> tuple[Indices, NDArray[np.bool_]]:
        day = rows.select(self.grid.day(on)).to_series()
        return day.fill_null(0).to_numpy(), day.is_not_null().to_numpy()

    @cached_property
    def _sold_steps(self) -> Indices:
        return millionths(self.sold)

    @cached_property
    def _running_totals(self) -> tuple[Indices, Indices]:
        """Demand in millionths and the number of open days, summed over all days before each number."""
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
        """Return one row per store with history: `busiest`, its largest hour of the year before the origin, or ever."""
        past_days = self.totals.filter(pl.col("date") < origin).select("store_id", "date", "day")
        peak = pl.Series(self.sold.reshape(-1, DAY_HOURS)[past_days["day"].to_numpy()].max(axis=1), dtype=pl.Float64)
        near = pl.col("peak").filter(pl.col("date") >= origin - timedelta(days=YEARLY_MEMORY_DAYS)).max()
        peaks = past_days.with_columns(peak=peak).group_by("store_id").agg(busiest=near, ever=pl.col("peak").max())
        return peaks.select("store_id", busiest=pl.coalesce("busiest", "ever"))

    def with_actuals(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of (store_id, date, hour) whose date is a known open day, with the actual demand as `y`."""
        opened = self.totals.select("store_id", "date", "day")
        open_rows = rows.join(opened, on=["store_id", "date"], how="inner", maintain_order="left")
        place = open_rows.select(pl.col("day") * DAY_HOURS + pl.col("hour")).to_series().to_numpy()
        return open_rows.drop("day").with_columns(y=pl.Series(self.sold[place], dtype=pl.Float64))

    @cached_property
    def _days(self) -> Mapping[str, Indices]:
        frames = {"weekdays": self.weekdays, "plain": self.weekdays.filter("plain"), "totals": self.totals}
        # The last entry stands for no day.
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


def _open_days(covariates: Covariates, sold: Column) -> pl.DataFrame:
    """Return one row per store and date with demand, sorted, as `day_statistics.weekday_states` takes them."""
    grid, by_day = covariates.grid, sold.reshape(-1, DAY_HOURS)
    amounts = millionths(by_day.sum(axis=1))
    day = np.flatnonzero(amounts > 0)
    store, step = np.divmod(day, max(grid.dates, 1))
    return pl.DataFrame({
        "store_id": grid.store_ids.gather(store), "store": store, "day": day,
        "date": pl.select(pl.lit(grid.first) + pl.duration(days=1) * pl.lit(pl.Series(step))).to_series(),
        "total": amounts[day] / STEPS_PER_UNIT, "hours_traded": (by_day[day] > 0).sum(axis=1),
        "plain": covariates.plain[day], "holiday": covariates.holiday[day],
    })  # fmt: skip


def _traded_hours(grid: Grid, sold: Column) -> pl.DataFrame:
    """Return one row per store and clock hour with any demand: store_id, hour."""
    ever = (sold.reshape(len(grid.store_ids), grid.dates, DAY_HOURS) > 0).any(axis=1)
    store, hour = np.nonzero(ever)
    ids = grid.store_ids.gather(store)
    return pl.DataFrame({"store_id": ids, "hour": pl.Series(hour, dtype=pl.Int8)})


def _hstack(points: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
    return points.with_columns(pl.Series(name, value, nan_to_null=True) for name, value in columns.items())
