"""Promote: who serves next, by those who may say so, and never without a record of it."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from daypart.features.errors import InputError, NotKnownError
from daypart.flows.audit.audit_history import refusal
from daypart.flows.audit.audit_log import Entry
from daypart.flows.config.governance import AUTOMATION, Activity, Governance, Rule
from daypart.flows.config.portfolio import Portfolio
from daypart.flows.config.recipes import STANDARD
from daypart.flows.governance.champion_switch import (
    Act,
    Outcome,
    UnitRecords,
    decide_on_current_records,
    end_interrupted_switch,
    serving_message,
    switch_champion,
)
from daypart.flows.governance.model_versions import ModelStore, ServingModel
from daypart.flows.governance.signoff import Signoff
from daypart.flows.home import Home
from daypart.flows.registry.registry import Registry


def promote(home: Home, unit: str, version: int | None, signoff: Signoff) -> Outcome:
    """Makes a version (null: the challenger) the champion, or files a request where the tier wants an approval.

    By hand, a version that the gate refused takes a role that may override the policy too, and whatever approval
    that wants; its records say so.
    What serves already, or waits already, is told and adds nothing. Raises InputError for a role that may not,
    NotKnownError for an unknown version, DamagedError for one with damaged files and where the audit is not as it was
    written: the champion keeps serving.
    """

    def decide() -> Outcome:
        candidate = version if version is not None else home.registry.version_of(unit, "challenger")
        if candidate is None:
            raise NotKnownError(f"no challenger for {unit}: run `daypart train` first, or name a --version")
        home.audit.check()
        basis = UnitRecords(unit, home.audit.records())
        gate = overridden(basis.records, unit, candidate, "promote", signoff.role)
        act = Act(unit, candidate, signoff.role, "promote", signoff.reason, signoff.now, gate)
        rules = _checked(home.registry, act)
        basis, _ = end_interrupted_switch(home, basis, signoff.now)
        return _switch_or_request(home, rules, act, basis)

    return decide_on_current_records(decide)


def rollback(home: Home, unit: str, signoff: Signoff, version: int | None = None) -> Outcome:
    """Makes the version that served before the champion again, or a named one that ever served.

    Done again it goes further back, past what was rolled back already; a rollback that was cut off is only ended.
    Where the champion is gone or damaged, or its alias is, what serves in its place becomes the champion.
    Raises as `promote`, and NotKnownError where nothing else ever served.
    """

    def decide() -> Outcome:
        champion, serving = home.registry.version_of(unit, "champion"), _serving(home, unit, version)
        rules = _checked(home.registry, Act(unit, serving, signoff.role, "rollback", signoff.reason, signoff.now))
        home.audit.check()
        basis, cut = end_interrupted_switch(home, UnitRecords(unit, home.audit.records()), signoff.now)
        trail = basis.trail
        if cut is not None and cut.does == "rollback" and cut.version == champion and version in (None, champion):
            return Outcome(unit, champion, "serves", True, f"v{champion} of {unit} serves: the rollback is ended")
        candidate = version or (trail.before(champion) if serving == champion else serving)
        if candidate is None:
            raise NotKnownError(f"{unit} was only ever served by v{champion}: there is nothing to go back to")
        if candidate not in {champion, *trail.served}:
            raise InputError(
                f"v{candidate} of {unit} never served: `daypart promote {unit} --version {candidate}` asks for it"
            )
        return _switch_or_request(
            home, rules, Act(unit, candidate, signoff.role, "rollback", signoff.reason, signoff.now), basis
        )

    return decide_on_current_records(decide)


def _serving(home: Home, unit: str, version: int | None) -> int:
    """The version that serves the unit; where none is whole, the one that is to. Raises as `rollback`."""
    store = ModelStore(home)
    champion = store.champions().get(unit)
    if champion is None:
        raise NotKnownError(f"no champion for {unit}: there is nothing to roll back")
    serving = dict(store.serving({unit: champion}))[unit]
    if isinstance(serving, ServingModel):
        return serving.version
    if version is None:
        raise serving
    return version


def tier_of(registry: Registry, unit: str, version: int) -> str:
    """The unit's tier as the home's portfolio has it now; without one, that which the version was made in."""
    path = registry.settings.portfolio
    if path.exists():
        return Portfolio.read(path).parse_unit(unit).tier
    return str(registry.describe(unit, version)["tags"].get("tier", STANDARD))


def overridden(records: pl.DataFrame, unit: str, version: int, does: str, role: str) -> str | None:
    """Why the gate refused the version, where a person asks for it nevertheless; else null."""
    return refusal(records, unit, version) if does == "promote" and role != AUTOMATION else None


def activities(act: Act) -> tuple[Activity, ...]:
    """What has a rule of its own in what is to be done."""
    return (act.does,) if act.gate is None else (act.does, "override_policy")


def _checked(registry: Registry, act: Act) -> tuple[Rule, ...]:
    """The rules for it. Raises InputError for a role that may not."""
    governance, tier = Governance.read(registry.settings.governance), tier_of(registry, act.unit, act.version)
    subject = act.unit if act.gate is None else f"v{act.version} of {act.unit}, which the gate refused"
    return tuple(governance.check(activity, tier, subject, act.role) for activity in activities(act))


def _switch_or_request(home: Home, rules: Sequence[Rule], act: Act, basis: UnitRecords) -> Outcome:
    """Moves the champion, or files a request where somebody else must agree."""
    if basis.trail.last == act.version == home.registry.version_of(act.unit, "champion"):
        ModelStore(home).load(act.unit, act.version)
        return Outcome(act.unit, act.version, "serves", False, f"v{act.version} of {act.unit} serves already")
    who = tuple(dict.fromkeys(rule.accountable for rule in rules if rule.awaits(act.role)))
    if not who:
        return switch_champion(home, act, basis)
    if act.role in who:
        able = [role for role in rules[0].may if role not in who and all(role in rule.may for rule in rules)]
        message = f"{act.role} must approve what is asked for {act.unit} and may not ask for it too"
        raise InputError(f"{message}: let {' or '.join(able) or 'another role'} ask")
    return _file_request(home, " and ".join(who), act, basis)


def _file_request(home: Home, who: str, act: Act, basis: UnitRecords) -> Outcome:
    """Files a request, unless the same one waits."""
    ModelStore(home).load(act.unit, act.version)
    waits = f"waits for {who}; {serving_message(home.registry, act.unit)}"
    pending = basis.trail.pending
    if pending is not None and (pending.version, pending.does) == (act.version, act.does):
        message = f"v{act.version} of {act.unit} is asked for already (request {pending.number}) and {waits}"
        return Outcome(act.unit, act.version, "pending", False, message, pending.number)
    details: dict[str, Any] = {"state": "asked", "does": act.does, "version": act.version, "reason": act.reason}
    details |= {"waits_for": who, **act.override}
    number = home.audit.append(act.now, act.role, Entry(act.does, act.unit, details), basis.check).sequence
    message = f"v{act.version} of {act.unit} is asked for (request {number}) and {waits}"
    return Outcome(act.unit, act.version, "pending", True, message, number)
