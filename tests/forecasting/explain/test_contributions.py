"""Contributions are exact: they sum to the forecast, of every member alone and mixed, for every kind of store."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import combinations
from math import factorial
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features import matrix
from daypart.features.chain_data import ChainData
from daypart.features.cold_start import similar_stores
from daypart.features.history.demand_history import DemandHistory
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.explain import contributions, explanation
from daypart.forecasting.explain.feature_families import LIMITS, USUAL, WEATHER, YOUNG, family
from daypart.forecasting.models.linear import LINEAR
from daypart.forecasting.models.members import Learned, fit
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import StoreBlock, TrainingData
from daypart.forecasting.serving import forecast_limits, publication
from tests.forecasting.models.test_members import rows as plain_rows

SPEC = ChainSpec(stores=6, days=200, seed=3, issues_days=200)
"""Its horizon begins three days before Memorial Day."""
NO_FOLDS = 999
"""Without evidence members have the weights that a history of that length earns: every one has some."""
RECIPES = {
    "orders": Recipe(rounds=25, learning_rate=0.12, max_rows=6000, min_train_days=NO_FOLDS),
    "sales": Recipe(rounds=20, max_rows=3000, min_train_days=NO_FOLDS),
}
ORIGIN = SPEC.end
CLOSED, NEW, YOUNG_STORE, SUNDAYS, PLAIN = "S0001", "S0002", "S0003", "S0005", "S0006"
CLOSED_ON = ORIGIN + timedelta(days=2)
MEMBERS = ("ratio", "level", "linear", "anniversary", "statistical", "smooth", "incumbent")


@cache
def chain() -> ChainData:
    """A store that closes for a day and for a lunch, one that never traded, a young one, one that gave Sundays up."""
    records = ChainData.from_tables(simulate(SPEC).tables)
    on, store = pl.col("hour_local").dt.date(), pl.col("store_id")
    removed = (store == NEW) | ((store == YOUNG_STORE) & (on < ORIGIN - timedelta(days=30)))
    removed |= (store == SUNDAYS) & (on.dt.weekday() == 7) & (on > ORIGIN - timedelta(days=70))
    shut = pl.DataFrame(
        [(CLOSED, CLOSED_ON, None, None, "refit", None), (CLOSED, CLOSED_ON + timedelta(days=1), 11, 13, None, None)],
        schema=records.closures.schema, orient="row",
    )  # fmt: skip
    closures, hours = pl.concat([records.closures, shut]), records.hours.filter(store != SUNDAYS)
    return replace(records, demand=records.demand.filter(~removed), closures=closures, hours=hours)


@cache
def workshop(target: str) -> ModelTrainer:
    return ModelTrainer(TrainingData(chain(), target, ORIGIN), RECIPES[target])


@cache
def model(target: str) -> Model:
    return workshop(target).train(ORIGIN)


@cache
def past(target: str) -> DemandHistory:
    view, last = matrix.View(target), ORIGIN + timedelta(days=14)
    history = matrix.build_history(chain(), view, last)
    return similar_stores.with_donor_history(history, chain(), similar_stores.DonorPool(chain()), last)


def of_one(full_model: Model, member: str) -> Model:
    """The model with all weight on one member."""
    weights = [(week, name, float(name == member)) for week in (1, 2) for name in full_model.members]
    return replace(full_model, weights=pl.DataFrame(weights, schema=["lead_week", "member", "weight"], orient="row"))


@cache
def predicted_parts(target: str, member: str | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of the horizon as predicted, and their parts."""
    chosen_model = model(target) if member is None else of_one(model(target), member)
    rows = matrix.build(chain(), matrix.View(target), [ORIGIN], past(target))
    predicted = chosen_model.predict(rows, past(target).totals)
    return predicted, contributions.contributions(chosen_model, predicted)


