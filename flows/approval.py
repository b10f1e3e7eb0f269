"""Approval: requests that wait for one who is accountable, agreed to or refused."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import cast

import polars as pl

from features.errors import InputError, NotKnownError
from flows.adapters.audit import Audit, Check
from flows.adapters.governance import Activity, Governance, Rule, worded
from flows.adapters.lake import Lake
from flows.adapters.registry import Registry
from flows.move import Act, Outcome, mended, moved, still
from flows.promote import activities, overridden, tier_of
from flows.trail import Request, Trail, units


def approve(lake: Lake, registry: Registry, request: str, role: str, now: datetime, reason: str = "") -> Outcome:
    """Does what a request asks for, which is named by its unit or its number, once all have agreed who must.

    Raises NotKnownError where none such waits, InputError where the role is not accountable or is the one who asked
    and may not agree with itself, and as `promote` for the version.
    """
    audit = Audit(lake, registry)
    audit.check()
    records = audit.records()
    found = _found(records, request)
    waiting = awaited(registry, records, found)
    mine = _accountable(waiting, found, role, "approve")
    if role == found.role and any(rule.separate for rule in mine):
        raise InputError(f"{role} asked for request {found.number} and may not approve it too ([separate] of the RACI)")
    trail, _ = mended(audit, registry, found.unit, now)
    if trail.pending != found:
        return Outcome(found.unit, found.version, "serves", True, f"v{found.version} of {found.unit} serves already")
    act = replace(_act(records, found), role=role, reason=reason, now=now)
    others = [rule for rule in waiting if rule.accountable != role]
    if others:
        return _agreed(audit, registry, act, found, others)
    return moved(audit, registry, act, found)


def reject(lake: Lake, registry: Registry, request: str, role: str, now: datetime, reason: str = "") -> Outcome:
    """Ends a request, named by its unit or its number, without doing it. Raises as `approve`."""
    audit = Audit(lake, registry)
    audit.check()
    records = audit.records()
    found = _found(records, request)
    _accountable(awaited(registry, records, found), found, role, "reject")
    said = {"state": "rejected", "request": found.number, "version": found.version, "reason": reason}
    audit.append(now, role, "reject", found.unit, said, _waits(found))
    told = f"request {found.number} is rejected: {still(registry, found.unit)}"
    return Outcome(found.unit, found.version, "rejected", True, told, found.number)


def pending(records: pl.DataFrame) -> list[Request]:
    """The requests that wait, oldest first."""
    trails = [Trail.of(records, unit) for unit in units(records)]
    return sorted((t.pending for t in trails if t.pending is not None), key=lambda each: each.number)


def awaited(registry: Registry, records: pl.DataFrame, request: Request) -> tuple[Rule, ...]:
    """The rules whose accountable roles must yet agree to a request; where none must any more, the first."""
    governance, tier = Governance.read(registry.settings.governance), tier_of(registry, request.unit, request.version)
    rules = tuple(governance.rule(activity, tier) for activity in activities(_act(records, request)))
    return tuple(rule for rule in rules if rule.awaits(request.role, request.agreed)) or rules[:1]


def who(rules: Sequence[Rule]) -> str:
    """Their accountable roles, in words."""
    return " and ".join(dict.fromkeys(rule.accountable for rule in rules))


def _act(records: pl.DataFrame, request: Request) -> Act:
    """What the request asks for."""
    told = request.unit, request.version
    gate = overridden(records, *told, request.does, request.role)
    return Act(*told, request.role, cast(Activity, request.does), request.reason, request.at_utc, gate)


def _accountable(rules: Sequence[Rule], request: Request, role: str, does: str) -> list[Rule]:
    """Those of the rules that the role is accountable by. Raises InputError where there is none."""
    mine = [rule for rule in rules if rule.accountable == role]
    if not mine:
        told = f"{role} may not {does} request {request.number} ({worded(request.does)} {request.unit})"
        raise InputError(f"{told}: that is for {who(rules)}, who is accountable")
    return mine


def _agreed(audit: Audit, registry: Registry, act: Act, request: Request, others: Sequence[Rule]) -> Outcome:
    """Records that one agrees, where others must as well."""
    said = {"state": "agreed", "request": request.number, "version": act.version, "reason": act.reason}
    audit.append(act.now, act.role, "approve", act.unit, said | act.override, _waits(request))
    told = f"{act.role} agrees to request {request.number}, which waits for {who(others)}; {still(registry, act.unit)}"
    return Outcome(act.unit, act.version, "pending", True, told, request.number)


def _waits(request: Request) -> Check:
    """Raises NotKnownError where the request, as it was read, does not wait any more."""

    def check(records: pl.DataFrame) -> None:
        if Trail.of(records, request.unit).pending != request:
            raise NotKnownError(f"request {request.number} does not wait any more: see `daypart audit`")

    return check


def _found(records: pl.DataFrame, request: str) -> Request:
    waiting = pending(records)
    found = [each for each in waiting if request in (each.unit, str(each.number))]
    if not found:
        known = ", ".join(f"{each.number} ({each.unit} v{each.version})" for each in waiting) or "none"
        raise NotKnownError(f"no request {request} waits for an approval; waiting: {known}")
    return found[0]
