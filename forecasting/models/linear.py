"""The linear member: a robust regression of a day's departure from the incumbent on recent levels and last year.

With few stores it has what trees lack: a handful of coefficients that no single day can bend.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.deterministic_sum import exact_sum

Array = NDArray[np.float64]

LINEAR = ("linear", "anniversary")
ORIGIN_DAY = ["store_id", "origin_date", "date"]
DAY_RATIOS = ("history_day_level_3", "history_day_level_7", "history_day_level_14", "history_day_level_28",
          "history_weekday_last", "history_day_trend", "history_last_year")  # fmt: skip
"""Ratios of the day: their logarithms are regressors, null counts as no departure."""
DAYS_OF_LAST_YEAR = ("history_last_year_day", "history_last_year_date")
"""What `anniversary` has besides: where a town's calendar repeats it gains much, elsewhere it is noise, so it is a
member of its own that must earn its weight on rolling origins."""
HOURLY = ("history_last_2", "history_last_8")
"""Ratios of an hour to `smooth`, added up to the day and told as ratios to the incumbent."""
RIDGE = 0.1
RIDGE_STORE_DAYS = 60
"""History that weighs as much as no departure does: a quarter of a year of one store says little of levels."""
DELTA = 0.05
"""Departure below which an error counts by its square: where there is no slope an absolute loss cannot be solved."""
FIT_ITERATIONS = 25
MAX_LOG_DEPARTURE = 1.5
"""No day departs from its incumbent by more than this in logs, nor does a regressor from 0."""


@dataclass(frozen=True)
class Linear:
    """The fitted member: two coefficients a regressor, at mid-horizon and for the change over the horizon."""

    member: str
    coefficients: tuple[float, ...]
    spreads: tuple[float, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """Return the features of the matrix that it reads."""
        return (*DAY_RATIOS, *DAYS_OF_LAST_YEAR, *HOURLY)

    def daily_totals(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return one row per store, origin and date of a matrix: `total`, the day's demand in the target's unit."""
        days, terms = self._terms(rows)
        # Added up column by column: a matrix product's last bit depends on how many rows there are.
        departure = np.clip(reduce(np.add, terms.T), -MAX_LOG_DEPARTURE, MAX_LOG_DEPARTURE)
        return days.select(*ORIGIN_DAY, total=pl.col("by_hand") * pl.Series(np.exp(departure)))

    def daily_terms(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return `by_hand` and what each regressor adds to the log of the total over it, before the bound on their sum.

        One row per store, origin and date.
        """
        days, terms = self._terms(rows)
        names = regressor_names(self.member)
        at_middle, by_lead = terms[:, : len(names)], terms[:, len(names) :]
        both = pl.DataFrame(at_middle + by_lead, schema=names)
        return pl.concat([days.select(*ORIGIN_DAY, "by_hand"), both], how="horizontal")

    def _terms(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, Array]:
        days = _days(rows)
        return days, _regressors(self.member, days) * np.array(self.coefficients)

    def importance(self) -> pl.DataFrame:
        """Return one row per regressor: member, feature, its share of the movement in the log of a usual day."""
        names = regressor_names(self.member)
        moved = np.abs(np.array(self.coefficients) * np.array(self.spreads)).reshape(2, len(names)).sum(axis=0)
        frame = pl.DataFrame({"feature": names, "gain": moved})
        return frame.select(pl.lit(self.member).alias("member"), "feature",
                            gain_share=pl.col("gain") / max(float(moved.sum()), 1e-12))  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the member as JSON has it; `from_dict` restores it to the last bit."""
        return {"member": self.member, "coefficients": list(self.coefficients), "spreads": list(self.spreads)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Return the member of `to_dict`."""
        return cls(fields["member"], tuple(fields["coefficients"]), tuple(fields["spreads"]))


def regressor_names(member: str) -> list[str]:
    """Return the names of the regressors, in order."""
    return ["constant", *_day_ratios(member), *HOURLY]


def _day_ratios(member: str) -> tuple[str, ...]:
    return DAY_RATIOS + DAYS_OF_LAST_YEAR if member == "anniversary" else DAY_RATIOS


def fit_linear(member: str, rows: pl.DataFrame, y: Array) -> Linear:
    """Fit one of LINEAR on matrix rows and their demand, days weighed by their incumbent.

    Least absolute deviations with a ridge, by iteratively reweighted least squares (Schlossmacher 1973).
    """
    days = _days(rows.with_columns(y=pl.Series(y)))
    weight = days["by_hand"].to_numpy()
    weight = weight / max(float(weight.mean()), 1e-9)
    x = _regressors(member, days)
    departure = np.log(np.clip(days["y"].to_numpy() / np.maximum(days["by_hand"].to_numpy(), 1e-9), 0.1, 10.0))
    spreads = np.where(x.std(axis=0) > 1e-8, x.std(axis=0), 1.0)
    scaled, solved = x / spreads, np.zeros(x.shape[1])
    ridge = RIDGE + RIDGE_STORE_DAYS / max(days.select("store_id", "date").n_unique(), 1)
    for _ in range(FIT_ITERATIONS):
        # Not by matrix products, whose last bits depend on the number of threads.
        error = departure - np.einsum("ij,j->i", scaled, solved)
        pull = weight / np.sqrt(error**2 + DELTA**2)
        pulled = scaled * pull[:, None]
        normal = np.einsum("ij,ik->jk", pulled, scaled) + ridge * pull.sum() * np.eye(len(solved))
        solved = np.linalg.solve(normal, np.einsum("ij,i->j", pulled, departure))
    return Linear(member, tuple(np.round(solved / spreads, 9).tolist()), tuple(spreads.tolist()))


def _days(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store, origin and date of the matrix: sums over its hours, and features of the day."""
    sums = {"by_hand": pl.col("incumbent")} | {name: pl.col(name) * pl.col("smooth") for name in HOURLY}
    if "y" in rows.columns:
        sums["y"] = pl.col("y")
    added = [exact_sum(value.fill_null(0.0)).alias(name) for name, value in sums.items()]
    day_columns = [pl.col("lead_days", *DAY_RATIOS, *DAYS_OF_LAST_YEAR).first()]
    return rows.group_by(ORIGIN_DAY, maintain_order=True).agg(*added, *day_columns)


def _regressors(member: str, days: pl.DataFrame) -> Array:
    """Return one column per regressor, then each again times the lead as -1/2 .. 1/2 of the horizon."""
    ratios = [pl.col(name) for name in _day_ratios(member)]
    ratios += [pl.col(name) * (1.0 / pl.col("by_hand")) for name in HOURLY]
    bound = MAX_LOG_DEPARTURE
    logs = [pl.when(ratio > 0).then(ratio.log()).clip(-bound, bound).fill_null(0.0) for ratio in ratios]
    finite_logs = [pl.when(log.is_finite()).then(log).otherwise(0.0) for log in logs]
    columns = [value.alias(str(k)) for k, value in enumerate([pl.lit(1.0), *finite_logs])]
    x = days.with_columns(columns).select(str(k) for k in range(len(columns))).to_numpy()
    lead = days["lead_days"].to_numpy().astype(np.float64) / 13 - 0.5
    return np.hstack([x, x * lead[:, None]])
