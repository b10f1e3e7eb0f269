"""How soon the retraining decision notices drift, and how often it retrains without drift, on simulated chains.

python -m infra.bench.loop.drift_detection [--stores N ...] [--seeds N] [--first-seed N]

`drifting_chain` simulates the chains, their forecasts and the drift.
"""

import argparse
import sys
from collections.abc import Set
from datetime import timedelta

import numpy as np
import polars as pl

from daypart.features.quality.data_health import demand_faults, stores_at_fault
from daypart.forecasting.lifecycle.policy import TRIGGERED, Policy
from daypart.forecasting.lifecycle.retrain import LASTING_WEEKS, Decision, RetrainEvidence, decide
from daypart.forecasting.metrics import persistent_error
from daypart.forecasting.metrics.expected_accuracy import ExpectedAccuracy
from infra.bench.loop.drifting_chain import (
    DRIFT_START,
    SERVING_FROM_DAY,
    SIMULATED_DAYS,
    ForecastChain,
    add_drift,
    published_rows,
    simulate_forecasts,
)

EXPECTED_FROM_DAY, EXPECTED_DAYS = 140, 84
"""The span of days whose errors are the expected accuracy."""
NOTICE_NIGHTS = 7
QUIET_DAYS = 365
"""Nights without drift in which retrains are counted."""


def expected_accuracy(chain: ForecastChain) -> ExpectedAccuracy:
    """Return the accuracy that the champion's rolling origins led to expect."""
    expected = ExpectedAccuracy.from_predictions(
        published_rows(chain, EXPECTED_FROM_DAY, EXPECTED_FROM_DAY + EXPECTED_DAYS).with_columns(y="actual")
    )
    assert expected is not None
    return expected


def decide_night(
    chain: ForecastChain, expected: ExpectedAccuracy, day: int, policy: Policy, faulty: Set[str] = frozenset()
) -> Decision:
    """Return the decision at the start of a day, on a champion that is 100 days old."""
    on = DRIFT_START + timedelta(days=day)
    longer = published_rows(chain, max(day - 7 * LASTING_WEEKS, SERVING_FROM_DAY), day, faulty).lazy()
    weeks = persistent_error.store_weeks(longer.filter(pl.col("date") >= on - timedelta(days=policy.window_days)), on)
    trained, lasting = [on - timedelta(days=100)], persistent_error.week_errors(longer, on)
    return decide(RetrainEvidence(weeks, lasting, len(chain.names), len(faulty)), expected, policy, on, trained)


def false_retrains(chain: ForecastChain, policy: Policy) -> int:
    """Return the number of retrains in a year of nights without drift.

    Each starts a cooldown; the expected accuracy stays the same.
    """
    expected, rested, retrains = expected_accuracy(chain), SERVING_FROM_DAY + 7, 0
    for day in range(SERVING_FROM_DAY + 7, SERVING_FROM_DAY + QUIET_DAYS):
        if day >= rested and decide_night(chain, expected, day, policy).retrain:
            rested, retrains = day + policy.cooldown_days, retrains + 1
    return retrains


def nights_to_notice(chain: ForecastChain, policy: Policy, seed: int, most: int = 28) -> int | None:
    """Return the nights from the first day of drift to a retrain; null if there is none within `most` nights."""
    at = int(np.random.default_rng(seed).integers(SERVING_FROM_DAY + 14, SIMULATED_DAYS - most))
    wrong, expected = add_drift(chain, at, seed), expected_accuracy(chain)
    return next((k for k in range(1, most + 1) if decide_night(wrong, expected, at + k, policy).retrain), None)


def outage_outcome(chain: ForecastChain, policy: Policy, seed: int) -> tuple[bool, bool]:
    """Return whether every night of a data outage reported a data fault, and whether any of them retrained."""
    rng = np.random.default_rng(seed)
    at = int(rng.integers(SERVING_FROM_DAY + 14, SIMULATED_DAYS - 10))
    stores = rng.permutation(len(chain.names))[: len(chain.names) // 10]
    actual = chain.actual.copy()
    actual[stores, at : at + 4] = 0.0
    # Half of them send their mornings.
    actual[stores[::2], at : at + 4, :12] = chain.actual[stores[::2], at : at + 4, :12]
    broken = ForecastChain(chain.names, actual, chain.mean, chain.forecast)
    expected, alarms, retrained = expected_accuracy(chain), [], []
    for day in range(at + 1, at + 5):
        on = DRIFT_START + timedelta(days=day)
        faults = demand_faults(_days(broken, day), on)
        faulty = stores_at_fault(faults, on)
        # A store that is closed for a holiday needs no report.
        alarms.append(bool(faults) or chain.actual[stores, day - 1].sum() == 0)
        retrained.append(decide_night(broken, expected, day, policy, faulty).retrain)
    return all(alarms), any(retrained)


def _days(chain: ForecastChain, day: int) -> pl.DataFrame:
    span = slice(day - 7, day)
    actual, forecast = chain.actual[:, span], chain.forecast[:, span]
    silent = (actual == 0) & (forecast - 1.5 * np.sqrt(forecast) > 0)
    dates = [DRIFT_START + timedelta(days=k) for k in range(day - 7, day)]
    total = actual.sum(2).ravel()
    return pl.DataFrame({
        "store_id": np.repeat(chain.names, 7), "date": dates * len(chain.names), "forecast": forecast.sum(2).ravel(),
        "actual": pl.Series([value or None for value in total.tolist()], dtype=pl.Float64),
        "silent": (forecast * silent).sum(2).ravel(), "silent_hours": silent.sum(2).ravel(),
    })  # fmt: skip


def measure(stores: int, seeds: range, policy: Policy) -> dict[str, object]:
    """Return the figures of chains of one size, one chain per seed."""
    noticed, wrong, outages = [], [], []
    for seed in seeds:
        chain = simulate_forecasts(stores, seed)
        noticed.append(nights_to_notice(chain, policy, seed))
        outages.append(outage_outcome(chain, policy, seed))
        wrong.append(false_retrains(chain, policy))
        print(stores, seed, noticed[-1], wrong[-1], outages[-1], file=sys.stderr, flush=True)
    soon = [nights is not None and nights <= NOTICE_NIGHTS for nights in noticed]
    return {
        "stores": stores, "chains": len(seeds), "noticed_in_7_nights": round(float(np.mean(soon)), 3),
        "median_nights": float(np.median([nights or 99 for nights in noticed])),
        "false_retrains_a_year": round(float(np.mean(wrong)), 3), "most_in_a_chain": max(wrong),
        "outages_told": sum(alarm for alarm, _ in outages), "outages_retrained": sum(bad for _, bad in outages),
    }  # fmt: skip


def main() -> None:
    """Measure chains of each size and print the table."""
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
