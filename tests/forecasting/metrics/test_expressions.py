"""Each metric is what a loop over the rows comes to."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.forecasting.metrics import expressions

VOLUMES = st.sampled_from([0.0, 0.5, 3.0, 17.25, 250.0])
ROWS = st.lists(st.tuples(VOLUMES, VOLUMES, VOLUMES, VOLUMES), max_size=12)
COLUMNS = ("actual", "forecast", "low", "high")
ACTUAL, FORECAST = pl.col("actual"), pl.col("forecast")


def frame(rows: list[tuple[float, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.Float64()), orient="row")


def same(value: float | None, expected: float | None) -> bool:
    if value is None or expected is None:
        return value is expected
    return math.isclose(value, expected, rel_tol=1e-12, abs_tol=1e-9)


@given(ROWS, st.integers(0, 3))
def test_wape_and_accuracy(rows: list[tuple[float, ...]], unknown: int) -> None:
    is_known = pl.int_range(pl.len()) >= unknown
    error = pl.when(is_known).then((FORECAST - ACTUAL).abs())
    wape = expressions.wape_bps(error, ACTUAL)
    values = frame(rows).select(wape=wape, accuracy=expressions.accuracy_bps(wape)).row(0)
    missed = volume = 0.0
    for actual, forecast, *_ in rows[unknown:]:
        missed += abs(actual - forecast)
        volume += actual
    expected = 10_000 * missed / volume if volume else None
    assert same(values[0], expected)
    assert same(values[1], None if expected is None else 10_000 - expected)


@given(ROWS)
def test_bias_is_above_0_where_the_forecast_is_too_high(rows: list[tuple[float, ...]]) -> None:
    over = volume = 0.0
    for actual, forecast, *_ in rows:
        over += forecast - actual
        volume += actual
    expected = 10_000 * over / volume if volume else None
    assert same(frame(rows).select(expressions.bias_bps(FORECAST, ACTUAL)).item(), expected)
    sums = frame(rows).select(expressions.volume_bps(FORECAST.sum() - ACTUAL.sum(), ACTUAL.sum())).item()
    assert same(sums, expected)


@given(ROWS)
def test_coverage_is_of_rows_that_have_a_band(rows: list[tuple[float, ...]]) -> None:
    inside = banded = 0
    for actual, _, low, high in rows:
        if high > 0:
            banded += 1
            inside += low <= actual <= high
    within, has_band = ACTUAL.is_between("low", "high"), pl.col("high") > 0
    cells = frame(rows).with_columns(inside=(within & has_band).cast(pl.Int16), banded=has_band.cast(pl.Int16))
    expected = inside / banded if banded else None
    assert same(cells.select(expressions.coverage(within, has_band)).item(), expected)
    assert same(cells.select(expressions.coverage_of_counts(pl.col("inside"), pl.col("banded"))).item(), expected)


@pytest.mark.parametrize("percent", [10, 50, 90])
@given(rows=ROWS)
def test_pinball_loss(rows: list[tuple[float, ...]], percent: int) -> None:
    share = percent / 100
    expected = []
    for actual, quantile, *_ in rows:
        expected.append(share * (actual - quantile) if actual > quantile else (1 - share) * (quantile - actual))
    losses = frame(rows).select(expressions.pinball(ACTUAL, FORECAST, percent)).to_series().to_list()
    assert losses == pytest.approx(expected)


def test_bps_of_numbers_and_arrays() -> None:
    assert expressions.bps(1.0, 8.0) == 1_250.0
    assert expressions.bps(np.array([1.0, 3.0]), np.array([8.0, 4.0])).tolist() == [1_250.0, 7_500.0]
    assert expressions.accuracy_bps(1_250.0) == 8_750.0
