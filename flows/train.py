"""Train: read the records, make a challenger for each unit, register it, gate it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from features.errors import NotKnownError
from flows import units
from flows.adapters.lake import Lake
from flows.adapters.meter import Meter, Usage
from flows.adapters.policies import Policies
from flows.adapters.portfolio import Portfolio, Unit
from flows.adapters.recipes import USUAL, Recipes
from flows.adapters.registry import Registry
from flows.reading import Chain, as_of_day, with_demand
from forecasting.engine import Engine, Local
from forecasting.policy import Policy
from forecasting.recipe import Recipe

Maker = Callable[[Meter], Engine]
"""Makes a job's engine."""


@dataclass(frozen=True)
class Trained:
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
    lake: Lake,
    registry: Registry,
    recipe: Recipe,
    targets: tuple[str, ...] | None = None,
    as_of: date | None = None,
    engine: Maker = Local,
    recipes: Recipes = USUAL,
    names: Sequence[str] | None = None,
    engines: Mapping[str, Maker] | None = None,
) -> list[Trained]:
    """Trains every unit on what was known at `as_of` (default: the day after the last demand), by an engine.

    Units are those of the home's portfolio, or the named ones of it (`units.chosen`); each learns from its segment's
    stores by its tier's recipe: `recipe`, or where `recipes` has settings for it those over it. A tier that asks for
    an engine is trained by that of `engines`, if it is there. Raises NotKnownError where no unit can learn anything.

    The challenger alias always names the newest version; champion moves only if the gate agrees. Training
    again on the same data with the same recipe registers nothing: the model is the one that is there.
    Raises InputError, before any work, where the home's policy file cannot be read.
    """
    from forecasting.workshop import chain_sums

    policies = Policies.read(registry.settings.policy)
    chain = Chain.of(lake)
    portfolio = Portfolio.read(registry.settings.portfolio)
    days = {target: as_of_day(chain, target, as_of) for target in with_demand(chain, targets)}
    members = units.members(chain, portfolio, days)
    if names is not None:
        members = units.chosen(members, names, chain.stores)
    made = {unit: recipes.recipe(unit.target, recipe, unit.tier) for unit in members}
    done: list[Trained] = []
    for target, day in days.items():
        mine = [unit for unit in members if unit.target == target]
        sums = chain_sums(chain, target, day) if mine else None
        for unit in mine:
            own = (engines or {}).get(portfolio.tier(unit.tier).engine or "", engine)
            job = _Job(chain, registry, unit, members[unit], made[unit], policies.of(unit.tier), day, own, sums)
            done.append(job.run())
    if all(each.version is None for each in done):
        raise NotKnownError(done[0].reason)
    return done


@dataclass(frozen=True)
class _Job:
    """What one unit's training takes."""

    chain: Chain
    registry: Registry
    unit: Unit
    store_ids: Sequence[str]
    recipe: Recipe
    policy: Policy
    as_of: date
    engine: Maker
    sums: pl.DataFrame | None

    def run(self) -> Trained:
        """Makes a challenger, gates it, registers it and promotes it if it may serve."""
        from forecasting.gate import gate
        from forecasting.model import Model
        from forecasting.workshop import Workshop

        unit, registry = self.unit, self.registry
        meter = Meter(registry.settings.prices)
        try:
            engine = self.engine(meter)
            workshop = Workshop(self.chain, unit.target, self.recipe, self.as_of, engine, self.store_ids, self.sums)
            challenger = workshop.train(self.as_of)
        except NotKnownError as unknown:
            return self.told(None, False, str(unknown), {}, meter)
        files = challenger.files()
        serving = registry.version_of(unit.name, "champion")
        served = registry.load(unit.name, serving) if serving is not None else None
        if serving is not None and served == files:
            return self.told(serving, True, "the champion is this very model", challenger.trained_on, meter)
        verdict = gate(challenger, Model.from_files(served) if served else None, workshop, self.policy)
        with meter("register"):
            version = registry.version_of(unit.name, "challenger")
            if version is None or registry.load(unit.name, version) != files:
                version = self.registered(files, {**challenger.trained_on, **verdict.figures}, verdict.reason, meter)
            if verdict.promote:
                registry.set_alias(unit.name, "champion", version)
        return self.told(version, verdict.promote, verdict.reason, challenger.trained_on, meter)

    def registered(self, files: dict[str, bytes], figures: dict[str, float], reason: str, meter: Meter) -> int:
        """The new version of the unit's model, the challenger now."""
        name, day = self.unit.name, self.as_of.isoformat()
        params = {"as_of": day, **self.recipe.model_dump(mode="json")}
        run = self.registry.record("train", name, params, {**figures, **meter.figures()}, self.chain.versions, files)
        tags = {"gate": reason, "as_of": day, "tier": self.unit.tier, "segment": self.unit.segment or ""}
        reads = {f"read.{table}": str(version) for table, version in self.chain.versions.items()}
        version = self.registry.register(name, run, {**tags, **reads})
        self.registry.set_alias(name, "challenger", version)
        return version

    def told(self, version: int | None, serves: bool, reason: str, figures: dict[str, float], meter: Meter) -> Trained:
        """The outcome."""
        unit, took = self.unit, (meter.usage(), meter.dollars())
        return Trained(unit.target, version, serves, reason, self.as_of, figures, *took, unit.name, unit.tier)
