"""A challenger serves only if it is better beyond chance where neither it nor the champion had looked."""

from copy import copy
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import polars as pl
import pytest
from scipy.stats import binom

from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.lifecycle.comparison import SIDES, ComparedRows, Comparison
from daypart.forecasting.lifecycle.gate import TOLERANCE_BPS, decide_promotion, first_day, gate
from daypart.forecasting.lifecycle.policy import Policy
from daypart.forecasting.models.members import Learned
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from infra.bench.loop.gate_errors import DIFFERENCE_SPREADS, ModelPair, promotion_share

START, DAYS = date(2024, 1, 1), 110
RECIPE = Recipe(rounds=10, max_rows=5000, folds=1, history_days=DAYS, members=("ratio",))
FIRST = START + timedelta(days=DAYS - 28)


@cache
def records() -> ChainData:
    return ChainData.from_tables(simulate(ChainSpec(stores=3, start=START, days=DAYS, seed=5, issues_days=DAYS)).tables)


@cache
def shop() -> ModelTrainer:
    return ModelTrainer(TrainingData(records(), "orders", START + timedelta(days=DAYS)), RECIPE)


@cache
def model(step: int) -> Model:
    return shop().train(START + timedelta(days=step))


def challenger(ours: float = 2000, by_hand: float = 2100) -> Model:
    trained_on = {**model(DAYS).trained_on, "rolling_model_wape_bps": ours, "rolling_incumbent_wape_bps": by_hand}
    return replace(model(DAYS), trained_on=trained_on)


def wild(model: Model) -> Model:
    """The model with members that say far too much."""
    far = tuple(replace(m, low=m.high + 2, high=m.high + 2) if isinstance(m, Learned) else m for m in model.learned)
    return replace(model, learned=far)


def wild_shop(fold: date) -> ModelTrainer:
    """The same trainer with such members as of `fold`."""
    other = copy(shop())
    other._fits = {**other._fits, fold: wild(shop().train(fold, START + timedelta(days=DAYS))).learned}
    return other


def cells(
    gains: dict[str, float], weeks: int = 4, noise: float = 0.0, biases: tuple[float, float] = (0, 0),
    covers: tuple[float, float] = (0.8, 0.8),
) -> Comparison:  # fmt: skip
    """Four stores, one per region named, of equal volume; the challenger is better by so many bps in each.

    Every other week of a store is better and worse than that by the noise. Biases are in bps.
    """
    rows = [
        (name, name, week, "lunch", 1e4, 1500 - gain + noise * (-1) ** (week + k), 1500.0, *biases, *covers)
        for k, (name, gain) in enumerate(gains.items())
        for week in range(weeks)
    ]
    over, covered = ([f"{side}_{what}" for side in SIDES] for what in ("over", "held"))
    names = ["store_id", "region", "week", "daypart", "y", "challenger_error", "champion_error", *over, *covered]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.lit(100.0).alias("challenger_banded"), pl.lit(100.0).alias("champion_banded"), pl.col(covered) * 100
    )
    return Comparison(frame, 0.95, 7)


EVEN = dict.fromkeys(("north", "east", "south", "west"), 60.0)


def test_a_first_model_that_beats_the_incumbent_serves() -> None:
    verdict = gate(challenger(), None, shop())
    assert verdict.promote
    assert verdict.reason == "first model; WAPE 2000 bps against the incumbent's 2100"


@pytest.mark.parametrize(("over", "serves"), [(0.0, True), (TOLERANCE_BPS, True), (TOLERANCE_BPS + 1, False)])
def test_a_model_may_not_lose_to_the_incumbent(over: float, serves: bool) -> None:
    assert gate(challenger(2000 + over, 2000), None, shop()).promote == serves


@pytest.mark.parametrize("champion", [None, 54])
def test_too_little_history_serves_only_where_nothing_else_does(champion: int | None) -> None:
    trained_on = {name: value for name, value in model(DAYS).trained_on.items() if not name.endswith("_bps")}
    before = None if champion is None else model(champion)
    assert gate(replace(model(DAYS), trained_on=trained_on), before, shop()).promote == (before is None)


def test_a_champion_as_good_stays() -> None:
    verdict = gate(challenger(), model(DAYS - 56), shop())
    assert not verdict.promote
    assert verdict.reason.startswith("not shown to be better, so the champion stays: WAPE ")
    assert verdict.reason.endswith(f" (from {FIRST} on; a refit as of that day stands in for the challenger)")
    assert verdict.figures["gain_lower_bps"] < 0.0 < verdict.figures["gain_upper_bps"]
    assert (verdict.figures["compared_stores"], verdict.figures["compared_weeks"]) == (3, 4)


