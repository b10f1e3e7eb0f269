"""How soon decay is noticed, and how often there is none: simulated chains under forecasts whose errors are known.

Demand is the simulator's, with its seasons, holidays and weather, and a heat wave on top. Forecasts are its true means,
disturbed as a good model's are: by stores that drift for weeks, days that all or one misjudge, hours, and by more where
a day is unlike its weeks. Decay is planted in a share of the stores, as hours that sell otherwise than the model has it,
and set so that it costs as many basis points as asked for.
"""

import argparse
import sys
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.quality.data_health import demand_faults, stores_at_fault
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.lifecycle.policy import TRIGGERED, Policy
from daypart.forecasting.lifecycle.retrain import LASTING_WEEKS, Decision, decide
from daypart.forecasting.metrics import persistent_error
from daypart.forecasting.metrics.expected_accuracy import Promise

Array = NDArray[np.float64]

START, DAYS = date(2023, 1, 2), 600
PROMISED, SERVED = 140, 224
"""Days on which the promise begins and the champion begins to serve."""
PROMISED_DAYS = 84
NIGHTS = DAYS - SERVED
SHARE, DRIFT_BPS, NOTICED_NIGHTS = 0.3, 150.0, 7
SEASON_DAYS, HEAT_DAYS = 365, 8


@dataclass(frozen=True)
class World:
    """Demand, true means and forecasts by store, day and hour; stores' names."""

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


def world(stores: int, seed: int) -> World:
    """A chain with a heat wave in its second summer, and forecasts of it that did not decay."""
    spec = ChainSpec(stores=stores, days=DAYS, seed=seed, start=START, issues_days=0, observed_days=0)
    chain, rng = simulate(spec), np.random.default_rng(seed)
    actual, mean = (
        _array(spec, frame, name)
        for frame, name in ((chain.tables["demand"], "orders"), (chain.truth, "orders_mean"))
    )  # fmt: skip
    warm = SERVED + 330 - int(rng.integers(30))
    wave = slice(warm, warm + HEAT_DAYS)
    hot = np.ones((stores, DAYS, 1))
    hot[:, wave] = rng.uniform(0.75, 1.0, (stores, 1, 1))
    actual = rng.binomial(actual.astype(np.int64), np.broadcast_to(hot, actual.shape)).astype(np.float64)
    # Of the wave the model knows half.
    return World(spec.store_ids, actual, mean * hot, _disturbed(mean * np.sqrt(hot), rng))


def _array(spec: ChainSpec, frame: pl.DataFrame, column: str) -> Array:
    store = frame["store_id"].replace_strict({name: k for k, name in enumerate(spec.store_ids)}).to_numpy()
    day = (frame["hour_local"].dt.date() - START).dt.total_days().to_numpy()
    in_span = (day >= 0) & (day < DAYS)
    values = np.zeros((spec.stores, DAYS, 24))
    np.add.at(
        values,
        (store[in_span], day[in_span], frame["hour_local"].dt.hour().to_numpy()[in_span]),
        frame[column].to_numpy()[in_span],
    )
    return values


def _disturbed(mean: Array, rng: np.random.Generator) -> Array:
    stores, days, hours = mean.shape
    unlike = _unlike(mean.sum(2))
    log = 0.03 * _wander(rng, (stores, days), 20) + 0.03 * rng.standard_normal((stores, days))
    log += 0.02 * _wander(rng, (1, days), 3)
    log += 0.2 * unlike * (rng.standard_normal((1, days)) + rng.standard_normal((stores, days)))
    shape = 0.045 * (0.7 * rng.standard_normal((stores, 1, hours)) + 0.7 * rng.standard_normal((stores, days, hours)))
    return np.asarray(mean * np.exp(log[..., None] + shape))


