"""Retrain event: a night's decisions to retrain, told once, for a trigger to act on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import NAMESPACE_URL, UUID, uuid5

import polars as pl

from daypart.flows.home import Home
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake
from daypart.forecasting.lifecycle.retrain import Decision

EVENT = "daypart.retrain.decided"
RESOURCE = "daypart.portfolio"
TABLE = "announced"
MOST_REASONS = 3


@dataclass(frozen=True)
class RetrainEvent:
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
    home: Home, decisions: Mapping[str, Decision], send: Callable[[RetrainEvent], None]
) -> RetrainEvent | None:
    """Sends one announcement of all decisions to retrain that were not sent before; null where there is none.

    A unit's decisions are the same until later demand comes. They are kept as sent, in the table `announced`, after
    `send` returned: what fails is sent again by the next run, under the same id.
    """
    announced = home.lake.scan_or_empty(TABLE).collect()
    fresh = _decided(home.lake, decisions).join(announced, on=["unit", "decided_on"], how="anti")
    if fresh.is_empty():
        return None
    announcement = _announcement(str(home.path), fresh.sort("unit"))
    send(announcement)
    home.lake.upsert(TABLE, fresh.with_columns(event_id=pl.lit(str(announcement.id))))
    return announcement


def _decided(lake: Lake, decisions: Mapping[str, Decision]) -> pl.DataFrame:
    """One row per unit to be retrained: unit, the day after the last demand as decided_on, reason."""
    retrains = [(unit, decision.reason) for unit, decision in decisions.items() if decision.retrain]
    last = Chain.newest(lake).last_day() if retrains else None
    rows = [(unit, last + timedelta(days=1), reason) for unit, reason in retrains] if last else []
    return pl.DataFrame(rows, {"unit": pl.String, "decided_on": pl.Date, "reason": pl.String}, orient="row")


def _announcement(home: str, fresh: pl.DataFrame) -> RetrainEvent:
    reasons = [f"{unit}: {reason}" for unit, reason in fresh.select("unit", "reason").iter_rows()]
    more = [f"and {len(reasons) - MOST_REASONS} more units"] if len(reasons) > MOST_REASONS else []
    same = json.dumps([home, fresh.select("unit", "decided_on").rows()], default=str)
    reason = "; ".join([*reasons[:MOST_REASONS], *more])
    return RetrainEvent(uuid5(NAMESPACE_URL, same), home, tuple(fresh["unit"]), reason)
