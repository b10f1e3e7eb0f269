"""The accuracy to expect of a model, from its rolling origins; its published forecasts are compared with it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.forecasting.metrics.expressions import BASIS_POINTS, bps
from daypart.forecasting.metrics.persistent_error import WEEK_DAYS, store_weeks

Array = NDArray[np.float64]

FIGURE_PREFIX = "promised_"
PRIOR_WEEKS, PRIOR_WEEK_SD_BPS, PRIOR_STEADY_SD_BPS = 6, 30.0, 6.0
"""The usual variation of chains: it counts as so many weeks, whose errors and steady misses vary by so much."""
FIGURE_NAMES = ("weeks", "volume", "steady_bps", "steady_se_bps", "steady_week_sd_bps")
STORED_PARTS = ("whole", "own")
"""What `total` and `store` are called among a model's figures."""


@dataclass(frozen=True)
class UsualError:
    """The usual error of store-weeks, from the incumbent's error and the volume.

    It is `by_incumbent` times the incumbent's on the same cells plus `by_root` times the sum of square roots of
    forecasts. A week that is easy for the incumbent is no easier for a model: in all
    of a week the incumbent's error counts as at least `easy` times the roots. `se_bps` is the standard error of the
    mean over the store-weeks by the luck of each, `week_sd_bps` how far whole weeks vary beyond such luck.
    """

    by_incumbent: float
    by_root: float
    easy: float
    se_bps: float
    week_sd_bps: float

    @classmethod
    def fit(cls, weeks: pl.DataFrame, prefix: str) -> Self:
        """Return the usual error of store-weeks; with the prefix "own_" of the errors that are the stores' own."""
        easy = float(weeks[f"{prefix}incumbent_error"].sum()) / float(weeks["root"].sum())
        usual = cls(*_fit_causes(weeks, prefix), easy, 0.0, 0.0)
        excess = usual.excess(weeks, prefix)
        _, se_bps = mean_bps(excess, weeks["actual"])
        return cls(usual.by_incumbent, usual.by_root, easy, se_bps, _week_sd_bps(weeks, excess, PRIOR_WEEK_SD_BPS))

    def excess(self, weeks: pl.DataFrame, prefix: str) -> pl.Series:
        """Return by how much the error of store-weeks is above the usual, in the target's unit."""
        error, by_hand, root = pl.col(f"{prefix}error"), pl.col(f"{prefix}incumbent_error"), pl.col("root")
        harder = (self.easy * root.sum().over("week") / by_hand.sum().over("week")).clip(lower_bound=1.0)
        return weeks.select(over=error - self.by_incumbent * by_hand * harder - self.by_root * root).to_series()


