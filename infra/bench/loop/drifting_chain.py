"""Simulated chains under forecasts whose errors are known, with drift added to some stores.

Demand is the simulator's, with its seasons, holidays and weather, and a heat wave on top. Forecasts are its true means
with the errors of a good model: stores that drift for weeks, days that all stores or one misjudge, errors of hours, and
larger errors on days unlike those of the weeks around them. Added drift changes the daily shape of a share of the
stores, scaled so that it costs a given number of basis points.
"""

from collections.abc import Set
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.simulator import ChainSpec, simulate

Array = NDArray[np.float64]

DRIFT_START, SIMULATED_DAYS = date(2023, 1, 2), 600
SERVING_FROM_DAY = 224
"""The day on which the champion begins to serve."""
DRIFT_STORE_SHARE, DRIFT_BPS = 0.3, 150.0
HEAT_WAVE_DAYS = 8


@dataclass(frozen=True)
class ForecastChain:
    """Names of stores; demand, true means and forecasts by store, day and hour."""

    names: list[str]
    actual: Array
    mean: Array
    forecast: Array

    @property
    def incumbent(self) -> Array:
        """The mean of the last four same weekdays that were open."""
        total, count = np.zeros_like(self.actual), np.zeros((*self.actual.shape[:2], 1))
        opened = (self.actual.sum(2) > 0)[..., None]
        for k in range(1, 5):
            total[:, 7 * k :] += self.actual[:, : -7 * k]
            count[:, 7 * k :] += opened[:, : -7 * k]
        return total / np.maximum(count, 1)


def simulate_forecasts(stores: int, seed: int) -> ForecastChain:
    """Simulate a chain with a heat wave in its second summer, and forecasts without drift."""
    spec = ChainSpec(stores=stores, days=SIMULATED_DAYS, seed=seed, start=DRIFT_START, issues_days=0, observed_days=0)
    chain, rng = simulate(spec), np.random.default_rng(seed)
    actual, mean = (
        _array(spec, frame, name)
        for frame, name in ((chain.tables["demand"], "orders"), (chain.truth, "orders_mean"))
    )  # fmt: skip
    warm = SERVING_FROM_DAY + 330 - int(rng.integers(30))
    wave = slice(warm, warm + HEAT_WAVE_DAYS)
    hot = np.ones((stores, SIMULATED_DAYS, 1))
    hot[:, wave] = rng.uniform(0.75, 1.0, (stores, 1, 1))
    actual = rng.binomial(actual.astype(np.int64), np.broadcast_to(hot, actual.shape)).astype(np.float64)
    # The forecasts have half of the effect of the heat wave, in logs.
    return ForecastChain(spec.store_ids, actual, mean * hot, _with_errors(mean * np.sqrt(hot), rng))


def _array(spec: ChainSpec, frame: pl.DataFrame, column: str) -> Array:
    store = frame["store_id"].replace_strict({name: k for k, name in enumerate(spec.store_ids)}).to_numpy()
    day = (frame["hour_local"].dt.date() - DRIFT_START).dt.total_days().to_numpy()
    in_span = (day >= 0) & (day < SIMULATED_DAYS)
    values = np.zeros((spec.stores, SIMULATED_DAYS, 24))
    np.add.at(
        values,
        (store[in_span], day[in_span], frame["hour_local"].dt.hour().to_numpy()[in_span]),
        frame[column].to_numpy()[in_span],
    )
    return values


def _with_errors(mean: Array, rng: np.random.Generator) -> Array:
    stores, days, hours = mean.shape
    distance = _distance_to_weeks(mean.sum(2))
    log = 0.03 * _autoregression(rng, (stores, days), 20) + 0.03 * rng.standard_normal((stores, days))
    log += 0.02 * _autoregression(rng, (1, days), 3)
    log += 0.2 * distance * (rng.standard_normal((1, days)) + rng.standard_normal((stores, days)))
    shape = 0.045 * (0.7 * rng.standard_normal((stores, 1, hours)) + 0.7 * rng.standard_normal((stores, days, hours)))
    return np.asarray(mean * np.exp(log[..., None] + shape))


def _distance_to_weeks(total: Array) -> Array:
    """Return how far each store's day is from the weeks before and after it, as a log; 0 where closed."""
    near = np.stack([np.roll(total, 7 * k, 1) for k in (-2, -1, 1, 2)])
    usual = np.where((near > 0).any(0), near.sum(0) / np.maximum((near > 0).sum(0), 1), total)
    valid = (total > 0) & (usual > 0)
    return np.where(valid, np.abs(np.log(np.where(valid, total, 1.0) / np.where(valid, usual, 1.0))), 0.0).clip(0, 0.4)


def _autoregression(rng: np.random.Generator, shape: tuple[int, int], days: float) -> Array:
    keep, steps = np.exp(-1 / days), rng.standard_normal(shape)
    for k in range(1, shape[1]):
        steps[:, k] = keep * steps[:, k - 1] + np.sqrt(1 - keep**2) * steps[:, k]
    return steps


def add_drift(chain: ForecastChain, at: int, seed: int) -> ForecastChain:
    """Return the chain with wrong daily shapes from day `at` on, in DRIFT_STORE_SHARE of the stores.

    They cost DRIFT_BPS of those stores' demand.
    """
    rng = np.random.default_rng(seed + 1_000)
    stores = rng.permutation(len(chain.names))[: round(DRIFT_STORE_SHARE * len(chain.names))]
    shape, low, high = rng.standard_normal((stores.size, 1, 24)), 0.0, 0.5
    for _ in range(12):
        wrong = chain.forecast.copy()
        wrong[stores, at:] *= np.exp((low + high) / 2 * shape)
        low, high = ((low + high) / 2, high) if _cost(chain, wrong, stores, at) < DRIFT_BPS else (low, (low + high) / 2)
    return ForecastChain(chain.names, chain.actual, chain.mean, wrong)


def _cost(chain: ForecastChain, wrong: Array, stores: NDArray[np.int64], at: int) -> float:
    actual = chain.actual[stores, at:]
    errors = (np.abs(forecast[stores, at:] - actual).sum() for forecast in (wrong, chain.forecast))
    return float(1e4 * (next(errors) - next(errors)) / actual.sum())


def published_rows(chain: ForecastChain, first: int, last: int, faulty: Set[str] = frozenset()) -> pl.DataFrame:
    """Return one row per store and hour of open days from `first` to before `last`: forecast at lead 0, and actual."""
    is_sound = np.array([name not in faulty for name in chain.names])
    span = slice(first, last)
    actual, forecast, incumbent = (array[is_sound, span] for array in (chain.actual, chain.forecast, chain.incumbent))
    where = np.nonzero((forecast > 0) & (actual.sum(2) > 0)[..., None])
    names = pl.Series(np.array(chain.names)[is_sound][where[0]])
    day = pl.Series(np.datetime64(DRIFT_START) + first + where[1]).cast(pl.Date)
    return pl.DataFrame({"store_id": names, "date": day, "hour": where[2]}).with_columns(
        unit=pl.lit("orders"), origin_date="date", lead_days=pl.lit(0),
        hour_local=pl.col("date").cast(pl.Datetime("us")) + pl.duration(hours="hour"),
        business_date="date",
        forecast=pl.Series(forecast[where]), incumbent=pl.Series(incumbent[where]), actual=pl.Series(actual[where]),
    )  # fmt: skip
