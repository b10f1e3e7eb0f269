"""Train: read the records, make a challenger for each target, register it, gate it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from features.errors import NotKnownError
from features.records import Source
from flows.adapters.lake import Lake
from flows.adapters.meter import Meter, Usage
from flows.adapters.registry import Registry
from flows.reading import Chain, with_demand
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
) -> list[Trained]:
    """Trains every target on what was known at `as_of` (default: the day after the last demand), by an engine.

    The challenger alias always names the newest version; champion moves only if the gate agrees. Training
    again on the same data with the same recipe registers nothing: the model is the one that is there.
    """
    chain = Chain.of(lake)
    chosen = with_demand(chain, targets)
    made = {target: _day(chain, target, as_of) for target in chosen}
    return [_train_one(chain, registry, recipe, target, day, engine) for target, day in made.items()]


def _day(records: Source, target: str, as_of: date | None) -> date:
    last, first = records.last_demand_on(target), records.first_demand_on(target)
    assert last is not None
    assert first is not None
    if as_of is not None and not first < as_of <= last + timedelta(days=1):
        raise NotKnownError(
            f"--as-of {as_of} is outside the data: {target} runs from {first} to {last}; "
            f"give a date from {first + timedelta(days=1)} to {last + timedelta(days=1)}"
        )
    return as_of or last + timedelta(days=1)


def _train_one(
    chain: Chain, registry: Registry, recipe: Recipe, target: str, as_of: date, engine: Callable[[Meter], Engine]
) -> Trained:
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
            version = registry.register(target, run, {"gate": verdict.reason, "as_of": as_of.isoformat()})
            registry.set_alias(target, "challenger", version)
        if verdict.promote:
            registry.set_alias(target, "champion", version)
    return told(version, verdict.promote, verdict.reason)
