"""What is proposed rests on origins of the past alone, and is no worse there than what is in use."""

from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.chain_data import ChainData, days
from daypart.features.errors import NotKnownError
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.metrics import accuracy
from daypart.forecasting.models import tuning, tuning_space
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.models.tuning import Judge
from daypart.forecasting.serving.backtest import backtest

START, DAYS = date(2024, 1, 1), 140
AS_OF = START + timedelta(days=126)
RECIPE = Recipe(rounds=10, max_rows=4000, folds=1, members=("ratio", "linear"), history_days=DAYS)
TRIALS = 8


@cache
def records() -> ChainData:
    """Three stores; the last two weeks lie after the date of the study."""
    return ChainData.from_tables(simulate(ChainSpec(stores=3, start=START, days=DAYS, seed=7, issues_days=DAYS)).tables)


def judge(history: ChainData) -> Judge:
    return Judge(ModelTrainer(TrainingData(history, "orders", AS_OF), RECIPE), AS_OF)


@cache
def searched() -> tuple[Judge, list[Any]]:
    """A study that was never cut off."""
    recipe_judge, study = judge(records()), tuning.study("whole")
    for _ in range(TRIALS):
        tuning.step(study, recipe_judge)
    return recipe_judge, tuning.finished_trials(study)


def test_the_present_recipe_is_judged_as_a_backtest_judges_it() -> None:
    recipe_judge, _ = searched()
    assert recipe_judge.folds == [AS_OF - timedelta(days=28 * k) for k in (3, 2, 1)]
    history = records().until(AS_OF - timedelta(days=1))
    rows, _ = backtest(
        ModelTrainer(
            TrainingData(history, "orders", days(recipe_judge.folds[0], AS_OF - timedelta(days=1), 7)[-1]), RECIPE
        ),
        days(recipe_judge.folds[0], AS_OF - timedelta(days=1), 7),
        28,
    )
    wapes = recipe_judge.wape_bps(RECIPE, recipe_judge.folds)
    for level in ("hour", "day"):
        error = 10_000 - accuracy.score(rows, level)["accuracy_bps"].item()
        assert wapes[level] == pytest.approx(error, abs=0.01)
    assert wapes["mean"] == pytest.approx((wapes["hour"] + wapes["day"]) / 2)


def test_what_came_after_the_date_changes_nothing() -> None:
    full, tried = searched()
    cut = judge(records().until(AS_OF - timedelta(days=1)))
    other = tuning_space.recipe_of(tried[1].params, RECIPE)
    for recipe in (RECIPE, other):
        assert_frame_equal(cut.errors(recipe, cut.folds), full.errors(recipe, full.folds), check_exact=True)


def test_a_workshop_under_another_recipe_makes_what_its_own_would() -> None:
    shop = ModelTrainer(TrainingData(records(), "orders", AS_OF), RECIPE)
    shop.train(AS_OF)
    for changed in ({"rounds": 5}, {"max_rows": 2000}, {"history_days": 60, "members": ("level",)}):
        recipe = RECIPE.model_copy(update=changed)
        fresh = ModelTrainer(TrainingData(records(), "orders", AS_OF), recipe).train(AS_OF)
        assert shop.with_recipe(recipe).train(AS_OF).files() == fresh.files()


@pytest.mark.faults
def test_a_study_cut_off_anywhere_comes_to_the_same(tmp_path: Path) -> None:
    recipe_judge, tried = searched()
    address = f"sqlite:///{tmp_path / 'study.db'}"
    study = tuning.study("cut", optuna.storages.RDBStorage(address))
    study.enqueue_trial(tuning_space.params_of(RECIPE))
    for trial in range(TRIALS):
        if trial in (0, 1, 4):
            tuning_space.suggest(study.ask(), RECIPE)
            study = tuning.study("cut", optuna.storages.RDBStorage(address))
        tuning.step(study, recipe_judge)
    again = tuning.finished_trials(study)
    assert_frame_equal(tuning.table(again).drop("seconds"), tuning.table(tried).drop("seconds"), check_exact=True)
    assert tuning.propose(again, recipe_judge) == tuning.propose(tried, recipe_judge)
    assert len(study.trials) == TRIALS + 3


