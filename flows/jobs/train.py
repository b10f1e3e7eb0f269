"""Train: read the records, make a challenger for each unit, register it, gate it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import TYPE_CHECKING

import polars as pl

from daypart.features.errors import InputError, NotKnownError
from daypart.flows.audit import hash_chain as chains
from daypart.flows.audit.audit_history import UnitHistory
from daypart.flows.audit.audit_log import Entry
from daypart.flows.compute.meter import Meter, Usage
from daypart.flows.config.governance import AUTOMATION
from daypart.flows.config.portfolio import Unit
from daypart.flows.files.lock import file_lock
from daypart.flows.governance import units
from daypart.flows.governance.champion_switch import end_interrupted_switch_of
from daypart.flows.governance.model_versions import ModelStore
from daypart.flows.governance.promotion import promote
from daypart.flows.governance.settings_audit import mark
from daypart.flows.governance.signoff import Signoff
from daypart.flows.home import Home
from daypart.flows.jobs.model_registration import TrainedModel, register
from daypart.flows.jobs.snapshot import Chain, as_of_day, with_demand
from daypart.forecasting.lifecycle.policy import Policy
from daypart.forecasting.models.engine import Engine, Local
from daypart.forecasting.models.recipe import Recipe

if TYPE_CHECKING:
    from daypart.forecasting.lifecycle.gate import Verdict

Maker = Callable[[Meter], Engine]
"""Makes a job's engine."""


@dataclass(frozen=True)
class TrainRequest:
    """What to train, and in whose name: units of the portfolio (default: all, of some targets or all), as of a date.

    By default `as_of` is the day after the last demand. The audit records the role and the reason.
    """

    targets: tuple[str, ...] | None = None
    units: Sequence[str] | None = None
    as_of: date | None = None
    role: str = AUTOMATION
    reason: str = ""


@dataclass(frozen=True)
class Engines:
    """What makes the engine of a unit's training: the default, and others by the name that a tier asks for."""

    default: Maker = Local
    by_name: Mapping[str, Maker] = field(default_factory=dict)

    def of_tier(self, name: str | None) -> Maker:
        """Return the maker of the engine that a tier asks for; the default where it asks for none or it is absent."""
        return self.by_name.get(name or "", self.default)


@dataclass(frozen=True)
class TrainingOutcome:
    """One unit's outcome: the version that was registered (or already served), what the gate said, what it took.

    The version is null where too little is known of the unit's stores to learn from; others were trained.
    """

    target: str
    version: int | None
    promoted: bool
    reason: str
    as_of: date
    figures: dict[str, float]
    usage: list[Usage]
    cost_dollars: float
    unit: str
    tier: str


def train(
    home: Home,
    recipe: Recipe,
    request: TrainRequest = TrainRequest(),  # noqa: B008 - frozen
    engines: Engines = Engines(),  # noqa: B008 - frozen
    now: datetime | None = None,
) -> list[TrainingOutcome]:
    """Train every unit of the request on what was known at its date.

    Each unit learns from its segment's stores by its tier's recipe: `recipe`, with what the home's `recipes.toml` has
    for the tier over it. Raises NotKnownError where no unit can learn anything.

    The challenger alias always names the version trained last; if the gate agrees its promotion is asked for, which
    may wait for an approval. Training again on the same data with the same recipe registers nothing: the model is the
    version that is there, and what people decided about that (`earlier_decision`) stands. What was made and judged,
    and the request's reason, is audited as of `now` (default: the midnight of the day trained on).
    Raises InputError, before any work, for a role that may not retrain or a policy file that cannot be read, and
    DamagedError where the audit is not as it was written.
    """
    from daypart.forecasting.models.training_data import chain_sums

    policies, portfolio, recipes, governance = home.policies, home.portfolio, home.recipes, home.governance
    chain = Chain.newest(home.lake)
    days = {target: as_of_day(chain, target, request.as_of) for target in with_demand(chain, request.targets)}
    members = units.members(chain, portfolio, days)
    if request.units is not None:
        members = units.chosen(members, request.units, chain.stores)
    unit_recipes = {unit: recipes.recipe(unit.target, recipe, unit.tier) for unit in members}
    for unit in unit_recipes:
        governance.check("retrain", unit.tier, unit.name, request.role)
    home.audit.check()
    outcomes, undeclared = [], mark(home)
    for target, day in days.items():
        target_units = [unit for unit in members if unit.target == target]
        sums = chain_sums(chain, target, day) if target_units else None
        for unit in target_units:
            job = _Job(
                home,
                chain,
                unit,
                store_ids=members[unit],
                recipe=unit_recipes[unit],
                policy=policies.policy(unit.tier),
                as_of=day,
                engine=engines.of_tier(portfolio.tier(unit.tier).engine),
                sums=sums,
                signoff=Signoff(request.role, now or datetime.combine(day, time()), request.reason),
                undeclared=undeclared,
            )
            outcomes.append(job.run())
    if all(outcome.version is None for outcome in outcomes):
        raise NotKnownError(outcomes[0].reason)
    return outcomes


