"""Train: read the records, make a challenger for each target, register it, gate it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from flows.adapters.lake import Lake
from flows.adapters.meter import Meter, Usage
from flows.adapters.recipes import USUAL, Recipes
from flows.adapters.registry import Registry
from flows.reading import Chain, as_of_day, with_demand
from forecasting.engine import Engine, Local
from forecasting.recipe import Recipe


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
) -> list[Trained]:
    """Trains every target on what was known at `as_of` (default: the day after the last demand), by an engine.

    Each target is made by the recipe, or where `recipes` has settings for it by those over it.
    The challenger alias always names the newest version; champion moves only if the gate agrees. Training
    again on the same data with the same recipe registers nothing: the model is the one that is there.
    """
    chain = Chain.of(lake)
    chosen = with_demand(chain, targets)
    made = {target: (recipes.recipe(target, recipe), as_of_day(chain, target, as_of)) for target in chosen}
    return [_train_one(chain, registry, own, target, day, engine) for target, (own, day) in made.items()]


def _train_one(
    chain: Chain, registry: Registry, recipe: Recipe, target: str, as_of: date, engine: Callable[[Meter], Engine]
) -> Trained:
    from flows import card
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
        return told(serving, True, "the champion is this very model")
    verdict = gate(challenger, Model.from_files(served) if served else None, workshop)
    params = {"as_of": as_of.isoformat(), **recipe.model_dump(mode="json")}
    with meter("register"):
        version = registry.version_of(target, "challenger")
        if version is None or registry.load(target, version) != files:
            figures = {**challenger.trained_on, **verdict.figures, **meter.figures()}
            run = registry.record("train", target, params, figures, chain.versions, files)
            card.keep(registry, run, target, challenger, workshop, chain, verdict.reason)
            version = registry.register(target, run, {"gate": verdict.reason, "as_of": as_of.isoformat()})
            registry.set_alias(target, "challenger", version)
        if verdict.promote:
            registry.set_alias(target, "champion", version)
    return told(version, verdict.promote, verdict.reason)