def test_bad_trials_are_stopped_early() -> None:
    _, tried = searched()
    table = tuning.table(tried)
    stopped = table.filter(pl.col("state") == "pruned")
    assert 0 < stopped.height < TRIALS - tuning.UNPRUNED_TRIALS + 1
    assert stopped["excess_bps"].null_count() == stopped.height
    assert (stopped["folds"] < 3).all()
    for number in stopped["trial"]:
        values = tried[number].intermediate_values
        complete_trials = [trial for trial in tried[:number] if trial.state.name == "COMPLETE"]
        assert len(complete_trials) >= tuning.UNPRUNED_TRIALS
        assert min(values.values()) > median(trial.intermediate_values[max(values)] for trial in complete_trials)


def test_the_proposal_is_the_best_trial_and_never_worse_than_the_present_recipe() -> None:
    recipe_judge, tried = searched()
    assert tuning_space.recipe_of(tried[0].params, RECIPE) == RECIPE
    assert tried[0].value == 0
    for count in (1, 2, TRIALS):
        proposal = tuning.propose(tried[:count], recipe_judge)
        values = [trial.value for trial in tried[:count] if trial.state.name == "COMPLETE"]
        assert proposal.gain_bps == pytest.approx(-min(values))
        assert proposal.gain_bps >= 0
        assert recipe_judge.wape_bps(proposal.recipe, recipe_judge.folds)["mean"] <= proposal.before["mean"]
    assert tuning.propose(tried[:1], recipe_judge).recipe == RECIPE
    assert proposal.better
    assert proposal.recipe == tuning_space.recipe_of(tried[proposal.trial].params, RECIPE) != RECIPE


class Told:
    """A judge of two recipes whose errors are given: 40 stores of one week."""

    present, folds = RECIPE, (AS_OF,)

    def __init__(self, saved: list[float]) -> None:
        self.saved = saved

    def errors(self, recipe: Recipe, folds: object) -> pl.DataFrame:
        rows = [
            (f"S{k:04d}", AS_OF, 30.0 - saved * (recipe != RECIPE), 20.0 - saved * (recipe != RECIPE), 100.0)
            for k, saved in enumerate(self.saved)
        ]
        return pl.DataFrame(rows, schema=["store_id", "week", "hour", "day", "y"], orient="row")

    wape_bps = Judge.wape_bps


@pytest.mark.parametrize(
    ("saved", "better"),
    [([1.0] * 40, True), ([0.0] * 40, False), ([60.0] + [-1.0] * 39, False), ([4.0, -3.0] * 20, False)],
    ids=["everywhere", "nowhere", "once", "as often worse"],
)
def test_what_may_be_chance_is_not_proposed(saved: list[float], better: bool) -> None:
    study = optuna.create_study()
    other = tuning_space.params_of(RECIPE) | {"rounds": 20}
    for params, value in ((tuning_space.params_of(RECIPE), 0.0), (other, -1.0)):
        study.enqueue_trial(params)
        trial = study.ask()
        tuning_space.suggest(trial, RECIPE)
        study.tell(trial, value)
    proposal = tuning.propose(tuning.finished_trials(study), Told(saved))  # type: ignore[arg-type]
    assert (proposal.trial, proposal.better) == (1, better)
    assert proposal.recipe == (RECIPE.model_copy(update={"rounds": 20}) if better else RECIPE)
    gains = np.array(saved) / 100
    generator = np.random.default_rng(1)
    slow = [10_000 * np.mean([gains[generator.integers(40)] for _ in range(40)]) for _ in range(2000)]
    spread = float(np.std(slow)) + 1e-9
    assert proposal.at_least_bps == pytest.approx(float(np.quantile(slow, 0.1)), abs=0.3 * spread)
    assert proposal.gain_bps == pytest.approx(10_000 * gains.mean())


def test_too_little_history_is_refused() -> None:
    as_of = START + timedelta(days=60)
    with pytest.raises(NotKnownError, match="tuning needs 70 days"):
        Judge(ModelTrainer(TrainingData(records(), "orders", as_of), RECIPE), as_of)


def test_a_chain_closed_for_a_fold_is_judged_on_the_others() -> None:
    first, last = AS_OF - timedelta(days=56), AS_OF - timedelta(days=15)
    open_on = ~pl.col("hour_local").dt.date().is_between(first, last)
    shut = records().stores.select("store_id", date=pl.date_ranges(first, last)).explode("date")
    closures = pl.concat([records().closures, shut.cast({"date": pl.Date})], how="diagonal")
    recipe_judge = judge(replace(records(), demand=records().demand.filter(open_on), closures=closures))
    assert recipe_judge.folds == [AS_OF - timedelta(days=28 * k) for k in (3, 1)]