def _unlike(total: Array) -> Array:
    """How far each store's day is from its last and next weeks, as a log; 0 where closed."""
    near = np.stack([np.roll(total, 7 * k, 1) for k in (-2, -1, 1, 2)])
    usual = np.where((near > 0).any(0), near.sum(0) / np.maximum((near > 0).sum(0), 1), total)
    valid = (total > 0) & (usual > 0)
    return np.where(valid, np.abs(np.log(np.where(valid, total, 1.0) / np.where(valid, usual, 1.0))), 0.0).clip(0, 0.4)


def _wander(rng: np.random.Generator, shape: tuple[int, int], days: float) -> Array:
    keep, steps = np.exp(-1 / days), rng.standard_normal(shape)
    for k in range(1, shape[1]):
        steps[:, k] = keep * steps[:, k - 1] + np.sqrt(1 - keep**2) * steps[:, k]
    return steps


def decayed(chain: World, at: int, seed: int) -> World:
    """The same, where from day `at` on hours of SHARE of the stores sell otherwise, at DRIFT_BPS of their demand."""
    rng = np.random.default_rng(seed + 1_000)
    stores = rng.permutation(len(chain.names))[: round(SHARE * len(chain.names))]
    shape, low, high = rng.standard_normal((stores.size, 1, 24)), 0.0, 0.5
    for _ in range(12):
        wrong = chain.forecast.copy()
        wrong[stores, at:] *= np.exp((low + high) / 2 * shape)
        low, high = ((low + high) / 2, high) if _cost(chain, wrong, stores, at) < DRIFT_BPS else (low, (low + high) / 2)
    return World(chain.names, chain.actual, chain.mean, wrong)


def _cost(chain: World, wrong: Array, stores: NDArray[np.int64], at: int) -> float:
    actual = chain.actual[stores, at:]
    errors = (np.abs(forecast[stores, at:] - actual).sum() for forecast in (wrong, chain.forecast))
    return float(1e4 * (next(errors) - next(errors)) / actual.sum())


def rows(chain: World, first: int, last: int, faulty: set[str] = frozenset()) -> pl.DataFrame:  # type: ignore[assignment]
    """Published hours of the days from first to before last, at lead 0, beside what came of open days."""
    is_sound = np.array([name not in faulty for name in chain.names])
    span = slice(first, last)
    actual, forecast, by_hand = (array[is_sound, span] for array in (chain.actual, chain.forecast, chain.incumbent))
    where = np.nonzero((forecast > 0) & (actual.sum(2) > 0)[..., None])
    names = pl.Series(np.array(chain.names)[is_sound][where[0]])
    day = pl.Series(np.datetime64(START) + first + where[1]).cast(pl.Date)
    return pl.DataFrame({"store_id": names, "date": day, "hour": where[2]}).with_columns(
        unit=pl.lit("orders"), origin_date="date", lead_days=pl.lit(0),
        hour_local=pl.col("date").cast(pl.Datetime("us")) + pl.duration(hours="hour"),
        business_date="date",
        forecast=pl.Series(forecast[where]), incumbent=pl.Series(by_hand[where]), actual=pl.Series(actual[where]),
    )  # fmt: skip


def promise(chain: World) -> Promise:
    expected = Promise.of(rows(chain, PROMISED, PROMISED + PROMISED_DAYS).with_columns(y="actual"))
    assert expected is not None
    return expected


def night(chain: World, promised: Promise, day: int, policy: Policy, faulty: set[str] = frozenset()) -> Decision:  # type: ignore[assignment]
    """What is decided at the start of a day; a champion that is 100 days old."""
    on = START + timedelta(days=day)
    longer = rows(chain, max(day - 7 * LASTING_WEEKS, SERVED), day, faulty).lazy()
    weeks = persistent_error.store_weeks(longer.filter(pl.col("date") >= on - timedelta(days=policy.window_days)), on)
    trained, lasting = [on - timedelta(days=100)], persistent_error.week_errors(longer, on)
    return decide(weeks, promised, policy, on, trained, len(faulty), len(chain.names), lasting)


