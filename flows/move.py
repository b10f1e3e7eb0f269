"""Move: the champion's alias from one version to another, between two records.

What is about to happen is recorded first, then the champion's alias moves, then it is recorded how that ended. A
process that is killed in between leaves a move under way: the alias tells whether it came about, `status` says so, and
the next command for the unit records it.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

import polars as pl

from features.errors import DaypartError, NotKnownError
from flows.adapters import process
from flows.adapters.audit import Audit
from flows.adapters.governance import Activity
from flows.adapters.lake import Lake
from flows.adapters.registry import Registry
from flows.models import ModelStore
from flows.trail import Move, Request, Trail

LONGEST = timedelta(minutes=10)
"""How long a move may be under way; calls to the registry give up long before."""


@dataclass(frozen=True)
class Outcome:
    """What became of it: the version `serves`, or its request is `pending` or `rejected`; `changed` if just now."""

    unit: str
    version: int
    state: Literal["serves", "pending", "rejected"]
    changed: bool
    told: str
    request: int | None = None


class _Settled(Exception):
    """Another process recorded the end of a move."""


@dataclass(frozen=True)
class Act:
    """What is to be done by whom; `gate` is why the gate refused the version, where that is overridden."""

    unit: str
    version: int
    role: str
    does: Activity
    reason: str
    now: datetime
    gate: str | None = None

    @property
    def override(self) -> dict[str, Any]:
        """What its records say of the gate."""
        return {} if self.gate is None else {"override": True, "gate": self.gate}


def mend(lake: Lake, registry: Registry, unit: str, now: datetime) -> None:
    """Records how a move ended that was cut off, if one was. Raises DaypartError while one is under way."""
    mended(Audit(lake, registry), registry, unit, now)


def moved(audit: Audit, registry: Registry, act: Act, request: Request | None) -> Outcome:
    """Moves the champion's alias between two records. Raises DaypartError while another move is under way.

    Raises DamagedError for a version whose files are not as they were recorded.
    """

    def is_free(records: pl.DataFrame) -> None:
        trail = Trail.of(records, act.unit)
        if trail.under_way is not None:
            raise _busy(trail.under_way)
        if request is not None and trail.pending != request:
            raise NotKnownError(f"request {request.number} does not wait any more: see `daypart audit`")

    ModelStore(audit.lake, registry).load(act.unit, act.version)
    was = registry.version_of(act.unit, "champion")
    said: dict[str, Any] = {"state": "begun", "does": act.does, "version": act.version, "was": was}
    said |= {"reason": act.reason, "request": request.number if request else None, "process": process.identity()}
    said |= act.override
    activity = "approve" if request else act.does
    begun = audit.append(act.now, act.role, activity, act.unit, said, is_free)
    try:
        registry.set_alias(act.unit, "champion", act.version)
    finally:
        _settle(audit, registry, begun.sequence, act)
    after = f", after v{was}" if was is not None else ""
    told = f"v{act.version} of {act.unit} serves{after}"
    return Outcome(act.unit, act.version, "serves", True, told, request.number if request else None)


def _settle(audit: Audit, registry: Registry, number: int, act: Act) -> None:
    """Records how a move ended, by what the alias says, unless that is recorded."""

    def is_open(records: pl.DataFrame) -> None:
        move = Trail.of(records, act.unit).under_way
        if move is None or move.number != number:
            raise _Settled

    state = "done" if registry.version_of(act.unit, "champion") == act.version else "undone"
    said = {"state": state, "begun": number, "version": act.version}
    with suppress(_Settled):
        audit.append(act.now, act.role, act.does, act.unit, said, is_open)


def mended(audit: Audit, registry: Registry, unit: str, now: datetime) -> tuple[Trail, Move | None]:
    """The unit's trail, and the move whose end had to be recorded first. Raises DaypartError while one is under way."""
    trail = Trail.of(audit.records(), unit)
    move = trail.under_way
    if move is None:
        return trail, None
    at = now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo else now
    if process.lives(move.process) and at - move.at_utc < LONGEST:
        raise _busy(move)
    _settle(audit, registry, move.number, Act(unit, move.version, move.role, cast(Activity, move.does), "", now))
    return Trail.of(audit.records(), unit), move


def _busy(move: Move) -> DaypartError:
    who = f"process {move.process['pid']} on {move.process['host']}"
    told = f"{who} is just moving {move.unit} to v{move.version} (record {move.number})"
    return DaypartError(f"{told}: run again when it has ended")


def still(registry: Registry, unit: str) -> str:
    """Who serves as long as nothing moves, in words."""
    version = registry.version_of(unit, "champion")
    return "nothing serves until then" if version is None else f"v{version} keeps serving"
