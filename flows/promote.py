"""Promote: who serves next, by those who may say so, and never without a record of it.

What is about to happen is recorded first, then the champion's alias moves, then it is recorded how that ended. A
process that is killed in between leaves a move under way: the alias tells whether it came about, `status` says so, and
the next command for the unit records it.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

import polars as pl

from features.errors import DaypartError, InputError, NotKnownError
from flows.adapters import process
from flows.adapters.audit import Audit
from flows.adapters.governance import Activity, Governance, Rule, worded
from flows.adapters.lake import Lake
from flows.adapters.registry import Registry
from flows.trail import Move, Request, Trail, units

LONGEST = timedelta(minutes=10)
"""How long a move may be under way; calls to the registry give up long before."""
STANDARD = "standard"


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


class _Waits(Exception):
    """The same request waits."""

    def __init__(self, request: Request) -> None:
        self.request = request


@dataclass(frozen=True)
class _Act:
    """What is to be done by whom."""

    unit: str
    version: int
    role: str
    does: Activity
    reason: str
    now: datetime


def promote(
    lake: Lake, registry: Registry, unit: str, version: int | None, role: str, now: datetime, reason: str = ""
) -> Outcome:
    """Makes a version (null: the challenger) the champion, or files a request where the tier wants an approval.

    What serves already, or waits already, is told and adds nothing. Raises InputError for a role that may not,
    NotKnownError for an unknown version, DaypartError for one with damaged files: the champion keeps serving.
    """
    wanted = version if version is not None else registry.version_of(unit, "challenger")
    if wanted is None:
        raise NotKnownError(f"no challenger for {unit}: run `daypart train` first, or name a --version")
    rule = _rule(registry, unit, wanted, "promote", role)
    audit = Audit(lake, registry)
    _mended(audit, registry, unit, now)
    return _asked(audit, registry, rule, _Act(unit, wanted, role, "promote", reason, now))


def rollback(
    lake: Lake, registry: Registry, unit: str, role: str, now: datetime, reason: str = "", version: int | None = None
) -> Outcome:
    """Makes the version that served before the champion again, or a named one that ever served.

    Done again it goes further back, past what was rolled back already; a rollback that was cut off is only ended.
    Raises as `promote`, and NotKnownError where nothing else ever served.
    """
    champion = registry.version_of(unit, "champion")
    if champion is None:
        raise NotKnownError(f"no champion for {unit}: there is nothing to roll back")
    rule = _rule(registry, unit, champion, "rollback", role)
    audit = Audit(lake, registry)
    trail, cut = _mended(audit, registry, unit, now)
    wanted = version if version is not None else trail.earlier
    if cut is not None and cut.does == "rollback" and cut.version == champion and version in (None, champion):
        return Outcome(unit, champion, "serves", True, f"v{champion} of {unit} serves: the rollback is ended")
    if wanted is None:
        raise NotKnownError(f"{unit} was only ever served by v{champion}: there is nothing to go back to")
    if wanted not in {champion, *trail.served}:
        raise InputError(f"v{wanted} of {unit} never served: `daypart promote {unit} --version {wanted}` asks for it")
    return _asked(audit, registry, rule, _Act(unit, wanted, role, "rollback", reason, now))


def approve(lake: Lake, registry: Registry, request: str, role: str, now: datetime, reason: str = "") -> Outcome:
    """Does what a request asks for, which is named by its unit or its number.

    Raises NotKnownError where none such waits, InputError where the role is not accountable or is the one who asked
    and may not agree with itself, and as `promote` for the version.
    """
    audit = Audit(lake, registry)
    found = _found(audit.records(), request)
    rule = _accountable(registry, found, role, "approve")
    if rule.separate and role == found.role:
        raise InputError(f"{role} asked for request {found.number} and may not approve it too ([separate] of the RACI)")
    trail, _ = _mended(audit, registry, found.unit, now)
    if trail.pending != found:
        return Outcome(found.unit, found.version, "serves", True, f"v{found.version} of {found.unit} serves already")
    act = _Act(found.unit, found.version, role, cast(Activity, found.does), reason, now)
    return _moved(audit, registry, act, found)


def reject(lake: Lake, registry: Registry, request: str, role: str, now: datetime, reason: str = "") -> Outcome:
    """Ends a request, named by its unit or its number, without doing it. Raises as `approve`."""
    audit = Audit(lake, registry)
    found = _found(audit.records(), request)
    _accountable(registry, found, role, "reject")

    def waits(records: pl.DataFrame) -> None:
        if Trail.of(records, found.unit).pending != found:
            raise NotKnownError(f"request {found.number} does not wait any more: see `daypart audit`")

    said = {"state": "rejected", "request": found.number, "version": found.version, "reason": reason}
    audit.append(now, role, "reject", found.unit, said, waits)
    told = f"request {found.number} is rejected: {_champion(registry, found.unit)}"
    return Outcome(found.unit, found.version, "rejected", True, told, found.number)


def mend(lake: Lake, registry: Registry, unit: str, now: datetime) -> None:
    """Records how a move ended that was cut off, if one was. Raises DaypartError while one is under way."""
    _mended(Audit(lake, registry), registry, unit, now)


def pending(records: pl.DataFrame) -> list[Request]:
    """The requests that wait, oldest first."""
    trails = [Trail.of(records, unit) for unit in units(records)]
    return sorted((t.pending for t in trails if t.pending is not None), key=lambda each: each.number)


def tier_of(registry: Registry, unit: str, version: int) -> str:
    """The tier that a version was made in."""
    return str(registry.describe(unit, version)["tags"].get("tier", STANDARD))


def _rule(registry: Registry, unit: str, version: int, activity: Activity, role: str) -> Rule:
    governance = Governance.read(registry.settings.governance)
    return governance.check(activity, tier_of(registry, unit, version), unit, role)


def _accountable(registry: Registry, request: Request, role: str, does: str) -> Rule:
    """The rule of what is asked for. Raises InputError unless the role is the accountable one."""
    governance = Governance.read(registry.settings.governance)
    rule = governance.rule(cast(Activity, request.does), tier_of(registry, request.unit, request.version))
    if role != rule.accountable:
        told = f"{role} may not {does} request {request.number} ({worded(request.does)} {request.unit})"
        raise InputError(f"{told}: that is for {rule.accountable}, who is accountable")
    return rule


def _found(records: pl.DataFrame, request: str) -> Request:
    waiting = pending(records)
    found = [each for each in waiting if request in (each.unit, str(each.number))]
    if not found:
        known = ", ".join(f"{each.number} ({each.unit} v{each.version})" for each in waiting) or "none"
        raise NotKnownError(f"no request {request} waits for an approval; waiting: {known}")
    return found[0]


def _asked(audit: Audit, registry: Registry, rule: Rule, act: _Act) -> Outcome:
    """Moves the champion, or files a request where somebody else must agree."""
    if registry.version_of(act.unit, "champion") == act.version:
        return Outcome(act.unit, act.version, "serves", False, f"v{act.version} of {act.unit} serves already")
    if not rule.approval or (act.role == rule.accountable and not rule.separate):
        return _moved(audit, registry, act, None)
    if act.role == rule.accountable:
        others = " or ".join(role for role in rule.responsible if role != act.role) or "another role"
        told = f"{act.role} must approve what is asked for {act.unit} and may not ask for it too"
        raise InputError(f"{told}: let {others} ask")
    return _filed(audit, registry, rule, act)


def _filed(audit: Audit, registry: Registry, rule: Rule, act: _Act) -> Outcome:
    """Files a request, unless the same one waits."""

    def is_new(records: pl.DataFrame) -> None:
        waiting = Trail.of(records, act.unit).pending
        if waiting is not None and (waiting.version, waiting.does) == (act.version, act.does):
            raise _Waits(waiting)

    registry.load(act.unit, act.version)
    said = {"state": "asked", "does": act.does, "version": act.version, "reason": act.reason}
    said["waits_for"] = rule.accountable
    waits = f"waits for {rule.accountable}; {_champion(registry, act.unit)}"
    try:
        number = audit.append(act.now, act.role, act.does, act.unit, said, is_new).sequence
    except _Waits as waiting:
        number = waiting.request.number
        told = f"v{act.version} of {act.unit} is asked for already (request {number}) and {waits}"
        return Outcome(act.unit, act.version, "pending", False, told, number)
    told = f"v{act.version} of {act.unit} is asked for (request {number}) and {waits}"
    return Outcome(act.unit, act.version, "pending", True, told, number)


def _moved(audit: Audit, registry: Registry, act: _Act, request: Request | None) -> Outcome:
    """Moves the champion's alias between two records."""

    def is_free(records: pl.DataFrame) -> None:
        trail = Trail.of(records, act.unit)
        if trail.under_way is not None:
            raise _busy(trail.under_way)
        if request is not None and trail.pending != request:
            raise NotKnownError(f"request {request.number} does not wait any more: see `daypart audit`")

    registry.load(act.unit, act.version)
    was = registry.version_of(act.unit, "champion")
    said: dict[str, Any] = {"state": "begun", "does": act.does, "version": act.version, "was": was}
    said |= {"reason": act.reason, "request": request.number if request else None, "process": process.identity()}
    activity = "approve" if request else act.does
    begun = audit.append(act.now, act.role, activity, act.unit, said, is_free)
    try:
        registry.set_alias(act.unit, "champion", act.version)
    finally:
        _settle(audit, registry, begun.sequence, act)
    after = f", after v{was}" if was is not None else ""
    told = f"v{act.version} of {act.unit} serves{after}"
    return Outcome(act.unit, act.version, "serves", True, told, request.number if request else None)


