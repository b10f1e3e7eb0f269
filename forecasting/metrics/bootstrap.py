"""Confidence intervals of ratios of sums, by resampling whole stores and whole weeks.

Errors of one store are correlated, and so are those of one week across the chain. The cluster bootstrap allows for
both: stores are resampled, then weeks, and the two variances are added (two-way clustering: Cameron, Gelbach & Miller
2011). Their third term may make a variance negative and is left out, so that what is neither a store's nor a week's
counts twice. n - 1 of n clusters are drawn, because n draws of few clusters vary too little (Rao & Wu 1988). A few
weeks tell little of how much weeks vary: bounds use Student's t, where quantiles of stores and of weeks are averaged by
their variances (Cochran & Cox 1950).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[np.float64]

BOOTSTRAP_DRAWS = 2000
CLUSTERS = ("store_id", "week")


@dataclass(frozen=True)
class Interval:
    """An estimate and its one-sided bounds: the truth is above `lower`, or below `upper`, at the given confidence.

    The bounds are infinite where one week or less says nothing of how much weeks vary.
    """

    estimate: float
    lower: float
    upper: float


def ratio(cells: pl.DataFrame, part: pl.Expr, divisor: pl.Expr, confidence: float, seed: int) -> Interval:
    """Return the sum of `part` over that of `divisor`, over cells (columns: store_id, week and what the two need).

    Every cell of a store-week is drawn with its store and with its week. To compare two
    models on the same cells, pass the difference of their errors as the part: it is then paired. NaN where the sum of
    `divisor` is 0. The same cells in any order and the same seed give the same bits.
    """
    values = cells.select(*CLUSTERS, part=part, whole=divisor).sort(CLUSTERS)
    sums = values.select("part", "whole").to_numpy()
    total = sums.sum(axis=0)
    if not total[1] > 0.0:
        return Interval(*[float("nan")] * 3)
    estimate = float(total[0] / total[1])
    spreads = [_spread(values[name], sums, estimate, seed) for name in CLUSTERS]
    reach = _reach(spreads, confidence)
    return Interval(estimate, estimate - reach, estimate + reach)


def _spread(names: pl.Series, sums: Array, estimate: float, seed: int) -> tuple[float, int]:
    """Return the variance of the ratio as clusters are resampled, and its degrees of freedom: clusters less one."""
    codes = names.rank("dense").to_numpy() - 1
    by_cluster = np.stack([np.bincount(codes, column) for column in sums.T], axis=1)
    by_cluster = by_cluster[by_cluster[:, 1] > 0.0]
    count = len(by_cluster)
    if count < 2:
        return 0.0, 0
    part, divisors = (_draws(count, seed) @ by_cluster).T
    return float(np.mean((part / divisors - estimate) ** 2)), count - 1


def _reach(spreads: list[tuple[float, int]], confidence: float) -> float:
    from scipy.stats import t

    if not spreads[-1][1]:
        return float("inf")
    variance = sum(spread for spread, _ in spreads)
    if variance <= 0.0:
        return 0.0
    quantile = sum(spread * float(t.ppf(confidence, degrees)) for spread, degrees in spreads if degrees) / variance
    return quantile * math.sqrt(variance)


@lru_cache(maxsize=32)
def _draws(count: int, seed: int) -> Array:
    """Return how often each cluster is drawn: BOOTSTRAP_DRAWS rows, one column per cluster."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(count - 1, np.full(count, 1.0 / count), BOOTSTRAP_DRAWS).astype(np.float64)
