"""Approval: requests that wait for one who is accountable, agreed to or refused."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import polars as pl

from daypart.features.errors import InputError, NotKnownError
from daypart.flows.audit.audit_history import UnitHistory, units
from daypart.flows.audit.audit_log import Entry
from daypart.flows.audit.unit_events import Request
from daypart.flows.config.governance import Activity, Governance, Rule, activity_verb
from daypart.flows.governance.champion_switch import (
    Act,
    Outcome,
    UnitRecords,
    decide_on_current_records,
    end_interrupted_switch,
    serving_message,
    switch_champion,
)
from daypart.flows.governance.promotion import activities, overridden, tier_of
from daypart.flows.governance.signoff import Signoff
from daypart.flows.home import Home
from daypart.flows.registry.registry import Registry


def approve(home: Home, request: str, signoff: Signoff) -> Outcome:
    """Does what a request asks for, which is named by its unit or its number, once all have agreed who must.

    Raises NotKnownError where none such waits, InputError where the role is not accountable or is the one who asked
    and may not agree with itself, and as `promote` for the version.
    """

    def decide() -> Outcome:
        home.audit.check()
        records = home.audit.records()
        entry = _named(records, request)
        rules = awaited(home.registry, records, entry)
        role_rules = _accountable(rules, entry, signoff.role, "approve")
        if signoff.role == entry.role and any(rule.separate for rule in role_rules):
            raise InputError(
                f"{signoff.role} asked for request {entry.number} and may not approve it too ([separate] of the RACI)"
            )
        basis, cut = end_interrupted_switch(home, UnitRecords(entry.unit, records), signoff.now)
        current = basis.trail.request(entry.number)
        if cut is not None and current.state == "approved":
            return Outcome(
                entry.unit, entry.version, "serves", True, f"v{entry.version} of {entry.unit} serves already"
            )
        _check_waits(current)
        act = replace(_act(records, current), role=signoff.role, reason=signoff.reason, now=signoff.now)
        other_rules = [rule for rule in rules if rule.accountable != signoff.role]
        if other_rules:
            return _record_agreement(home, act, basis, current, other_rules)
        return switch_champion(home, act, basis, current)

    return decide_on_current_records(decide)


def reject(home: Home, request: str, signoff: Signoff) -> Outcome:
    """Ends a request, named by its unit or its number, without doing it. Raises as `approve`."""

    def decide() -> Outcome:
        home.audit.check()
        records = home.audit.records()
        entry = _named(records, request)
        _accountable(awaited(home.registry, records, entry), entry, signoff.role, "reject")
        basis, _ = end_interrupted_switch(home, UnitRecords(entry.unit, records), signoff.now)
        _check_waits(basis.trail.request(entry.number))
        details = {"state": "rejected", "request": entry.number, "version": entry.version, "reason": signoff.reason}
        home.audit.append(signoff.now, signoff.role, Entry("reject", entry.unit, details), basis.check)
        message = f"request {entry.number} is rejected: {serving_message(home.registry, entry.unit)}"
        return Outcome(entry.unit, entry.version, "rejected", True, message, entry.number)

    return decide_on_current_records(decide)


def pending(records: pl.DataFrame) -> list[Request]:
    """The requests that wait, oldest first."""
    return [request for request in _requests(records) if request.state == "waiting"]


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
    unit_version = request.unit, request.version
    gate = overridden(records, *unit_version, request.does, request.role)
    return Act(*unit_version, request.role, cast(Activity, request.does), request.reason, request.at_utc, gate)


def _accountable(rules: Sequence[Rule], request: Request, role: str, does: str) -> list[Rule]:
    """Those of the rules that the role is accountable by. Raises InputError where there is none."""
    role_rules = [rule for rule in rules if rule.accountable == role]
    if not role_rules:
        message = f"{role} may not {does} request {request.number} ({activity_verb(request.does)} {request.unit})"
        raise InputError(f"{message}: that is for {who(rules)}, who is accountable")
    return role_rules


def _record_agreement(home: Home, act: Act, basis: UnitRecords, request: Request, rules: Sequence[Rule]) -> Outcome:
    """Records that one agrees, where others must as well."""
    details = {"state": "agreed", "request": request.number, "version": act.version, "reason": act.reason}
    home.audit.append(act.now, act.role, Entry("approve", act.unit, details | act.override), basis.check)
    still = serving_message(home.registry, act.unit)
    text = f"{act.role} agrees to request {request.number}, which waits for {who(rules)}; {still}"
    return Outcome(act.unit, act.version, "pending", True, text, request.number)


def _requests(records: pl.DataFrame) -> list[Request]:
    """Every request on record, oldest first."""
    requests = [request for unit in units(records) for request in UnitHistory.from_records(records, unit).requests]
    return sorted(requests, key=lambda request: request.number)


def _named(records: pl.DataFrame, text: str) -> Request:
    """The request of that unit or number that waits, or that is moving. Raises NotKnownError where there is none."""
    requests = _requests(records)
    for state in ("waiting", "moving"):
        for request in requests:
            if request.state == state and text in (request.unit, str(request.number)):
                return request
    ended = next((f"; {_ending(request)}" for request in requests if text == str(request.number)), "")
    waiting = ", ".join(f"{entry.number} ({entry.unit} v{entry.version})" for entry in pending(records)) or "none"
    raise NotKnownError(f"no request {text} waits for an approval{ended}; waiting: {waiting}")


def _check_waits(request: Request) -> None:
    """Raises NotKnownError that says what became of a request that does not wait."""
    if request.state != "waiting":
        raise NotKnownError(f"request {request.number} does not wait any more: {_ending(request)}")


def _ending(request: Request) -> str:
    """What became of a request that waits no more."""
    return f"it was {request.state} (record {request.state_record})"
