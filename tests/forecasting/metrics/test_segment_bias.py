"""The bias table finds a planted bias and calls nothing biased that is not, however many segments are looked at."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_1samp

from daypart.forecasting.metrics.segment_bias import BIAS_COLUMNS, biases

WEEKS, STORES = 12, 20
MONDAY = date(2024, 1, 1)


def cells(seed: int, planted: float = 0.0, shared: float = 0.03) -> pl.DataFrame:
    """Store-days without bias, whose errors weeks share in all stores; S03 is forecast too high by `planted`."""
    chance = np.random.default_rng(seed)
    days = WEEKS * 7
    week = 1 + shared * np.repeat(chance.standard_normal(WEEKS), 7)
    y = chance.poisson(100 * week, (STORES, days))
    forecast = np.full((STORES, days), 100.0)
    forecast[3] *= 1 + planted
    return pl.DataFrame({
        "store_id": np.repeat([f"S{k:02d}" for k in range(STORES)], days),
        "region": np.repeat([f"R{k % 4}" for k in range(STORES)], days),
        "date": [MONDAY + timedelta(days=k) for k in range(days)] * STORES,
        "y": y.ravel().astype(float), "forecast": forecast.ravel(),
    })  # fmt: skip


def test_a_planted_bias_of_one_store_is_flagged_and_told_in_bps() -> None:
    bias_rows = biases(cells(1, planted=0.15), ["store_id", "region"])
    assert bias_rows.columns == list(BIAS_COLUMNS)
    assert bias_rows.height == STORES + 4
    assert bias_rows.filter("biased")["segment"].to_list() == ["S03"]
    assert bias_rows.filter(pl.col("segment") == "S03")["bias_bps"].item() == pytest.approx(1500, abs=250)


def test_among_unbiased_stores_one_is_called_biased_no_oftener_than_told() -> None:
    wrong = sum(biases(cells(seed), ["store_id", "region"])["biased"].any() for seed in range(120))
    assert wrong <= 11  # 5% of 120 and two standard deviations
    uncorrected = sum((biases(cells(seed), ["store_id", "region"])["p"] <= 0.05).any() for seed in range(30))
    assert uncorrected > 9


def test_p_is_that_of_a_t_test_of_weeks_where_they_sell_alike() -> None:
    even = cells(2).with_columns(y=pl.lit(100.0), forecast=100.0 + pl.col("y") / 10 - 10)
    weeks = even.group_by("store_id", week=pl.col("date").dt.truncate("1w")).agg(
        (pl.col("forecast") - pl.col("y")).sum()
    )
    for row in biases(even, ["store_id"]).iter_rows(named=True):
        weekly_errors = weeks.filter(pl.col("store_id") == row["segment"])["forecast"].to_numpy()
        assert row["p"] == pytest.approx(ttest_1samp(weekly_errors, 0.0).pvalue, rel=1e-9)


def test_too_few_weeks_are_no_evidence_and_nothing_sold_has_no_bias() -> None:
    few = cells(3, planted=0.5).filter(pl.col("date") < MONDAY + timedelta(days=21))
    assert biases(few, ["store_id"])["biased"].null_count() == STORES
    assert biases(few, ["store_id"])["bias_bps"].null_count() == 0
    nothing = cells(3).with_columns(y=pl.lit(0.0), forecast=pl.lit(0.0), region=pl.lit(None, dtype=pl.String))
    bias_rows = biases(nothing, ["store_id", "region"])
    assert bias_rows.height == STORES
    assert bias_rows["bias_bps"].null_count() == STORES