@pytest.mark.parametrize(("target", "member"), [("sales", None), *(("orders", name) for name in (None, *MEMBERS))])
def test_parts_of_every_row_sum_to_its_forecast(target: str, member: str | None) -> None:
    rows, parts = predicted_parts(target, member)
    assert rows["store_id"].n_unique() == 6
    forecast = rows["forecast"].to_numpy()
    assert forecast.sum() > 0
    np.testing.assert_allclose(parts.to_numpy().sum(axis=1), forecast, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("member", MEMBERS)
def test_nothing_is_left_over_where_nothing_was_cut(member: str) -> None:
    """What is left is told as a limit, so that the sum above would hold with wrong parts as well."""
    rows, parts = predicted_parts("orders", member)
    uncut = rows.select(positive=pl.col(member) > 0).to_series().fill_null(value=False).to_numpy()
    bounded = {m.member: m for m in model("orders").learned if isinstance(m, Learned)}
    for name, learner in bounded.items():
        if name in (member, "ratio"):
            inverse = rows[name].to_numpy() / learner.unit(rows)
            uncut &= (rows[name] > 0).to_numpy() & (inverse < learner.high * 0.99) & (inverse > learner.low * 1.01)
    limits = np.abs(parts[LIMITS].to_numpy())
    # A member of days is spread by the shape of all their hours: what one of them is cut by, the others get.
    if member in LINEAR:
        cut = rows.with_columns(cut=pl.Series(~uncut & (limits > 1e-4)))
        uncut &= ~cut.select(pl.col("cut").any().over("store_id", "date")).to_series().to_numpy()
    assert uncut.mean() > 0.5
    assert limits[uncut].max() < 1e-4


def test_a_member_of_days_moves_weather_within_the_day_alone() -> None:
    rows, parts = predicted_parts("orders", "linear")
    weather = [name for name in parts.columns if family(name) == WEATHER]
    moved = rows.select("store_id", "date").with_columns(parts.select(weather).sum_horizontal().alias("moved"))
    assert moved["moved"].abs().max() > 0.01
    assert moved.group_by("store_id", "date").agg(pl.col("moved").sum())["moved"].abs().max() < 1e-6


def test_the_usual_hours_of_a_member_of_days_are_the_incumbents_of_the_day() -> None:
    rows, parts = predicted_parts("orders", "statistical")
    days = rows.select("store_id", "date", "incumbent", "statistical").with_columns(parts[USUAL], parts["level"])
    sums = days.drop_nulls("statistical").group_by("store_id", "date").agg(pl.exclude("store_id", "date").sum())
    assert sums.height > 20
    np.testing.assert_allclose(sums[USUAL], sums["incumbent"], rtol=1e-9)
    np.testing.assert_allclose(sums["level"], sums["statistical"] - sums["incumbent"], atol=1e-6)


@pytest.mark.parametrize("target", ["orders", "sales"])
def test_an_explanation_sums_to_what_is_published_for_every_hour(target: str) -> None:
    forecast_rows = publication.forecast_block(
        StoreBlock(chain(), past(target)), [publication.ServedModel(model(target), "")], ORIGIN
    )
    breakdown = explanation.explain_block(StoreBlock(chain(), past(target)), model(target), ORIGIN)
    assert_frame_equal(breakdown.hours.select(forecast_rows.columns), forecast_rows, check_exact=True)
    hourly_totals = breakdown.hours["incumbent"] + breakdown.parts.sum_horizontal()
    np.testing.assert_allclose(hourly_totals, forecast_rows["forecast"], rtol=1e-9, atol=1e-9)
    families = breakdown.families()
    assert {"holiday", "event", "weather", "closed", YOUNG} <= set(families)
    total = breakdown.hours["incumbent"].sum() + sum(families.values())
    assert total == pytest.approx(forecast_rows["forecast"].sum(), rel=1e-9)


def test_a_closed_hour_has_no_part_but_what_it_sold_before() -> None:
    breakdown = explanation.explain_block(StoreBlock(chain(), past("orders")), model("orders"), ORIGIN, CLOSED_ON)
    assert CLOSED_ON.isoweekday() == 7
    declared, given_up = (breakdown.filter(pl.col("store_id") == store) for store in (CLOSED, SUNDAYS))
    assert declared.families() == {}
    assert declared.hours["forecast"].sum() == given_up.hours["forecast"].sum() == 0
    assert given_up.hours["incumbent"].sum() > 0
    assert given_up.families() == {"closed": -given_up.hours["incumbent"].sum()}


def test_what_a_young_store_borrows_is_beside_what_it_sold_itself() -> None:
    breakdown = explanation.explain_block(StoreBlock(chain(), past("orders")), model("orders"), ORIGIN)
    new = breakdown.filter(pl.col("store_id") == NEW)
    assert new.hours["incumbent"].sum() == 0
    assert new.families()[YOUNG] > 0.5 * new.hours["forecast"].sum() > 0
    assert breakdown.filter(pl.col("store_id") == YOUNG_STORE).families()[YOUNG] != 0
    assert YOUNG not in breakdown.filter(pl.col("store_id") == PLAIN).families()


def test_what_is_held_to_the_busiest_hour_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast_limits, "MAX_BUSIEST_RATIO", 0.3)
    breakdown = explanation.explain_block(StoreBlock(chain(), past("orders")), model("orders"), ORIGIN, ORIGIN)
    capped_breakdown = breakdown.filter(pl.col("basis").str.contains("held to"))
    assert capped_breakdown.hours.height > 10
    assert capped_breakdown.families()[LIMITS] < -0.1 * capped_breakdown.hours["forecast"].sum()
    hourly_totals = capped_breakdown.hours["incumbent"] + capped_breakdown.parts.sum_horizontal()
    np.testing.assert_allclose(hourly_totals, capped_breakdown.hours["forecast"], rtol=1e-9)


