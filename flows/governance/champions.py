"""Champions: the models that serve, and which stores each serves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from daypart.features.errors import DamagedError, InputError, NotKnownError
from daypart.flows.config.portfolio import Unit
from daypart.flows.governance import units
from daypart.flows.governance.model_versions import ModelStore, ServingModel
from daypart.flows.home import Home
from daypart.forecasting.models.model import Model
from daypart.forecasting.serving.publication import ServedModel


@dataclass(frozen=True)
class Champion:
    """A model that serves: the unit in whose name it is registered, its version, and for whom it serves as what.

    `sha256` is the digest of its files. `notice` says of the unit which versions were refused, if any, and what serves.
    """

    unit: str
    version: int
    served: ServedModel
    sha256: str = ""
    notice: str = ""


def champions(home: Home, members: units.Members) -> list[Champion]:
    """The champions that serve units and their stores; a target of which no unit has one is left out.

    A unit without one is served by its target's champion of the whole chain. Raises NotKnownError where there is
    none either, and where no target has any. A champion whose files are not as they were recorded is refused, and the
    last version before it that is whole serves, or else the target's champion; DamagedError where that cannot be.
    """
    store = ModelStore(home)
    versions = store.champions()
    serves: dict[Unit, str] = {}
    lacking: list[str] = []
    for target in dict.fromkeys(unit.target for unit in members):
        target_units = [unit for unit in members if unit.target == target]
        names = {unit: serving(versions, unit) for unit in target_units}
        if any(names.values()):
            serves |= {unit: name for unit, name in names.items() if name}
            lacking += [unit.name for unit, name in names.items() if not name]
    _check_all(lacking)
    if not serves:
        targets = dict.fromkeys(unit.target for unit in members)
        raise NotKnownError(f"no champion for {' or '.join(targets)}: run `daypart train` first")
    models = _loaded(store, versions, serves.values())
    damaged = {unit for unit, name in serves.items() if isinstance(models[name], DamagedError)}
    models |= _loaded(store, versions, {unit.target for unit in damaged} - set(models))
    return [_champion(models, unit, name, members[unit]) for unit, name in serves.items()]


@dataclass(frozen=True)
class _Loaded:
    """A model that is whole, with what serves as it."""

    name: str
    model: Model
    serving: ServingModel


def _loaded(store: ModelStore, champions: Mapping[str, int], names: Iterable[str]) -> dict[str, _Loaded | DamagedError]:
    """By name the model that serves in it, of those that have a champion."""
    versions = {name: champions[name] for name in names if name in champions}
    return {
        name: model if isinstance(model, DamagedError) else _Loaded(name, Model.from_files(dict(model.files)), model)
        for name, model in store.serving(versions)
    }


def _champion(
    models: Mapping[str, _Loaded | DamagedError], unit: Unit, name: str, store_ids: Sequence[str]
) -> Champion:
    """What serves a unit: the model of that name, or where none of its versions is whole its target's."""
    loaded = models[name]
    notices = []
    if isinstance(loaded, DamagedError):
        instead = models.get(unit.target, loaded)
        if isinstance(instead, DamagedError):
            raise loaded
        notices.append(f"{name}: {loaded}; {instead.name}-v{instead.serving.version} serves in its place")
        loaded = instead
    version, notice = loaded.serving.version, loaded.serving.notice(loaded.name)
    served = _served(loaded.model, f"{loaded.name}-v{version}", unit, store_ids)
    return Champion(loaded.name, version, served, loaded.serving.sha256, "; ".join(filter(None, [*notices, notice])))


def serving(champions: Mapping[str, int], unit: Unit) -> str | None:
    """In whose name the unit's champion is registered: its own, or its target's."""
    return next((name for name in (unit.name, unit.target) if name in champions), None)


def _served(model: Model, version: str, unit: Unit, store_ids: Sequence[str]) -> ServedModel:
    return ServedModel(model, version, unit.tier, None if unit.segment is None else frozenset(store_ids))


def _check_all(lacking: Sequence[str]) -> None:
    """Raises NotKnownError for units that have no champion while others of their target do."""
    if lacking:
        names, target = ",".join(lacking[: units.MAX_LISTED_UNITS]), lacking[0].partition(".")[0]
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
