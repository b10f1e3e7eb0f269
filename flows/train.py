"""Train: read the records, make a challenger for each target, register it, gate it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING

import polars as pl

from features.errors import InputError
from flows.adapters import chain as chains
from flows.adapters.audit import Audit
from flows.adapters.governance import AUTOMATION, Governance
from flows.adapters.lake import Lake
from flows.adapters.meter import Meter, Usage
from flows.adapters.recipes import USUAL, Recipes
from flows.adapters.registry import Registry
from flows.promote import STANDARD, mend, promote
from flows.reading import Chain, as_of_day, with_demand
from forecasting.engine import Engine, Local
from forecasting.recipe import Recipe

if TYPE_CHECKING:
    from forecasting.gate import Verdict


@dataclass(frozen=True)
class Trained:
    """One target's outcome: the version that was registered (or already served), what the gate said, what it took."""

    target: str
    version: int
    promoted: bool
    reason: str
    as_of: date
    figures: dict[str, float]
    usage: list[Usage]
    cost_dollars: float


def train(
    lake: Lake,
    registry: Registry,
    recipe: Recipe,
    targets: tuple[str, ...] | None = None,
    as_of: date | None = None,
    engine: Callable[[Meter], Engine] = Local,
    recipes: Recipes = USUAL,
    now: datetime | None = None,
    role: str = AUTOMATION,
) -> list[Trained]:
    """Trains every target on what was known at `as_of` (default: the day after the last demand), by an engine.

    Each target is made by the recipe, or where `recipes` has settings for it by those over it.
    The challenger alias always names the newest version; if the gate agrees its promotion is asked for, which may
    wait for an approval. Training again on the same data with the same recipe registers nothing: the model is the one
    that is there. What was made and judged is audited as of `now` (default: the midnight of `as_of`). Raises
    InputError, before any work, for a role that may not retrain.
    """
    chain = Chain.of(lake)
    chosen = with_demand(chain, targets)
    governance = Governance.read(registry.settings.governance)
    for target in chosen:
        governance.check("retrain", STANDARD, target, role)
    made = {target: (recipes.recipe(target, recipe), as_of_day(chain, target, as_of)) for target in chosen}
    return [
        _train_one(chain, registry, own, target, day, engine, now or datetime.combine(day, time()), role)
        for target, (own, day) in made.items()
    ]


def _train_one(
    chain: Chain, registry: Registry, recipe: Recipe, target: str, as_of: date, engine: Callable[[Meter], Engine],
    now: datetime, role: str,
) -> Trained:  # fmt: skip
    from forecasting.gate import gate
    from forecasting.model import Model
    from forecasting.workshop import Workshop

    meter = Meter(registry.settings.prices)
    workshop = Workshop(chain, target, recipe, as_of, engine(meter))
    challenger = workshop.train(as_of)

    def told(version: int, serves: bool, reason: str) -> Trained:
        took = meter.usage(), meter.dollars()
        return Trained(target, version, serves, reason, as_of, challenger.trained_on, *took)

    files = challenger.files()
    serving = registry.version_of(target, "champion")
    served = registry.load(target, serving) if serving is not None else None
    if serving is not None and served == files:
        mend(chain.lake, registry, target, now)
        return told(serving, True, "the champion is this very model")
    verdict = gate(challenger, Model.from_files(served) if served else None, workshop)
    params = {"as_of": as_of.isoformat(), **recipe.model_dump(mode="json")}
    with meter("register"):
        version = registry.version_of(target, "challenger")
        if version is None or registry.load(target, version) != files:
            figures = {**challenger.trained_on, **verdict.figures, **meter.figures()}
            run = registry.record("train", target, params, figures, chain.versions, files)
            version = registry.register(target, run, {"gate": verdict.reason, "as_of": as_of.isoformat()})
            registry.set_alias(target, "challenger", version)
    reads = {"as_of": as_of, "reads": chain.versions}
    _record(chain.lake, registry, target, role, now, {"version": version, **reads, **asdict(verdict)})
    return told(version, *_promoted(chain.lake, registry, target, version, verdict, now))


def _record(
    lake: Lake, registry: Registry, unit: str, role: str, now: datetime, said: Mapping[str, object]
) -> None:  # fmt: skip
    """Audits a training and what the gate said of it, unless that is what was said last."""
    audit = Audit(lake, registry)
    mine = audit.records().filter(pl.col("unit") == unit, pl.col("activity") == "retrain")
    if chains.canonical(said) not in mine["details"].tail(1):
        audit.append(now, role, "retrain", unit, said)


def _promoted(
    lake: Lake, registry: Registry, unit: str, version: int, verdict: "Verdict", now: datetime
) -> tuple[bool, str]:
    """Whether the version serves now, and why or what it waits for."""
    if not verdict.promote:
        return False, verdict.reason
    try:
        outcome = promote(lake, registry, unit, version, AUTOMATION, now, verdict.reason)
    except InputError as refused:
        return False, f"{verdict.reason}; {refused}"
    serves = outcome.state == "serves"
    return serves, verdict.reason if serves else f"{verdict.reason}; {outcome.told}"
