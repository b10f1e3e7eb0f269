"""Champions: the models that serve, and which stores each serves."""

from collections.abc import Sequence
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
    found: list[Champion] = []
    lacking: list[str] = []
    models: dict[str, Model] = {}
    for target in dict.fromkeys(unit.target for unit in members):
        mine = [unit for unit in members if unit.target == target]
        version = {unit: aliases.get(unit.name, {}).get("champion") for unit in mine}
        whole = aliases.get(target, {}).get("champion")
        if whole is None and not any(version.values()):
            continue
        for unit in mine:
            name, number = (unit.name, version[unit]) if version[unit] is not None else (target, whole)
            if number is None:
                lacking.append(unit.name)
            elif not lacking:
                found.append(_champion(registry, models, name, number, unit, members[unit]))
    if lacking:
        names, target = ",".join(lacking[: units.NAMED]), lacking[0].partition(".")[0]
        raise NotKnownError(
            f"no champion for {units.listed(lacking)}: run `daypart train --units {names}`, or "
            f"`daypart train --units {target}` for one of the whole chain in their place"
        )
    if not found:
        targets = dict.fromkeys(unit.target for unit in members)
        raise NotKnownError(f"no champion for {' or '.join(targets)}: run `daypart train` first")
    return found


def _champion(
    registry: Registry, models: dict[str, Model], name: str, version: int, unit: Unit, store_ids: Sequence[str]
) -> Champion:
    """A model that serves a unit; read once, however many it serves."""
    told = f"{name}-v{version}"
    if told not in models:
        models[told] = Model.from_files(registry.load(name, version))
    ids = None if unit.segment is None else frozenset(store_ids)
    return Champion(name, version, Served(models[told], told, unit.tier, ids))


def check_knows(champion: Champion, origin: date) -> None:
    """Raises InputError for a champion that was trained on what came after the origin."""
    if champion.served.model.as_of > origin:
        raise InputError(
            f"the champion for {champion.unit} was trained on demand up to {champion.served.model.as_of}, after the "
            f"origin {origin}: it would know the future; use `daypart backtest`"
        )
