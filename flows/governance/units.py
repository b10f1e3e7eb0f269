"""Units: the models of a home's portfolio at a date, each with its stores."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from daypart.features import segments
from daypart.features.chain_data import DataSource
from daypart.features.errors import NotKnownError
from daypart.features.money import Money, in_units
from daypart.features.tables.schemas import TARGETS
from daypart.flows.config.portfolio import Portfolio, Unit
from daypart.flows.config.recipes import STANDARD

Members = dict[Unit, tuple[str, ...]]
"""Units with their stores, sorted."""

MAX_LISTED_UNITS = 8
"""How many names of units a message lists."""


def members(chain: DataSource, portfolio: Portfolio, before: Mapping[str, date]) -> Members:
    """The units of some targets, each as of the date that `before` has for it, with their stores."""
    volumes = {
        target: _volumes(chain, target, day) for target, day in before.items() if portfolio.rule(target).by == "volume"
    }
    return portfolio.members(chain.stores, volumes, list(before))


def _volumes(chain: DataSource, target: str, before: date) -> pl.DataFrame:
    """What stores sell by day of trade; money of several currencies in units of the main one (`features.money`)."""
    volumes = segments.mean_daily(chain.scan_demand(), chain.stores, target, before)
    return in_units(volumes, chain.stores, Money.from_demand(chain, target).units(before), ["volume"])


def chosen(unit_stores: Members, names: Sequence[str], stores: pl.DataFrame) -> Members:
    """The named units in the order they were found; the name of a target is its model of the whole chain.

    Raises NotKnownError for a name that is none.
    """
    every = {unit.name: unit for unit in unit_stores}
    targets = {unit.target for unit in unit_stores} - set(every)
    unknown = [name for name in names if name not in every and name not in targets]
    if unknown:
        raise NotKnownError(f"no unit {listed(unknown)}: expected {listed([*every, *sorted(targets)])}")
    all_stores = tuple(stores["store_id"].sort())
    ours = {Unit(name, name, None, STANDARD, ""): all_stores for name in TARGETS if name in targets and name in names}
    return {**ours, **{unit: ids for unit, ids in unit_stores.items() if unit.name in names}}


def listed(names: Sequence[str]) -> str:
    """Some names in a message."""
    more = f" and {len(names) - MAX_LISTED_UNITS} more" if len(names) > MAX_LISTED_UNITS else ""
    return ", ".join(names[:MAX_LISTED_UNITS]) + more
