"""Tune: search for settings that forecast better, go on where the search was left, write what it proposes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daypart.flows.compute.meter import Meter
from daypart.flows.config.portfolio import Portfolio
from daypart.flows.config.recipes import STANDARD, Recipes
from daypart.flows.files.atomic_files import atomic_write, check_out
from daypart.flows.governance import units
from daypart.flows.home import Home
from daypart.flows.jobs.snapshot import Chain, as_of_day, with_demand
from daypart.flows.registry import tuning_studies
from daypart.flows.registry.registry import Registry
from daypart.flows.registry.runs import RunRecord
from daypart.forecasting.models.engine import Local
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.progress import Progress, part, silent, split

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from daypart.forecasting.models.tuning import Judge, Proposal


@dataclass(frozen=True)
class Budget:
    """How far to search for each target, earlier calls included: trials, and the minutes that they may take.

    No trial begins when the minutes are over, but the first.
    """

    trials: int = 30
    minutes: float | None = None


@dataclass(frozen=True)
class TuneRequest:
    """What to tune and how far: a tier's settings, for some targets (default: all), on what was known at `as_of`.

    By default `as_of` is the day after the last demand, and the proposal's file `out` lies beside the home's studies.
    """

    budget: Budget = Budget()
    tier: str = STANDARD
    targets: tuple[str, ...] | None = None
    as_of: date | None = None
    out: Path | None = None


@dataclass(frozen=True)
class TuningOutcome:
    """One target's study: on what, how many trials of which how many pruned, and what came of it.

    `before_bps` and `best_bps` are the WAPEs (hour, day, mean) of the present settings, which are trial 0, and of the
    best trial on the same origins. `settings` are those proposed that differ from the present: none where these stand.
    """

    target: str
    tier: str
    as_of: date
    weather: str
    seed: int
    stores: int
    origins: list[date]
    trials: int
    pruned: int
    best: int
    before_bps: dict[str, float]
    best_bps: dict[str, float]
    gain_bps: float
    at_least_bps: float
    settings: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class TuningResult:
    """What every target's study came to, and the file that proposes it."""

    tuned: list[TuningOutcome]
    out: Path


def tune(
    home: Home,
    recipe: Recipe,
    request: TuneRequest,
    now: datetime,
    progress: Progress = silent,
) -> TuningResult:
    """Tune every target of the request within the budget.

    What is proposed is the home's `recipes.toml` with the tuned settings in place of theirs: put there, it takes
    effect. Where the home's portfolio has units in the tier, it is
    tuned on their stores together, as one model. The same data, recipe and trials give the same
    proposal, whether the search was made in one go or cut off and taken up again.
    """
    if request.out is not None:
        check_out(request.out, (".toml",))
    chain = Chain.newest(home.lake)
    recipes = home.recipes
    days = {target: as_of_day(chain, target, request.as_of) for target in with_demand(chain, request.targets)}
    stores = _stores(chain, home.portfolio, request.tier, days)
    searches = [
        _Search(chain, home.registry, target, request.tier, recipe, day, now, stores[target])
        for target, day in days.items()
    ]
    tuned = []
    for search, search_progress in split(progress, searches):
        outcome, recipes = search.run(recipes, request.budget, search_progress)
        tuned.append(outcome)
    path = request.out or home.settings.studies / "recipes.toml"
    with atomic_write(path) as draft:
        draft.write_bytes(_file(tuned, recipes, now))
    return TuningResult(tuned, path)


def _stores(chain: Chain, portfolio: Portfolio, tier: str, days: Mapping[str, date]) -> dict[str, Sequence[str]]:
    """By target, the stores of the tier's units; all where it has none."""
    store_ids: dict[str, Sequence[str]] = dict.fromkeys(days, chain.stores["store_id"].sort().to_list())
    members = units.members(chain, portfolio, days)
    for target in days:
        tier_ids = [ids for unit, ids in members.items() if (unit.target, unit.tier) == (target, tier)]
        store_ids[target] = sorted(name for ids in tier_ids for name in ids) or store_ids[target]
    return store_ids


