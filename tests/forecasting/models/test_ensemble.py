"""Weights stay on the simplex and are earned; a silent member's share goes to those who speak."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daypart.forecasting.leads import lead_week
from daypart.forecasting.models import ensemble

MEMBERS = ["ratio", "level", "statistical", "incumbent"]
EVERY = settings(max_examples=20)

PRIOR = ensemble.prior_weights(MEMBERS, 200)


def predictions(seed: int, spreads: list[float], days: int = 90, cells: int = 10) -> pl.DataFrame:
    """Each member is the truth and an error of its own spread."""
    chance = np.random.default_rng(seed)
    count = days * cells
    y = chance.uniform(5, 50, count)
    forecasts = {name: y + chance.normal(0, 1, count) * spread for name, spread in zip(MEMBERS, spreads, strict=True)}
    step = np.arange(count) // cells
    return pl.DataFrame(
        {**forecasts, "store_id": "A", "y": y, "lead_days": (np.arange(count) % 14).astype(np.int16)}
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


def loss(rows: pl.DataFrame, weights: dict[str, float], prior: dict[str, float]) -> float:
    """What the fit minimises, from loops: errors by the hour and the day over their demand, and the pull to the prior."""
    days: dict[object, list[dict[str, float]]] = {}
    for row in rows.iter_rows(named=True):
        days.setdefault((row["store_id"], row["date"], row["lead_days"]), []).append(row)
    by_day = [{name: sum(row[name] for row in hours) for name in (*weights, "y")} for hours in days.values()]
    total = 0.0
    for cells in (rows.to_dicts(), by_day):
        demand = sum(abs(cell["y"]) for cell in cells) / len(cells)
        misses = [(sum(w * cell[name] for name, w in weights.items()) - cell["y"]) / demand for cell in cells]
        total += sum((miss**2 + 0.02**2) ** 0.5 for miss in misses) / len(cells)
    hold = ensemble.PRIOR_STRENGTH / len({(store, day) for store, day, _ in days})
    return total + hold * sum((w - prior[name]) ** 2 for name, w in weights.items())


@pytest.mark.parametrize(("days", "spreads"), [(2, [1.0, 9.0, 30.0]), (30, [6.0, 3.0, 9.0]), (30, [4.0, 4.0, 4.0])])
def test_no_weights_on_the_simplex_have_less_loss_than_the_fitted(days: int, spreads: list[float]) -> None:
    names = MEMBERS[:3]
    prior_weights = ensemble.prior_weights(names, 200)
    rows = predictions(6, [*spreads, 1.0], days, cells=6).with_columns(lead_days=pl.lit(3, pl.Int16))
    rows = rows.with_columns(store_id=pl.Series(["A", "B"] * (len(rows) // 2)))
    prior, fitted = (
        dict(weights.filter(lead_week=1).select("member", "weight").iter_rows())
        for weights in (prior_weights, ensemble.fit_weights(rows, prior_weights))
    )
    least = loss(rows, fitted, prior)
    grid = [(a / 10, b / 10, (10 - a - b) / 10) for a in range(11) for b in range(11 - a)]
    near = [
        [w + step * ((k == up) - (k == down)) for k, w in enumerate(fitted.values())]
        for up in range(3) for down in range(3) for step in (0.01, 0.002) if up != down
    ]  # fmt: skip
    for weights in [*grid, *(shares for shares in near if min(shares) >= 0)]:
        assert least <= loss(rows, dict(zip(names, weights, strict=True)), prior) + 1e-6, weights


def test_members_that_say_the_same_keep_the_priors_shares() -> None:
    rows = predictions(4, [5.0, 5.0, 20.0, 20.0]).with_columns(level="ratio")
    prior = PRIOR.with_columns(weight=pl.Series([0.3, 0.1, 0.4, 0.2] * 2))
    fitted = ensemble.fit_weights(rows, prior)
    for week in (1, 2):
        ratio, level = fitted.filter(lead_week=week)["weight"][:2]
        assert ratio - level == pytest.approx(0.2, abs=1e-3)
        assert ratio + level > 0.8


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
    assert pl.select(pl.lit(lead).alias("lead_days")).select(lead_week()).item() == week


def test_a_member_that_earns_nothing_in_either_week_is_left_out_and_the_incumbent_never_is() -> None:
    shares = {
        1: {"a": 0.9, "b": 0.04, "c": 0.01, "incumbent": 0.05},
        2: {"a": 0.6, "b": 0.4, "c": 0.0, "incumbent": 0.0},
    }
    rows = [(week, name, share) for week, by_member in shares.items() for name, share in by_member.items()]
    weights = ensemble.drop_small_weights(pl.DataFrame(rows, schema=["lead_week", "member", "weight"], orient="row"))
    assert weights["member"].to_list() == ["a", "b", "incumbent"] * 2
    assert weights["weight"].to_list() == pytest.approx([0.9 / 0.99, 0.04 / 0.99, 0.05 / 0.99, 0.6, 0.4, 0.0])