def test_a_champion_that_says_far_too_much_is_replaced() -> None:
    verdict = gate(challenger(), wild(model(DAYS - 56)), shop())
    assert verdict.promote, verdict.reason
    assert verdict.figures["paired_champion_wape_bps"] > verdict.figures["paired_challenger_wape_bps"] + 1000


def test_a_challenger_whose_refit_trails_the_champion_is_held_back() -> None:
    verdict = gate(challenger(), model(DAYS - 56), wild_shop(FIRST))
    assert not verdict.promote
    assert verdict.reason.startswith("trails the champion: WAPE ")


@pytest.mark.parametrize(("apart", "weeks"), [(14, 2), (41, 2), (42, 3), (56, 4), (63, 4)])
def test_models_are_compared_on_half_of_the_time_between_them(apart: int, weeks: int) -> None:
    champion = replace(model(DAYS), as_of=START + timedelta(days=DAYS - apart))
    first = first_day(model(DAYS), champion, shop())
    assert first == START + timedelta(days=DAYS - 7 * weeks)
    assert isinstance(first, date)
    assert champion.as_of <= first


def test_a_champion_that_cannot_be_compared_stays() -> None:
    young = gate(challenger(), model(DAYS - 13), shop())
    assert not young.promote
    assert young.reason == (
        "the champion stays: it knows the days before 2024-04-07, and 14 later ones are needed to compare on"
    )
    blind = replace(model(54), recipe=RECIPE.model_copy(update={"weather": "none"}))
    other = gate(challenger(), blind, shop())
    assert not other.promote
    assert "made for weather none, the challenger for weather issued" in other.reason


@pytest.mark.parametrize(("apart", "history_days"), [(56, 82), (400, 82)])
def test_days_before_those_compared_must_do_for_a_challenger(apart: int, history_days: int) -> None:
    other = copy(shop())
    champion = replace(model(DAYS), as_of=START + timedelta(days=DAYS - apart))
    for least, is_enough in ((history_days, True), (history_days + 1, False)):
        other.recipe = RECIPE.model_copy(update={"min_train_days": least})
        first = first_day(model(DAYS), champion, other)
        assert (
            first == FIRST
            if is_enough
            else first
            == (f"only {history_days} days are known before those to compare on, too few for a fair challenger")
        )
    other.first = FIRST + timedelta(days=5)
    assert str(first_day(model(DAYS), champion, other)).startswith("only 0 days are known")


@pytest.mark.parametrize("first", [FIRST, FIRST + timedelta(days=14)], ids=["of a fold", "between folds"])
def test_the_stand_in_has_seen_nothing_of_what_it_is_judged_on(first: date) -> None:
    end = START + timedelta(days=DAYS)
    ended = ModelTrainer(TrainingData(records().until(first - timedelta(days=1)), "orders", end), RECIPE)
    assert ended.train(first, end).files() == shop().train(first, end).files()


def test_a_comparison_is_of_the_forecasts_themselves() -> None:
    rows = shop().with_demand(shop().rows([FIRST, FIRST + timedelta(days=7)]))
    models = model(DAYS - 28), wild(model(54))
    shared = ComparedRows(rows, shop().totals, records().stores, FIRST)
    compared = Comparison.from_models(*models, shared, 0.95, 7)
    for side, one in zip(SIDES, models, strict=True):
        predictions = list(one.predict(rows, shop().totals).iter_rows(named=True))
        volume = sum(row["y"] for row in predictions)
        error = sum(abs(row["y"] - row["forecast"]) for row in predictions)
        over = sum(row["forecast"] - row["y"] for row in predictions)
        banded = [row for row in predictions if row["q90"] > 0]
        assert compared.wape_bps(side) == pytest.approx(1e4 * error / volume)
        assert compared.bias_bps(side) == pytest.approx(1e4 * over / volume)
        covered = sum(row["q10"] <= row["y"] <= row["q90"] for row in banded)
        assert compared.coverage(side) == pytest.approx(covered / len(banded))
    dates = {row["store_id"]: 0 for row in compared.cells.iter_rows(named=True)}
    assert len(dates) == 3
    assert sorted(compared.cells["week"].unique()) == [0, 1, 2]
    lunch = compared.segments().filter(segment="lunch").row(0, named=True)
    ours = [row for row in models[0].predict(rows, shop().totals).iter_rows(named=True) if 11 <= row["hour"] <= 14]
    error, volume = (sum(values) for values in zip(*((abs(r["y"] - r["forecast"]), r["y"]) for r in ours), strict=True))
    assert lunch["challenger_bps"] == pytest.approx(1e4 * error / volume)


