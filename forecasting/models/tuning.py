"""Tuning: a search for settings that would have forecast the past better than the present ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from daypart.features.chain_data import days
from daypart.features.deterministic_sum import exact_sum
from daypart.features.errors import NotKnownError
from daypart.features.money import in_units, with_unit
from daypart.forecasting.metrics.expressions import bps
from daypart.forecasting.models import tuning_space
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

TUNING_FOLDS = 3
"""Earlier dates, `fold_days` apart, as of which every recipe is fitted and judged on the days that followed."""

UNPRUNED_TRIALS = 4
"""Trials that are judged on all folds before bad ones are stopped early."""

GAIN_DRAWS, GAIN_CONFIDENCE = 1000, 0.9
ERROR_LEVELS = ("hour", "day")


class Judge:
    """Judges recipes on the same rolling origins, each forecast by models fitted before it as a backtest's are.

    The sums of a recipe's errors are kept, so that none is fitted twice. The same records before the date of the
    study give the same figures to the last bit.
    """

    def __init__(self, trainer: ModelTrainer, as_of: date) -> None:
        """Take the trainer of the present recipe. Raises NotKnownError where history leaves no date to judge from."""
        self.present, self.as_of = trainer.recipe, as_of
        self._trainers = {self.present: trainer}
        dates = sorted(self.present.model_copy(update={"folds": TUNING_FOLDS}).fold_dates(as_of, trainer.first))
        self._rows = {fold: rows for fold in dates if (rows := self._fold_rows(trainer, fold)).height}
        self._errors: dict[tuple[Recipe, date], pl.DataFrame] = {}
        if not self._rows:
            needed = self.present.min_train_days + self.present.fold_days
            raise NotKnownError(
                f"too little {trainer.target} before {as_of} to tune on: the first is on {trainer.first}; "
                f"tuning needs {needed} days, and some of the last {TUNING_FOLDS * self.present.fold_days} open"
            )

    @property
    def folds(self) -> list[date]:
        """The dates as of which recipes are fitted, earliest first."""
        return list(self._rows)

    @property
    def rows(self) -> pl.DataFrame:
        """One row per target hour on which recipes are judged: store_id, origin_date, date."""
        return pl.concat(rows.select("store_id", "origin_date", "date") for rows in self._rows.values())

    def wape_bps(self, recipe: Recipe, folds: Sequence[date]) -> dict[str, float]:
        """Return WAPE by the `hour` and by the `day` over some folds, and the `mean` of the two, in bps."""
        errors = self.errors(recipe, folds)
        volume = float(errors["y"].sum())
        wape = {level: bps(float(errors[level].sum()), volume) for level in ERROR_LEVELS}
        return wape | {"mean": sum(wape.values()) / len(wape)}

    def excess_bps(self, recipe: Recipe, folds: Sequence[date]) -> float:
        """Return by how much the recipe's mean WAPE is above the present one's, in bps; less than 0 is better."""
        # The present recipe's first: its sample of training rows may serve the other too.
        present = self.wape_bps(self.present, folds)["mean"]
        return self.wape_bps(recipe, folds)["mean"] - present

    def errors(self, recipe: Recipe, folds: Sequence[date]) -> pl.DataFrame:
        """Return demand `y` and absolute errors `hour` and `day`: one row per fold, store and week, sorted.

        Those by the day are of the sums over each origin's and date's hours. Money of several currencies is in units as
        of the study's date.
        """
        for fold in folds:
            if (recipe, fold) not in self._errors:
                self._errors[recipe, fold] = self._evaluate(recipe, fold)
        return pl.concat(self._errors[recipe, fold] for fold in folds)

    def _evaluate(self, recipe: Recipe, fold: date) -> pl.DataFrame:
        base = self._trainers[self.present]
        if recipe not in self._trainers:
            self._trainers = {self.present: base, recipe: base.with_recipe(recipe)}
        model = self._trainers[recipe].train(fold)
        predictions = model.predict(with_unit(self._rows[fold], base.stores, model.units), base.totals)
        predictions = in_units(predictions, base.stores, base.units(self.as_of), ("y", "forecast"))
        error = (pl.col("y") - pl.col("forecast")).abs()
        sums = [exact_sum(pl.col(name)) for name in ("y", "forecast")]
        totals = predictions.group_by("store_id", "origin_date", "date").agg(*sums, hour=exact_sum(error))
        weeks = [pl.col("store_id"), pl.col("date").dt.truncate("1w").alias("week")]
        errors = totals.with_columns(day=error).group_by(weeks).agg(exact_sum(pl.col(n)) for n in ("y", *ERROR_LEVELS))
        return errors.sort("store_id", "week")

    def _fold_rows(self, trainer: ModelTrainer, fold: date) -> pl.DataFrame:
        """Return the rows of the fold's weekly origins whose demand was known at the date of the study."""
        origins = days(fold, fold + timedelta(days=self.present.fold_days - 1), 7)
        return trainer.with_demand(trainer.rows(origins)).filter(pl.col("known_on") < self.as_of)