def false_retrains(chain: World, policy: Policy) -> int:
    """Retrains in the nights of a year without decay; each gives a new model its cooldown, and the promise stands."""
    promised, rested, retrains = promise(chain), SERVED + 7, 0
    for day in range(SERVED + 7, SERVED + SEASON_DAYS):
        if day >= rested and night(chain, promised, day, policy).retrain:
            rested, retrains = day + policy.cooldown_days, retrains + 1
    return retrains


def nights_to_notice(chain: World, policy: Policy, seed: int, most: int = 28) -> int | None:
    """Nights from the first day of decay until a retrain; null if there was none within so many."""
    at = int(np.random.default_rng(seed).integers(SERVED + 14, DAYS - most))
    wrong, promised = decayed(chain, at, seed), promise(chain)
    return next((k for k in range(1, most + 1) if night(wrong, promised, at + k, policy).retrain), None)


def outage(chain: World, policy: Policy, seed: int) -> tuple[bool, bool]:
    """Whether an outage was told of as a data fault in every night of it, and whether any of them retrained."""
    rng = np.random.default_rng(seed)
    at, stores = int(rng.integers(SERVED + 14, DAYS - 10)), rng.permutation(len(chain.names))[: len(chain.names) // 10]
    actual = chain.actual.copy()
    actual[stores, at : at + 4] = 0.0
    # Half of them send their mornings.
    actual[stores[::2], at : at + 4, :12] = chain.actual[stores[::2], at : at + 4, :12]
    broken, promised, alarms, retrained = World(chain.names, actual, chain.mean, chain.forecast), promise(chain), [], []
    for day in range(at + 1, at + 5):
        on = START + timedelta(days=day)
        faults = demand_faults(_days(broken, day), on)
        faulty = stores_at_fault(faults, on)
        # A store that is closed for a holiday is not missed.
        alarms.append(bool(faults) or chain.actual[stores, day - 1].sum() == 0)
        retrained.append(night(broken, promised, day, policy, faulty).retrain)
    return all(alarms), any(retrained)


def _days(chain: World, day: int) -> pl.DataFrame:
    span = slice(day - 7, day)
    actual, forecast = chain.actual[:, span], chain.forecast[:, span]
    silent = (actual == 0) & (forecast - 1.5 * np.sqrt(forecast) > 0)
    dates = [START + timedelta(days=k) for k in range(day - 7, day)]
    total = actual.sum(2).ravel()
    return pl.DataFrame({
        "store_id": np.repeat(chain.names, 7), "date": dates * len(chain.names), "forecast": forecast.sum(2).ravel(),
        "actual": pl.Series([value or None for value in total.tolist()], dtype=pl.Float64),
        "silent": (forecast * silent).sum(2).ravel(), "silent_hours": silent.sum(2).ravel(),
    })  # fmt: skip


def measure(stores: int, seeds: range, policy: Policy) -> dict[str, object]:
    """The figures of chains of one size, one a seed."""
    noticed, wrong, outages = [], [], []
    for seed in seeds:
        chain = world(stores, seed)
        noticed.append(nights_to_notice(chain, policy, seed))
        outages.append(outage(chain, policy, seed))
        wrong.append(false_retrains(chain, policy))
        print(stores, seed, noticed[-1], wrong[-1], outages[-1], file=sys.stderr, flush=True)
    soon = [nights is not None and nights <= NOTICED_NIGHTS for nights in noticed]
    return {
        "stores": stores, "chains": len(seeds), "noticed_in_7_nights": round(float(np.mean(soon)), 3),
        "median_nights": float(np.median([nights or 99 for nights in noticed])),
        "false_retrains_a_year": round(float(np.mean(wrong)), 3), "most_in_a_chain": max(wrong),
        "outages_told": sum(alarm for alarm, _ in outages), "outages_retrained": sum(bad for _, bad in outages),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.bench.loop.drift_detection", description=__doc__)
    parser.add_argument("--stores", type=int, nargs="+", default=[48, 200])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=101)
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    table = [measure(stores, seeds, TRIGGERED) for stores in args.stores]
    with pl.Config(tbl_cols=-1, tbl_width_chars=200):
        print(pl.DataFrame(table))


if __name__ == "__main__":
    main()
