"""What counts as a fault, against a slow and obvious loop; and that it moves nothing but the published incumbent."""

from datetime import date
from statistics import median

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.grid import Grid
from daypart.features.history import outliers

values = st.one_of(st.just(0.0), st.integers(1, 30).map(float), st.integers(500, 2000).map(float))
days = st.lists(st.lists(values, min_size=2, max_size=2), min_size=1, max_size=45)


def tamed(*stores: list[list[float]]) -> list[list[list[float]]]:
    """Two hours a day of some stores, with what is taken for a fault replaced."""
    sold = np.zeros((len(stores), len(stores[0]), 24))
    sold[:, :, 8:10] = stores
    grid = Grid(pl.Series([str(k) for k in range(len(stores))]), date(2024, 1, 1), len(stores[0]))
    result = outliers.cap_outliers(grid, sold.ravel()).reshape(sold.shape)
    assert result.sum() == pytest.approx(result[:, :, 8:10].sum())
    return result[:, :, 8:10].tolist()


def by_loop(store: list[list[float]]) -> list[list[float]]:
    tamed_days, peaks = [], []
    for hours in store:
        usual = median(peaks[-28:]) if len(peaks) >= 3 else float("inf")
        tamed_days.append([usual if value > 20 * usual else value for value in hours])
        if max(hours) > 0:
            peaks.append(max(hours))
    return tamed_days


@given(days)
def test_a_fault_counts_as_a_usual_busiest_hour(store: list[list[float]]) -> None:
    calm = [[10.0, 12.0]] * len(store)
    assert tamed(store, calm) == [by_loop(store), calm]


def test_an_hour_that_is_a_thousand_times_too_large_is_one() -> None:
    store = [[10.0, 12.0]] * 10 + [[10_000.0, 12.0]] + [[10.0, 12.0]]
    assert tamed(store)[0][10] == [12.0, 12.0]


def test_a_level_that_stays_is_believed_after_two_weeks() -> None:
    store = [[10.0, 12.0]] * 28 + [[400.0, 400.0]] * 20
    tamed_values = [hours[0] for hours in tamed(store)[0][28:]]
    assert tamed_values == [12.0] * 14 + [400.0] * 6