@dataclass(frozen=True)
class ExpectedAccuracy:
    """The accuracy of the rolling origins' store-weeks at leads 0 to 6, over so many `weeks` and so much `volume`.

    `total` is the usual error, `store` the usual error that is the stores' own, without the hard days of all stores.
    Hard weeks are hard for the incumbent too, and small volumes are in the roots. `steady_bps` is what steady misses
    cost, with its standard error over store-weeks `steady_se_bps` and the variation of whole weeks
    `steady_week_sd_bps`.
    """

    total: UsualError
    store: UsualError
    weeks: float
    volume: float
    steady_bps: float
    steady_se_bps: float
    steady_week_sd_bps: float

    @classmethod
    def from_predictions(cls, predictions: pl.DataFrame) -> Self | None:
        """Return the expected accuracy by rolling-origin predictions, or None if they cover fewer than two weeks.

        Columns: store_id, date, hour, lead_days, forecast, incumbent, y.
        """
        rows = predictions.lazy().filter(pl.col("lead_days") < WEEK_DAYS).select(
            "store_id", "forecast", "incumbent", unit=pl.lit(""), actual="y",
            hour_local=pl.col("date").cast(pl.Datetime("us")) + pl.duration(hours="hour"),
            business_date="date", origin_date=pl.col("date") - pl.duration(days="lead_days"),
        )  # fmt: skip
        last = predictions["date"].max()
        if not isinstance(last, date):
            return None
        weeks = store_weeks(rows, last + timedelta(days=1))
        if weeks["week"].n_unique() < 2:
            return None
        steady_bps, steady_se_bps = mean_bps(weeks["steady"], weeks["actual"])
        return cls(
            total=UsualError.fit(weeks, ""),
            store=UsualError.fit(weeks, "own_"),
            weeks=float(weeks["week"].n_unique()),
            volume=float(weeks["actual"].sum()),
            steady_bps=steady_bps,
            steady_se_bps=steady_se_bps,
            steady_week_sd_bps=_week_sd_bps(weeks, weeks["steady"], PRIOR_STEADY_SD_BPS),
        )

    @classmethod
    def from_figures(cls, figures: Mapping[str, float]) -> Self | None:
        """Return the expected accuracy among a model's figures (`figures`); null for models stored without one."""
        if any(f"{FIGURE_PREFIX}{name}" not in figures for name in FIGURE_NAMES):
            return None
        total, store = (
            UsualError(*(figures[f"{FIGURE_PREFIX}{part}_{name}"] for name in UsualError.__dataclass_fields__))
            for part in STORED_PARTS
        )
        return cls(total, store, *(figures[f"{FIGURE_PREFIX}{name}"] for name in FIGURE_NAMES))

    def figures(self) -> dict[str, float]:
        """Return all of it by name, as a model stores it."""
        parts = zip(STORED_PARTS, (self.total, self.store), strict=True)
        flat = {f"{part}_{name}": value for part, usual in parts for name, value in asdict(usual).items()}
        flat |= {name: getattr(self, name) for name in FIGURE_NAMES}
        return {FIGURE_PREFIX + name: value for name, value in flat.items()}


def mean_bps(part: pl.Series, divisor: pl.Series) -> tuple[float, float]:
    """Return the ratio of sums over store-weeks in bps, and its standard error as store-weeks are resampled.

    The error is that which resampling them with replacement tends to (Efron 1979; delta method), exact in the
    number of draws. Infinite for fewer than two store-weeks.
    """
    volume = float(divisor.sum())
    if volume <= 0.0:
        return 0.0, float("inf")
    ratio = float(part.sum()) / volume
    count = part.len()
    if count < 2:
        return BASIS_POINTS * ratio, float("inf")
    residuals: Array = (part - ratio * divisor).to_numpy()
    return BASIS_POINTS * ratio, bps(float(np.sqrt(np.square(residuals).sum() * count / (count - 1))), volume)


def _fit_causes(weeks: pl.DataFrame, prefix: str) -> tuple[float, float]:
    """Return non-negative coefficients of the incumbent's errors and the roots; large stores do not dominate."""
    from scipy.optimize import nnls

    scale = np.sqrt(weeks["actual"].to_numpy().clip(1e-9))
    causes = weeks.select(f"{prefix}incumbent_error", "root").to_numpy() / scale[:, None]
    (by_incumbent, by_root), _ = nnls(causes, weeks[f"{prefix}error"].to_numpy() / scale)
    return float(by_incumbent), float(by_root)


def _week_sd_bps(weeks: pl.DataFrame, part: pl.Series, prior_bps: float) -> float:
    """Return how far a part of the volume varied from week to week for all stores together, beyond luck.

    Few weeks say little of it: they are held to what is usual of chains (a moderated variance, Smyth 2004).
    """
    parts = weeks.select("week", "actual", part=part).partition_by("week", maintain_order=True)
    strays = [mean_bps(week["part"], week["actual"]) for week in parts]
    luck = float(np.mean([se**2 if np.isfinite(se) else 0.0 for _, se in strays]))
    shared = max(float(np.var([stray for stray, _ in strays], ddof=1)) - luck, 0.0)
    freedom = len(strays) - 1
    return float(((freedom * shared + PRIOR_WEEKS * prior_bps**2) / (freedom + PRIOR_WEEKS)) ** 0.5)