def earlier_decision(records: pl.DataFrame, unit: str, version: int) -> str:
    """What people decided about a version before, in words: it was replaced or rejected; empty where nothing."""
    unit_records = records.filter(pl.col("unit") == unit).sort("sequence")
    details = [json.loads(text) for text in unit_records["details"]]
    if any((entry.get("state"), entry.get("version")) == ("rejected", version) for entry in details):
        return f"a request for v{version} was rejected: `daypart promote {unit} --version {version}` asks again"
    if version in UnitHistory.from_records(records, unit).served:
        return f"v{version} served before: `daypart promote {unit} --version {version}` lets it serve again"
    return ""


@dataclass(frozen=True)
class _Job:
    """What one unit's training takes."""

    home: Home
    chain: Chain
    unit: Unit
    store_ids: Sequence[str]
    recipe: Recipe
    policy: Policy
    as_of: date
    engine: Maker
    sums: pl.DataFrame | None
    signoff: Signoff
    undeclared: Mapping[str, Sequence[str]]

    def run(self) -> TrainingOutcome:
        """Makes a challenger, gates it, registers it and promotes it if it may serve."""
        from daypart.forecasting.lifecycle.gate import gate
        from daypart.forecasting.models.model import Model
        from daypart.forecasting.models.trainer import ModelTrainer
        from daypart.forecasting.models.training_data import TrainingData

        unit, registry = self.unit, self.home.registry
        meter = Meter(registry.settings.prices)
        try:
            engine = self.engine(meter)
            data = TrainingData(self.chain, unit.target, self.as_of, self.store_ids, self.sums)
            workshop = ModelTrainer(data, self.recipe, engine)
            challenger = workshop.train(self.as_of)
        except NotKnownError as unknown:
            return self.outcome(None, False, str(unknown), {}, meter)
        files, store = challenger.files(), ModelStore(self.home)
        serving = store.serving_one(unit.name)
        if serving is not None and serving.files == files:
            end_interrupted_switch_of(self.home, unit.name, self.signoff.now)
            which = "the model that serves in place of the champion" if serving.refused else "the champion"
            return self.outcome(serving.version, True, f"{which} is this very model", challenger.trained_on, meter)
        verdict = gate(challenger, Model.from_files(dict(serving.files)) if serving else None, workshop, self.policy)
        # Of two that train at once one waits, and then finds the other's version, and it serving.
        with meter("register"), file_lock(registry.settings.home / "register.lock"):
            same_version = store.identical(unit.name, self.as_of, files)
            trained = TrainedModel(unit, challenger, workshop, verdict)
            version = same_version or register(self.home, trained, dict(self.chain.versions), meter)
            if registry.version_of(unit.name, "challenger") != version:
                registry.set_alias(unit.name, "challenger", version)
            self.audited(version, verdict, registry.stored_model(unit.name, version).sha256)
            serves, reason = self.promoted(version, verdict)
        if same_version is not None:
            reason = f"{reason}; v{version} is this very model: nothing new is registered"
        return self.outcome(version, serves, reason, challenger.trained_on, meter)

    def outcome(
        self, version: int | None, serves: bool, reason: str, figures: dict[str, float], meter: Meter
    ) -> TrainingOutcome:
        """Return the unit's outcome, with what the training took."""
        unit, took = self.unit, (meter.usage(), meter.dollars())
        return TrainingOutcome(unit.target, version, serves, reason, self.as_of, figures, *took, unit.name, unit.tier)

    def audited(self, version: int, verdict: "Verdict", sha256: str) -> None:
        """Audits the training, the digest of its files and the gate's verdict, unless that was recorded last."""
        audit, name = self.home.audit, self.unit.name
        details = {"version": version, "sha256": sha256, "as_of": self.as_of, "reads": self.chain.versions}
        details |= {**vars(verdict), "segments": verdict.segments.to_dicts(), **self.undeclared}
        if self.signoff.reason:
            details["asked"] = self.signoff.reason
        retrainings = audit.records().filter(pl.col("unit") == name, pl.col("activity") == "retrain")
        if chains.canonical(details) not in retrainings["details"].tail(1):
            audit.append(self.signoff.now, self.signoff.role, Entry("retrain", name, details))

    def promoted(self, version: int, verdict: "Verdict") -> tuple[bool, str]:
        """Whether the version serves now, and why or what it waits for."""
        if not verdict.promote:
            return False, verdict.reason
        decision = earlier_decision(self.home.audit.records(), self.unit.name, version)
        if decision:
            return False, f"{verdict.reason}; {decision}"
        signoff = Signoff(AUTOMATION, self.signoff.now, verdict.reason)
        try:
            outcome = promote(self.home, self.unit.name, version, signoff)
        except InputError as refused:
            return False, f"{verdict.reason}; {refused}"
        serves = outcome.state == "serves"
        return serves, verdict.reason if serves else f"{verdict.reason}; {outcome.told}"
