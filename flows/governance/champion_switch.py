"""Champion switch: the champion's alias from one version to another, between two records.

What is about to happen is recorded first, then the champion's alias moves, then it is recorded how that ended. A
process that is killed in between leaves a move under way: the alias tells whether it came about, `status` says so, and
the next command for the unit records it.

Of commands for one unit at the same time each decides on records that no other has added to: it reads them, and what it
then adds is refused, and decided anew, where another came first. So they have the same effect as one after the other.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

import polars as pl

from daypart.features.clock import utc_moment
from daypart.features.errors import DaypartError
from daypart.flows.audit.audit_history import UnitHistory
from daypart.flows.audit.audit_log import Entry
from daypart.flows.audit.unit_events import ChampionSwitch, Request
from daypart.flows.config.governance import Activity
from daypart.flows.files import process
from daypart.flows.governance.model_versions import ModelStore
from daypart.flows.home import Home
from daypart.flows.registry.registry import Registry

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


class _Outdated(Exception):
    """Another process added a record of the unit."""


@dataclass(frozen=True)
class UnitRecords:
    """The audit records of a unit, without a move under way, on which a command decides."""

    unit: str
    records: pl.DataFrame

    @property
    def trail(self) -> UnitHistory:
        """What they say."""
        return UnitHistory.from_records(self.records, self.unit)

    def check(self, records: pl.DataFrame) -> None:
        """Make `decide_on_current_records` decide again where there are others by now. For `Audit.append`."""
        if not self._of_unit(records).equals(self._of_unit(self.records)):
            raise _Outdated

    def _of_unit(self, records: pl.DataFrame) -> pl.Series:
        return records.filter(pl.col("unit") == self.unit)["sequence"]


def decide_on_current_records(command: Callable[[], Outcome]) -> Outcome:
    """What a command comes to, which is run again for as long as others record something of its unit meanwhile."""
    while True:
        with suppress(_Outdated):
            return command()


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


def end_interrupted_switch_of(home: Home, unit: str, now: datetime) -> None:
    """Records how a move ended that was cut off, if one was. Raises DaypartError while one is under way."""
    end_interrupted_switch(home, UnitRecords(unit, home.audit.records()), now)


def switch_champion(home: Home, act: Act, basis: UnitRecords, request: Request | None = None) -> Outcome:
    """Moves the champion's alias between two records. Within `decide_on_current_records`.

    Raises DamagedError for a version whose files are not as they were recorded, DaypartError where the move took so
    long that another process recorded that it came to nothing.
    """
    ModelStore(home).load(act.unit, act.version)
    was = home.registry.version_of(act.unit, "champion")
    details: dict[str, Any] = {"state": "begun", "does": act.does, "version": act.version, "was": was}
    details |= {"reason": act.reason, "request": request.number if request else None, "process": process.identity()}
    details |= act.override
    activity = "approve" if request else act.does
    begun = home.audit.append(act.now, act.role, Entry(activity, act.unit, details), basis.check)
    try:
        home.registry.set_alias(act.unit, "champion", act.version)
    finally:
        state = _settle(home, begun.sequence, act)
    if state != "done":
        raise DaypartError(
            f"v{act.version} of {act.unit} was moved to after another process had recorded that nothing came of it "
            f"(record {begun.sequence}): see `daypart status`, then promote or roll back"
        )
    after = f", after v{was}" if was not in (None, act.version) else ""
    message = f"v{act.version} of {act.unit} serves{after}"
    return Outcome(act.unit, act.version, "serves", True, message, request.number if request else None)


def _settle(home: Home, number: int, act: Act) -> str:
    """Records how a move ended, by what the alias says, unless that is recorded; what is recorded."""

    def is_open(records: pl.DataFrame) -> None:
        move = UnitHistory.from_records(records, act.unit).under_way
        if move is None or move.number != number:
            raise _Settled

    state = "done" if home.registry.version_of(act.unit, "champion") == act.version else "undone"
    details = {"state": state, "begun": number, "version": act.version}
    try:
        home.audit.append(act.now, act.role, Entry(act.does, act.unit, details), is_open)
    except _Settled:
        moves = UnitHistory.from_records(home.audit.records(), act.unit).moves
        return next(move.state for move in moves if move.number == number)
    return state


def end_interrupted_switch(home: Home, basis: UnitRecords, now: datetime) -> tuple[UnitRecords, ChampionSwitch | None]:
    """The unit's records, and the move whose end had to be recorded first, if one was cut off.

    Raises DaypartError while a move is under way.
    """
    move = basis.trail.under_way
    if move is None:
        return basis, None
    at = utc_moment(now)
    if process.lives(move.process) and at - move.at_utc < LONGEST:
        raise _busy(move)
    _settle(home, move.number, Act(basis.unit, move.version, move.role, cast(Activity, move.does), "", now))
    # Another move may have begun by now.
    basis, _ = end_interrupted_switch(home, UnitRecords(basis.unit, home.audit.records()), now)
    return basis, move


def _busy(move: ChampionSwitch) -> DaypartError:
    who = f"process {move.process['pid']} on {move.process['host']}"
    approved = "" if move.request is None else f", as request {move.request.number} asked for"
    message = f"{who} is just moving {move.unit} to v{move.version}{approved} (record {move.number})"
    return DaypartError(f"{message}: run again when it has ended")


def serving_message(registry: Registry, unit: str) -> str:
    """Who serves as long as nothing moves, in words."""
    version = registry.version_of(unit, "champion")
    return "nothing serves until then" if version is None else f"v{version} keeps serving"
