"""Champions: the models that serve, and which stores each serves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from features.errors import InputError, NotKnownError
from flows import units
from flows.adapters.portfolio import Unit
from flows.adapters.registry import Registry
from forecasting.model import Model
from forecasting.publication import Served


@dataclass(frozen=True)
class Champion:
    """A model that serves: the unit in whose name it is registered, its version, and for whom it serves as what."""

    unit: str
    version: int
    served: Served


def champions(registry: Registry, members: units.Members) -> list[Champion]:
    """The champions that serve units and their stores; a target of which no unit has one is left out.

    A unit without one is served by its target's champion of the whole chain. Raises NotKnownError where there is
    none either, and where no target has any.
    """
    aliases = registry.aliases()
    serves: dict[Unit, str] = {}
    lacking: list[str] = []
    for target in dict.fromkeys(unit.target for unit in members):
        mine = [unit for unit in members if unit.target == target]
        named = {unit: serving(aliases, unit) for unit in mine}
        if any(named.values()):
            serves |= {unit: name for unit, name in named.items() if name}
            lacking += [unit.name for unit, name in named.items() if not name]
    _check_all(lacking)
    if not serves:
        targets = dict.fromkeys(unit.target for unit in members)
        raise NotKnownError(f"no champion for {' or '.join(targets)}: run `daypart train` first")
    versions = {name: aliases[name]["champion"] for name in serves.values()}
    models = {name: Model.from_files(files) for name, files in registry.load_all(versions).items()}
    return [
        Champion(name, versions[name], _served(models[name], f"{name}-v{versions[name]}", unit, members[unit]))
        for unit, name in serves.items()
    ]


def serving(aliases: Mapping[str, Mapping[str, int]], unit: Unit) -> str | None:
    """In whose name the unit's champion is registered: its own, or its target's."""
    return next((name for name in (unit.name, unit.target) if "champion" in aliases.get(name, {})), None)


def _served(model: Model, version: str, unit: Unit, store_ids: Sequence[str]) -> Served:
    return Served(model, version, unit.tier, None if unit.segment is None else frozenset(store_ids))


def _check_all(lacking: Sequence[str]) -> None:
    """Raises NotKnownError for units that have no champion while others of their target do."""
    if lacking:
        names, target = ",".join(lacking[: units.NAMED]), lacking[0].partition(".")[0]
        raise NotKnownError(
            f"no champion for {units.listed(lacking)}: run `daypart train --units {names}`, or "
            f"`daypart train --units {target}` for one of the whole chain in their place"
        )


def check_knows(champion: Champion, origin: date) -> None:
    """Raises InputError for a champion that was trained on what came after the origin."""
    if champion.served.model.as_of > origin:
        raise InputError(
            f"the champion for {champion.unit} was trained on demand up to {champion.served.model.as_of}, after the "
            f"origin {origin}: it would know the future; use `daypart backtest`"
        )
