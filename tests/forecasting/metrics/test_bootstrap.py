"""Intervals beside what textbooks have for the cases they know."""

import math

import numpy as np
import polars as pl
import pytest
from scipy.stats import t

from daypart.forecasting.metrics.bootstrap import Interval, ratio


def frame(values: np.ndarray, volume: float | np.ndarray = 1.0) -> pl.DataFrame:
    """One cell per store (row) and week (column)."""
    stores, weeks = np.indices(values.shape)
    total = np.broadcast_to(volume, values.shape)
    data = {"store_id": stores.ravel(), "week": weeks.ravel(), "part": (values * total).ravel(), "whole": total.ravel()}
    return pl.DataFrame(data)


def interval(cells: pl.DataFrame, confidence: float = 0.95, seed: int = 3) -> Interval:
    return ratio(cells, pl.col("part"), pl.col("whole"), confidence, seed)


def random_values(*shape: int) -> np.ndarray:
    return np.random.default_rng(8).normal(50.0, 30.0, shape)


@pytest.mark.parametrize("shape", [(1, 2), (1, 4), (1, 9)])
def test_one_store_has_students_interval_of_its_weeks(shape: tuple[int, int]) -> None:
    values = random_values(*shape)
    bounds = interval(frame(values))
    reach = t.ppf(0.95, shape[1] - 1) * values.std(ddof=1) / math.sqrt(shape[1])
    assert bounds.estimate == pytest.approx(values.mean())
    assert bounds.estimate - bounds.lower == pytest.approx(reach, rel=0.05)
    assert bounds.upper - bounds.estimate == pytest.approx(reach, rel=0.05)


@pytest.mark.parametrize("shape", [(2, 2), (10, 4), (60, 3)])
def test_variances_of_stores_and_of_weeks_are_added(shape: tuple[int, int]) -> None:
    values, volume = random_values(*shape), np.random.default_rng(1).uniform(0.8, 1.2, shape)
    bounds = interval(frame(values, volume), 0.9)
    deviations = volume * (values - bounds.estimate) / volume.sum()
    variances = []
    for clusters in (list(deviations), list(deviations.T)):
        count = len(clusters)
        variances.append((sum(float(sum(cluster)) ** 2 for cluster in clusters) * count / (count - 1), count - 1))
    variance = sum(component for component, _ in variances)
    quantile = sum(component * float(t.ppf(0.9, degrees)) for component, degrees in variances) / variance
    assert bounds.estimate - bounds.lower == pytest.approx(quantile * math.sqrt(variance), rel=0.12)


def test_cells_of_a_store_week_are_drawn_together() -> None:
    values = random_values(6, 4)
    cells = frame(values)
    halves = cells.with_columns(pl.col("part", "whole") / 2)
    assert interval(pl.concat([halves, halves])).lower == pytest.approx(interval(cells).lower, rel=1e-12)


def test_the_order_of_cells_changes_no_bit() -> None:
    cells = frame(random_values(12, 3), np.random.default_rng(1).uniform(0.1, 9, (12, 3)))
    assert interval(cells) == interval(cells.sample(fraction=1.0, shuffle=True, seed=2))
    assert interval(cells) != interval(cells, seed=4)


def test_stores_that_sold_nothing_count_for_nothing() -> None:
    cells = frame(random_values(5, 3))
    closed = pl.DataFrame({"store_id": [9, 9], "week": [0, 1], "part": [0.0, 0.0], "whole": [0.0, 0.0]})
    assert interval(pl.concat([cells, closed.cast(dict(cells.schema))])) == interval(cells)


def test_one_week_says_nothing_of_weeks() -> None:
    bounds = interval(frame(random_values(5, 1)))
    assert (bounds.lower, bounds.upper) == (-math.inf, math.inf)
    assert math.isfinite(bounds.estimate)


def test_equal_models_have_no_spread() -> None:
    assert interval(frame(np.zeros((5, 4)))) == Interval(0.0, 0.0, 0.0)


def test_without_volume_there_is_no_ratio() -> None:
    assert math.isnan(interval(frame(random_values(2, 2), 0.0)).estimate)