@dataclass(frozen=True)
class Proposal:
    """The result of a study: the recipe to use, which is the present one unless another is better beyond chance.

    `before` and `best` are the WAPEs of the present recipe and of the best trial on the same origins, in bps (hour,
    day, mean). Store-weeks drawn anew would put the best ahead by `at_least_bps` in nine of ten cases; that it was
    picked for being ahead is not allowed for. `trial` counts from 0, which is the present recipe.
    """

    recipe: Recipe
    trial: int
    before: dict[str, float]
    best: dict[str, float]
    at_least_bps: float

    @property
    def better(self) -> bool:
        """Whether another recipe than the present one is proposed."""
        return self.at_least_bps > 0.0

    @property
    def gain_bps(self) -> float:
        """By how much the best trial's mean WAPE is lower; never below 0."""
        return self.before["mean"] - self.best["mean"]


def study(name: str, storage: "BaseStorage | None" = None) -> "Study":
    """Return the study of that name, new or as it was left, in a storage that no other process uses.

    A trial that was cut off is given up; another will stand in for it.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS)
    loaded_study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True, pruner=pruner)
    for trial in loaded_study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        loaded_study.tell(trial.number, state=TrialState.FAIL)
    return loaded_study


def finished_trials(study: "Study") -> "list[FrozenTrial]":
    """Return the trials that were judged on all folds or pruned, in their order."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def step(study: "Study", judge: Judge) -> None:
    """Run one more trial, the first of which is the present recipe; its value is `Judge.excess_bps`.

    It depends on the trials that are done and the recipe's seed, not on whether the study was ever cut off.
    """
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    before = len(finished_trials(study))
    if not before and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(tuning_space.params_of(judge.present))
    # A sampler's state is lost with its process: each trial has a seed of its own.
    study.sampler = TPESampler(seed=judge.present.seed + before)
    trial = study.ask()
    recipe = tuning_space.suggest(trial, judge.present)
    for number, fold in enumerate(judge.folds, 1):
        trial.report(judge.excess_bps(recipe, [fold]), number)
        if number < len(judge.folds) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return
    study.tell(trial, judge.excess_bps(recipe, judge.folds))


def propose(tried: "Sequence[FrozenTrial]", judge: Judge) -> Proposal:
    """Return the proposal of the first trials of a study; there is at least one."""
    from optuna.trial import TrialState

    values = {number: trial.value for number, trial in enumerate(tried) if trial.state == TrialState.COMPLETE}
    number = min(values, key=lambda candidate: (values[candidate], candidate))
    best = tuning_space.recipe_of(tried[number].params, judge.present)
    least = _at_least_bps(judge.errors(judge.present, judge.folds), judge.errors(best, judge.folds), judge.present.seed)
    before, after = (judge.wape_bps(recipe, judge.folds) for recipe in (judge.present, best))
    return Proposal(best if least > 0.0 else judge.present, number, before, after, least)


def table(tried: "Sequence[FrozenTrial]") -> pl.DataFrame:
    """Return one row per trial: trial, state, excess_bps (null if pruned), folds, seconds and what was tried."""
    from optuna.trial import TrialState

    rows = [
        {
            "trial": number,
            "state": trial.state.name.lower(),
            "excess_bps": trial.value if trial.state == TrialState.COMPLETE else None,
            "folds": len(trial.intermediate_values),
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            **trial.params,
        }
        for number, trial in enumerate(tried)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _at_least_bps(present: pl.DataFrame, best: pl.DataFrame, seed: int) -> float:
    """Return the gain in mean WAPE that is reached in GAIN_CONFIDENCE of paired resamples of store-weeks."""
    gained = pl.concat(
        [present, best.select(pl.col(ERROR_LEVELS).name.suffix("_best"))], how="horizontal"
    ).with_columns(saved=sum(pl.col(level) - pl.col(f"{level}_best") for level in ERROR_LEVELS) / len(ERROR_LEVELS))
    # Folds overlap by a week, which is one draw.
    weeks = gained.group_by("store_id", "week").agg(exact_sum(pl.col("saved")), exact_sum(pl.col("y")))
    saved, volume = (weeks.sort("store_id", "week")[name].to_numpy() for name in ("saved", "y"))
    draws = np.random.default_rng(seed).integers(0, len(volume), (GAIN_DRAWS, len(volume)))
    gains = bps(saved[draws].sum(axis=1), volume[draws].sum(axis=1))
    return float(np.quantile(gains, 1.0 - GAIN_CONFIDENCE))
