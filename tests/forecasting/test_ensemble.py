"""Weights stay on the simplex and are earned; a silent member's share goes to those who speak."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting import ensemble

MEMBERS = ["ratio", "level", "statistical", "incumbent"]
EVERY = settings(max_examples=20, deadline=None, derandomize=True)

PRIOR = ensemble.prior_weights(MEMBERS, 200)


def predictions(seed: int, spreads: list[float], days: int = 90, cells: int = 10) -> pl.DataFrame:
    """Each member is the truth and an error of its own spread."""
    chance = np.random.default_rng(seed)
    count = days * cells
    y = chance.uniform(5, 50, count)
    said = {name: y + chance.normal(0, 1, count) * spread for name, spread in zip(MEMBERS, spreads, strict=True)}
    step = np.arange(count) // cells
    return pl.DataFrame(
        {**said, "store_id": "A", "y": y, "lead_days": (np.arange(count) % 14).astype(np.int16)}
    ).with_columns(date=pl.Series([date(2024, 1, 1) + timedelta(days=int(k)) for k in step]))  # fmt: skip


def error(rows: pl.DataFrame, weights: pl.DataFrame) -> float:
    return float((ensemble.combine(rows, weights) - rows["y"]).abs().mean())


@EVERY
@given(st.integers(0, 9), st.lists(st.floats(0, 100), min_size=4, max_size=4), st.integers(1, 90))
def test_weights_are_on_the_simplex(seed: int, spreads: list[float], days: int) -> None:
    weights = ensemble.fit_weights(predictions(seed, spreads, days), PRIOR)
    assert weights.select("lead_week", "member").rows() == [(week, name) for week in (1, 2) for name in MEMBERS]
    assert weights["weight"].is_between(0, 1).all()
    assert weights.group_by("lead_week").agg(pl.col("weight").sum())["weight"].to_list() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    "spreads",
    [
        [1.0, 20.0, 20.0, 20.0],
        [20.0, 1.0, 2.0, 20.0],
        [3.0, 3.0, 3.0, 30.0],
        [9.0, 9.0, 9.0, 1.0],
        [50.0, 1.0, 50.0, 1.0],
    ],
)
def test_fitted_weights_are_no_worse_than_the_priors(spreads: list[float]) -> None:
    rows = predictions(4, spreads)
    assert error(rows, ensemble.fit_weights(rows, PRIOR)) <= error(rows, PRIOR) + 1e-9


def test_the_far_better_member_gets_most_of_the_trust() -> None:
    weights = ensemble.fit_weights(predictions(4, [1.0, 30.0, 30.0, 30.0], days=2000), PRIOR)
    assert weights.filter(pl.col("member") == "ratio")["weight"].min() > 0.8  # type: ignore[operator]


def test_little_evidence_stays_near_the_prior() -> None:
    rows = predictions(4, [1.0, 30.0, 30.0, 30.0], days=1, cells=14)
    weights = ensemble.fit_weights(rows, PRIOR)
    gap = weights.join(PRIOR, on=["lead_week", "member"], suffix="_prior")
    assert gap.select((pl.col("weight") - pl.col("weight_prior")).abs().max()).item() < 0.1


def test_no_evidence_in_a_lead_week_leaves_the_prior() -> None:
    rows = predictions(4, [1.0, 9.0, 9.0, 9.0]).filter(pl.col("lead_days") < 7)
    weights = ensemble.fit_weights(rows, PRIOR).filter(pl.col("lead_week") == 2)
    assert weights["weight"].to_list() == pytest.approx(PRIOR.filter(pl.col("lead_week") == 2)["weight"].to_list())


@pytest.mark.parametrize(
    ("store_days", "shares"),
    [
        (0, [0, 1 / 4, 1 / 4, 1 / 4, 1 / 4]),
        (200, [1 / 3, 1 / 8 + 1 / 6, 1 / 8, 1 / 8, 1 / 8]),
        (10**9, [2 / 3, 1 / 3, 0, 0, 0]),
    ],
)
def test_the_longer_the_history_the_more_the_prior_trusts_what_is_learned(store_days: int, shares: list[float]) -> None:
    weights = ensemble.prior_weights(["ratio", "linear", "statistical", "smooth", "incumbent"], store_days)
    for week in (1, 2):
        assert weights.filter(pl.col("lead_week") == week)["weight"].to_list() == pytest.approx(shares, abs=1e-6)


def test_a_silent_members_weight_goes_to_the_others_in_proportion() -> None:
    rows = pl.DataFrame(
        {
            "a": [10.0, None, None],
            "b": [20.0, 20.0, None],
            "incumbent": [40.0, 40.0, 40.0],
            "lead_days": [0, 13, 0],
        },
        schema_overrides={"lead_days": pl.Int16},
    )
    shares = [("a", 0.5), ("b", 0.3), ("incumbent", 0.2)]
    weights = pl.DataFrame(
        [(week, name, share) for week in (1, 2) for name, share in shares],
        schema={"lead_week": pl.Int32, "member": pl.String, "weight": pl.Float64}, orient="row",
    )  # fmt: skip
    mixed = ensemble.combine(rows, weights).to_list()
    assert mixed == pytest.approx([19.0, (6 + 8) / 0.5, 40.0])


def test_where_all_with_a_weight_are_silent_the_incumbent_speaks() -> None:
    rows = pl.DataFrame(
        {"a": [None], "incumbent": [7.0], "lead_days": [3]},
        schema={"a": pl.Float64, "incumbent": pl.Float64, "lead_days": pl.Int16},
    )
    assert ensemble.combine(rows, ensemble.prior_weights(["a", "incumbent"], 10**9)).to_list() == [7.0]


@pytest.mark.parametrize(("lead", "week"), [(0, 1), (6, 1), (7, 2), (13, 2)])
def test_lead_weeks(lead: int, week: int) -> None:
    assert pl.select(pl.lit(lead).alias("lead_days")).select(ensemble.lead_week()).item() == week


def test_a_member_that_earns_nothing_in_either_week_is_left_out_and_the_incumbent_never_is() -> None:
    shares = {
        1: {"a": 0.9, "b": 0.04, "c": 0.01, "incumbent": 0.05},
        2: {"a": 0.6, "b": 0.4, "c": 0.0, "incumbent": 0.0},
    }
    rows = [(week, name, share) for week, told in shares.items() for name, share in told.items()]
    kept = ensemble.earning(pl.DataFrame(rows, schema=["lead_week", "member", "weight"], orient="row"))
    assert kept["member"].to_list() == ["a", "b", "incumbent"] * 2
    assert kept["weight"].to_list() == pytest.approx([0.9 / 0.99, 0.04 / 0.99, 0.05 / 0.99, 0.6, 0.4, 0.0])