def _settle(audit: Audit, registry: Registry, number: int, act: _Act) -> None:
    """Records how a move ended, by what the alias says, unless that is recorded."""

    def is_open(records: pl.DataFrame) -> None:
        move = Trail.of(records, act.unit).under_way
        if move is None or move.number != number:
            raise _Settled

    state = "done" if registry.version_of(act.unit, "champion") == act.version else "undone"
    said = {"state": state, "begun": number, "version": act.version}
    with suppress(_Settled):
        audit.append(act.now, act.role, act.does, act.unit, said, is_open)


def _mended(audit: Audit, registry: Registry, unit: str, now: datetime) -> tuple[Trail, Move | None]:
    """The unit's trail, and the move whose end had to be recorded first. Raises DaypartError while one is under way."""
    trail = Trail.of(audit.records(), unit)
    move = trail.under_way
    if move is None:
        return trail, None
    at = now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo else now
    if process.lives(move.process) and at - move.at_utc < LONGEST:
        raise _busy(move)
    _settle(audit, registry, move.number, _Act(unit, move.version, move.role, cast(Activity, move.does), "", now))
    return Trail.of(audit.records(), unit), move


def _busy(move: Move) -> DaypartError:
    who = f"process {move.process['pid']} on {move.process['host']}"
    told = f"{who} is just moving {move.unit} to v{move.version} (record {move.number})"
    return DaypartError(f"{told}: run again when it has ended")


def _champion(registry: Registry, unit: str) -> str:
    version = registry.version_of(unit, "champion")
    return "nothing serves until then" if version is None else f"v{version} keeps serving"
