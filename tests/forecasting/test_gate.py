"""A challenger serves only if it does not lose where neither it nor the champion had looked."""

from copy import copy
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import pytest

from features.records import Records
from features.simulator import ChainSpec, simulate
from forecasting.gate import TOLERANCE_BPS, gate
from forecasting.members import Learned
from forecasting.model import Model
from forecasting.recipe import Recipe
from forecasting.workshop import Workshop

START, DAYS = date(2024, 1, 1), 110
RECIPE = Recipe(rounds=10, max_rows=5000, folds=1, history_days=DAYS)


@cache
def shop() -> Workshop:
    records = Records.of(simulate(ChainSpec(stores=3, start=START, days=DAYS, seed=5, issues_days=DAYS)).tables)
    return Workshop(records, "orders", RECIPE, START + timedelta(days=DAYS))


@cache
def model(step: int) -> Model:
    return shop().train(START + timedelta(days=step))


def promising(model: Model, ours: float, by_hand: float) -> Model:
    told = {**model.trained_on, "rolling_model_wape_bps": ours, "rolling_incumbent_wape_bps": by_hand}
    return replace(model, trained_on=told)


def wild(shop: Workshop, fold: date) -> Workshop:
    """The same workshop with members that say far too much as of `fold`."""
    other = copy(shop)
    told = [m for m in shop._fit(fold) if isinstance(m, Learned)]
    far = {m.member: replace(m, low=m.high + 2, high=m.high + 2) for m in told}
    other._fits = {fold: tuple(far.get(m.member, m) for m in shop._fit(fold))}
    other._evidence = {}
    return other


def test_a_first_model_that_beats_the_incumbent_serves() -> None:
    verdict = gate(promising(model(DAYS), 2000, 2100), None, shop())
    assert verdict.promote
    assert verdict.reason == "first model; WAPE 2000 bps against the incumbent's 2100"


@pytest.mark.parametrize(("over", "serves"), [(0.0, True), (TOLERANCE_BPS, True), (TOLERANCE_BPS + 1, False)])
def test_a_model_may_not_lose_to_the_incumbent(over: float, serves: bool) -> None:
    assert gate(promising(model(DAYS), 2000 + over, 2000), None, shop()).promote == serves


@pytest.mark.parametrize("champion", [None, 60])
def test_too_little_history_serves_only_where_nothing_else_does(champion: int | None) -> None:
    told = {name: value for name, value in model(DAYS).trained_on.items() if not name.endswith("_bps")}
    challenger = replace(model(DAYS), trained_on=told)
    before = None if champion is None else model(champion)
    assert gate(challenger, before, shop()).promote == (before is None)


def test_a_champion_as_good_on_the_same_origins_gives_way() -> None:
    fold = DAYS - RECIPE.fold_days
    verdict = gate(promising(model(DAYS), 2000, 2100), model(fold), shop())
    assert verdict.promote
    assert verdict.figures["paired_challenger_wape_bps"] == verdict.figures["paired_champion_wape_bps"]


def test_a_challenger_whose_refit_trails_the_champion_is_held_back() -> None:
    fold = DAYS - RECIPE.fold_days
    verdict = gate(promising(model(DAYS), 2000, 2100), model(fold), wild(shop(), START + timedelta(days=fold)))
    assert not verdict.promote
    assert verdict.reason.startswith("trails the champion: WAPE ")
    behind = verdict.figures["paired_challenger_wape_bps"] - verdict.figures["paired_champion_wape_bps"]
    assert behind > TOLERANCE_BPS


def test_a_newer_champion_cannot_be_compared_and_fresher_data_decides() -> None:
    verdict = gate(promising(model(DAYS), 2000, 2100), model(DAYS - 7), shop())
    assert verdict.promote
    assert "paired_champion_wape_bps" not in verdict.figures