def test_rain_takes_orders_away_as_it_does_in_truth() -> None:
    origins = [ORIGIN - timedelta(days=k) for k in range(7, 29, 7)]
    rows = workshop("orders").rows(origins)
    ratio_model = of_one(model("orders"), "ratio")
    predicted = ratio_model.predict(rows, workshop("orders").totals)
    parts = contributions.contributions(ratio_model, predicted)
    rain = [name for name in parts.columns if name.startswith("weather_precipitation")]
    share = (parts.select(rain).sum_horizontal() / predicted["smooth"]).to_numpy()
    late = ((predicted["hour"] >= 11) & (predicted["hour"] <= 20) & (predicted["smooth"] > 5)).to_numpy()
    wet = (predicted["weather_precipitation_mm"] > 0.5).fill_null(value=False).to_numpy() & late
    dry = (predicted["weather_precipitation_mm"] == 0.0).fill_null(value=False).to_numpy() & late
    assert wet.sum() > 20
    assert (share[wet] < 0).mean() > 0.8
    assert share[wet].mean() < share[dry].mean()


def expected(tree: Mapping[str, Any], row: np.ndarray, known_features: frozenset[int]) -> float:
    """What a tree says where only some features are known: the others are taken as often as training took them."""
    if "leaf_value" in tree:
        return float(tree["leaf_value"])
    left_child, right = tree["left_child"], tree["right_child"]
    if tree["split_feature"] in known_features:
        return expected(left_child if row[tree["split_feature"]] <= tree["threshold"] else right, row, known_features)
    counts = [child.get("internal_count", child.get("leaf_count")) for child in (left_child, right)]
    both = [expected(child, row, known_features) for child in (left_child, right)]
    return float(np.average(both, weights=counts))


def shapley(trees: list[Mapping[str, Any]], row: np.ndarray, feature: int, count: int) -> float:
    """By its definition (Shapley 1953), over all sets of the other features."""
    other_features = [k for k in range(count) if k != feature]
    total = 0.0
    for size in range(count):
        for subset in combinations(other_features, size):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            both = (frozenset(subset) | {feature}, frozenset(subset))
            with_it, without = (sum(expected(tree, row, feature_set) for tree in trees) for feature_set in both)
            total += weight * (with_it - without)
    return total


@pytest.mark.parametrize("member", ["ratio", "level"])
def test_contributions_of_trees_are_shapley_values(member: str) -> None:
    train, fresh = plain_rows().drop("event_code"), plain_rows(count=5, seed=2).drop("event_code")
    learned = fit(member, train.drop("y"), train["y"].to_numpy(), Recipe(rounds=4, leaves=6))
    assert isinstance(learned, Learned)
    assert len(learned.features) == 3
    trees = [tree["tree_structure"] for tree in lightgbm.Booster(model_str=learned.booster).dump_model()["tree_info"]]
    parts = learned.contributions(fresh)
    values = fresh.select(pl.col(learned.features).cast(pl.Float32)).to_numpy().astype(float)
    for number, name in enumerate(learned.features):
        slow = [shapley(trees, row, number, 3) for row in values]
        np.testing.assert_allclose(parts[name], slow, atol=1e-9)
    nothing = sum(expected(tree, values[0], frozenset()) for tree in trees)
    np.testing.assert_allclose(parts[""], nothing, atol=1e-9)


@given(st.floats(0, 1e6), st.lists(st.one_of(st.just(0.0), st.floats(-3, 3)), min_size=1, max_size=8))
def test_a_product_is_told_apart_without_a_remainder(base: float, logs: list[float]) -> None:
    log_factors = {str(k): np.array([value]) for k, value in enumerate(logs)}
    parts = contributions.log_mean_parts(np.array([base]), log_factors)
    assert sum(parts.values())[0] == pytest.approx(base * np.exp(sum(logs)), rel=1e-9, abs=1e-9)
    assert all(parts[name] * value >= 0 for name, value in log_factors.items())


def test_every_feature_has_a_family() -> None:
    rows, _ = predicted_parts("orders", None)
    assert len({family(name) for name in matrix.feature_names(rows)}) > 7
    with pytest.raises(KeyError, match="no family"):
        family("moon_phase")