@dataclass(frozen=True)
class _Search:
    """The search for one target's settings."""

    chain: Chain
    registry: Registry
    target: str
    tier: str
    usual: Recipe
    as_of: date
    now: datetime
    store_ids: Sequence[str]

    def run(self, recipes: Recipes, budget: Budget, progress: Progress) -> tuple[TuningOutcome, Recipes]:
        """Makes the trials that are left; what came of them all, and the recipes with those proposed among them."""
        from daypart.forecasting.models import tuning
        from daypart.forecasting.models.trainer import ModelTrainer
        from daypart.forecasting.models.training_data import TrainingData

        meter, settings = Meter(self.registry.settings.prices), self.registry.settings
        present = recipes.recipe(self.target, self.usual, self.tier)
        data = TrainingData(self.chain, self.target, self.as_of, self.store_ids)
        progress(f"derive the history of {self.target}", 0.0)
        trials_progress = part(progress, 0.05, 0.98)
        workshop = ModelTrainer(data, present, Local(meter))
        judge = tuning.Judge(workshop, self.as_of)
        with tuning_studies.open_study(settings.studies, self._name(present)) as study:
            while _goes_on(trials := tuning.finished_trials(study), budget):
                number = len(trials) + 1
                trials_progress(f"{self.target}, trial {number} of {budget.trials}", (number - 1) / budget.trials)
                tuning.step(study, judge)
            tried = trials[: budget.trials]
            proposal = tuning.propose(tried, judge)
            tuned = self._tuned(judge, tried, proposal)
            proposed = recipes.with_recipe(self.target, proposal.recipe, self.usual, self.tier)
            # Whoever else would record it has to wait for the study.
            identifying = {"study": study.study_name, "tried": str(len(tried))}
            if self.registry.runs("tune", self.target, identifying).is_empty():
                params = {**identifying, **present.model_dump(mode="json")}
                self._record(params, tuned, _file([tuned], proposed, self.now), tried, meter)
        return tuned, proposed

    def _name(self, present: Recipe) -> str:
        """The same for the same data, date, tier and present settings, whose seed is the search's as well."""
        some = [self.store_ids] if len(self.store_ids) < self.chain.stores.height else []
        content = json.dumps([present.model_dump(mode="json"), dict(self.chain.versions), *some], sort_keys=True)
        return f"{self.target}-{self.tier}-{self.as_of}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def _tuned(self, judge: "Judge", tried: "Sequence[FrozenTrial]", proposal: "Proposal") -> TuningOutcome:
        present, proposed = (recipe.model_dump(mode="json") for recipe in (judge.present, proposal.recipe))
        return TuningOutcome(
            target=self.target,
            tier=self.tier,
            as_of=self.as_of,
            weather=judge.present.weather,
            seed=judge.present.seed,
            stores=judge.rows["store_id"].n_unique(),
            origins=judge.rows["origin_date"].unique().sort().to_list(),
            trials=len(tried),
            pruned=sum(trial.state.name == "PRUNED" for trial in tried),
            best=proposal.trial,
            before_bps=proposal.before,
            best_bps=proposal.best,
            gain_bps=proposal.gain_bps,
            at_least_bps=proposal.at_least_bps,
            settings={name: value for name, value in proposed.items() if value != present[name]},
            reason=_reason(proposal),
        )

    def _record(
        self,
        params: Mapping[str, object],
        tuned: TuningOutcome,
        file: bytes,
        tried: "Sequence[FrozenTrial]",
        meter: Meter,
    ) -> None:
        from daypart.forecasting.models.tuning import table

        params = {
            **{"as_of": self.as_of.isoformat(), "tier": self.tier, "reason": tuned.reason},
            **{"first_origin": str(tuned.origins[0]), "last_origin": str(tuned.origins[-1])},
            **{"proposed": tuned.settings, **params},
        }
        wapes = {"before": tuned.before_bps, "best": tuned.best_bps}
        figures = {f"{level}_{name}_wape_bps": bps for name, errors in wapes.items() for level, bps in errors.items()}
        figures |= {name: float(getattr(tuned, name)) for name in ("trials", "pruned", "gain_bps", "at_least_bps")}
        files, tables = {"recipes.toml": file}, {"trials": table(tried)}
        metrics, reads = {**figures, **meter.figures()}, self.chain.versions
        self.registry.record(RunRecord("tune", self.target, params, metrics, reads, files, tables, kind="recipes"))


def _goes_on(trials: "Sequence[FrozenTrial]", budget: Budget) -> bool:
    """Whether the budget has another trial; the present settings are tried at any rate."""
    minutes = sum(trial.duration.total_seconds() for trial in trials if trial.duration) / 60
    return not trials or (len(trials) < budget.trials and (budget.minutes is None or minutes < budget.minutes))


def _reason(proposal: "Proposal") -> str:
    if proposal.trial == 0:
        return "no trial is better than the present settings: they stand"
    gain_text = f"trial {proposal.trial} is {proposal.gain_bps:.0f} bps better"
    if proposal.better:
        return f"{gain_text}, at least {proposal.at_least_bps:.0f}"
    return f"{gain_text}, but not beyond chance (at least {proposal.at_least_bps:.0f}): the present settings stand"


def _file(tuned: Sequence[TuningOutcome], recipes: Recipes, now: datetime) -> bytes:
    """The recipes as a file that says what they rest on."""
    lines = [f"Proposed by `daypart tune` on {now:%Y-%m-%d}. It takes effect as recipes.toml in the home."]
    for item in tuned:
        before, best = item.before_bps, item.best_bps
        lines += [
            f"{item.target}, {item.tier}: {item.stores} stores, {len(item.origins)} origins from {item.origins[0]} to "
            f"{item.origins[-1]}, as of {item.as_of}.",
            f"  {item.trials} trials, {item.pruned} pruned; weather {item.weather}, seed {item.seed}.",
            f"  WAPE {before['hour']:.0f} bps by the hour, {before['day']:.0f} by the day; "
            f"the best trial's {best['hour']:.0f} and {best['day']:.0f}.",
            f"  {item.reason[0].upper()}{item.reason[1:]}.",
        ]
    return ("".join(f"# {line}\n" for line in lines) + "\n" + recipes.text()).encode()
