"""Announcement: a night's decisions to retrain, told once, for a trigger to act on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

import polars as pl

from flows.adapters.lake import Lake
from flows.adapters.registry import Registry
from flows.reading import Chain
from forecasting.retrain import Decision

EVENT = "daypart.retrain.decided"
RESOURCE = "daypart.portfolio"
TABLE = "announced"
MOST_REASONS = 3


@dataclass(frozen=True)
class Announcement:
    """The units to be retrained and why, in one line; the same decisions have the same id."""

    id: UUID
    home: str
    units: tuple[str, ...]
    reason: str

    @property
    def resource(self) -> dict[str, str]:
        """What the event is about: the portfolio of one home."""
        return {"prefect.resource.id": RESOURCE, "prefect.resource.name": "portfolio", "daypart.home": self.home}

    @property
    def related(self) -> list[Mapping[str, str]]:
        """Every unit, by its name."""
        return [{"prefect.resource.id": f"daypart.unit.{unit}", "prefect.resource.role": "unit"} for unit in self.units]

    @property
    def payload(self) -> dict[str, object]:
        """What a retrain is given."""
        return {"home": self.home, "units": list(self.units), "reason": self.reason}


def announce(
    lake: Lake, registry: Registry, decisions: Mapping[str, Decision], send: Callable[[Announcement], None]
) -> Announcement | None:
    """Sends one announcement of all decisions to retrain that were not sent before; null where there is none.

    A decision is the same while its unit has the same champion and no later demand came. It is kept as sent, in the
    table `announced`, after `send` returned: one that fails is sent again by the next run, under the same id.
    """
    known = lake.scan_or_empty(TABLE).collect()
    fresh = _decided(lake, registry, decisions).join(known, on=["unit", "champion", "last_day"], how="anti")
    if fresh.is_empty():
        return None
    made = _announcement(str(registry.settings.home), fresh.sort("unit"))
    send(made)
    lake.upsert(TABLE, fresh.with_columns(event_id=pl.lit(str(made.id))))
    return made


def _decided(lake: Lake, registry: Registry, decisions: Mapping[str, Decision]) -> pl.DataFrame:
    """One row per unit to be retrained: unit, champion (0 = none), last_day of demand, reason."""
    last_day = Chain.of(lake).last_day()
    rows = [
        (unit, registry.version_of(unit, "champion") or 0, last_day, decision.reason)
        for unit, decision in decisions.items()
        if decision.retrain
    ]
    schema = {"unit": pl.String, "champion": pl.Int64, "last_day": pl.Date, "reason": pl.String}
    return pl.DataFrame(rows, schema, orient="row")


def _announcement(home: str, fresh: pl.DataFrame) -> Announcement:
    told = [f"{unit}: {reason}" for unit, reason in fresh.select("unit", "reason").iter_rows()]
    more = [f"and {len(told) - MOST_REASONS} more units"] if len(told) > MOST_REASONS else []
    same = json.dumps([home, fresh.select("unit", "champion", "last_day").rows()], default=str)
    reason = "; ".join([*told[:MOST_REASONS], *more])
    return Announcement(uuid5(NAMESPACE_URL, same), home, tuple(fresh["unit"]), reason)