def test_the_reason_says_what_was_found() -> None:
    verdict = decide_promotion(cells(EVEN, noise=20.0), Policy())
    assert verdict.promote
    assert verdict.reason == (
        "better than the champion: WAPE 1440 bps against the champion's 1500 on the same 4 weeks of 4 stores; "
        "the gain of 60 is between 60 and 60"
    )


def test_no_figure_is_told_as_less_than_nothing() -> None:
    assert "; the gain of 0 is between 0 and 0" in decide_promotion(cells(dict.fromkeys(EVEN, -0.3)), Policy()).reason


@pytest.mark.parametrize(("gain_bps", "serves"), [(0.0, True), (59.0, True), (61.0, False)])
def test_the_lower_bound_must_clear_what_the_policy_asks(gain_bps: float, serves: bool) -> None:
    assert decide_promotion(cells(EVEN), Policy(gain_bps=gain_bps)).promote == serves


def test_equal_models_are_a_tie() -> None:
    assert not decide_promotion(cells(dict.fromkeys(EVEN, 0.0)), Policy()).promote


@pytest.mark.parametrize(
    ("west", "noise", "serves"), [(-90.0, 0.0, True), (-130.0, 0.0, False), (-130.0, 400.0, True)],
    ids=["within the policy", "beyond it", "by chance"],
)  # fmt: skip
def test_no_region_may_get_worse_by_more_than_allowed(west: float, noise: float, serves: bool) -> None:
    gains = dict.fromkeys(("north", "east", "south"), 300.0)
    steady, rough = cells(gains), cells({"west": west}, noise=noise)
    names = pl.concat([steady.cells, rough.cells])
    verdict = decide_promotion(replace(steady, cells=names), Policy(gain_bps=-1e6))
    assert verdict.promote == serves
    assert verdict.segments.filter("worse")["segment"].to_list() == ([] if serves else ["west"])
    assert ("region west is worse by 130 bps, at least 130" in verdict.reason) == (not serves)


@pytest.mark.parametrize(
    ("biases", "serves"),
    [
        ((450, 0), True),
        ((500, 0), True),
        ((-500, 0), True),
        ((-520, 100), False),
        ((520, 520), True),
        ((520, -700), True),
        ((600, 520), False),
    ],
)
def test_a_bias_out_of_bounds_blocks_unless_the_champions_is_as_large(
    biases: tuple[float, float], serves: bool
) -> None:
    verdict = decide_promotion(cells(EVEN, biases=biases), Policy(bias_bps=500))
    assert verdict.promote == serves
    assert ("its bias is" in verdict.reason) == (not serves)
    assert verdict.figures["challenger_bias_bps"] == pytest.approx(biases[0])


@pytest.mark.parametrize(
    ("covers", "serves"),
    [
        ((0.75, 0.8), True),
        ((0.7, 0.8), True),
        ((0.9, 0.8), True),
        ((0.65, 0.8), False),
        ((0.65, 0.6), True),
        ((0.95, 0.8), False),
        ((0.95, 0.97), True),
    ],
)
def test_bands_that_cover_too_little_or_too_much_block_unless_the_champions_are_no_better(
    covers: tuple[float, float], serves: bool
) -> None:
    verdict = decide_promotion(cells(EVEN, covers=covers), Policy(coverage_low=0.7, coverage_high=0.9))
    assert verdict.promote == serves
    assert ("its bands cover" in verdict.reason) == (not serves)


def test_one_week_with_demand_keeps_the_champion() -> None:
    assert decide_promotion(cells(EVEN, weeks=1), Policy()).reason.startswith("the champion stays: 1 weeks have demand")


RUNS = 100


def test_errors_of_the_gate_are_as_rare_as_it_promises() -> None:
    equal, better = (ModelPair(DIFFERENCE_SPREADS["far apart"], 48, 4, gain) for gain in (0.0, 100.0))
    assert RUNS * promotion_share(equal, RUNS) <= binom.ppf(0.999, RUNS, 0.05)
    assert RUNS * promotion_share(better, RUNS) >= binom.ppf(0.001, RUNS, 0.90)
