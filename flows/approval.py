"""Approval: requests that wait for one who is accountable, agreed to or refused."""

from datetime import datetime
from typing import cast

import polars as pl

from features.errors import InputError, NotKnownError
from flows.adapters.audit import Audit
from flows.adapters.governance import Activity, Governance, Rule, worded
from flows.adapters.lake import Lake
from flows.adapters.registry import Registry
from flows.move import Act, Outcome, mended, moved, still
from flows.promote import tier_of
from flows.trail import Request, Trail, units


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
    trail, _ = mended(audit, registry, found.unit, now)
    if trail.pending != found:
        return Outcome(found.unit, found.version, "serves", True, f"v{found.version} of {found.unit} serves already")
    act = Act(found.unit, found.version, role, cast(Activity, found.does), reason, now)
    return moved(audit, registry, act, found)


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
    told = f"request {found.number} is rejected: {still(registry, found.unit)}"
    return Outcome(found.unit, found.version, "rejected", True, told, found.number)


def pending(records: pl.DataFrame) -> list[Request]:
    """The requests that wait, oldest first."""
    trails = [Trail.of(records, unit) for unit in units(records)]
    return sorted((t.pending for t in trails if t.pending is not None), key=lambda each: each.number)


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
