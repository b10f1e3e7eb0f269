"""Promote: who serves next, by those who may say so, and never without a record of it."""

from datetime import datetime

import polars as pl

from features.errors import InputError, NotKnownError
from flows.adapters.audit import Audit
from flows.adapters.governance import Activity, Governance, Rule
from flows.adapters.lake import Lake
from flows.adapters.registry import Registry
from flows.move import Act, Outcome, mended, moved, still
from flows.trail import Request, Trail

STANDARD = "standard"


class _Waits(Exception):
    """The same request waits."""

    def __init__(self, request: Request) -> None:
        self.request = request


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
    mended(audit, registry, unit, now)
    return _asked(audit, registry, rule, Act(unit, wanted, role, "promote", reason, now))


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
    trail, cut = mended(audit, registry, unit, now)
    wanted = version if version is not None else trail.earlier
    if cut is not None and cut.does == "rollback" and cut.version == champion and version in (None, champion):
        return Outcome(unit, champion, "serves", True, f"v{champion} of {unit} serves: the rollback is ended")
    if wanted is None:
        raise NotKnownError(f"{unit} was only ever served by v{champion}: there is nothing to go back to")
    if wanted not in {champion, *trail.served}:
        raise InputError(f"v{wanted} of {unit} never served: `daypart promote {unit} --version {wanted}` asks for it")
    return _asked(audit, registry, rule, Act(unit, wanted, role, "rollback", reason, now))


def tier_of(registry: Registry, unit: str, version: int) -> str:
    """The tier that a version was made in."""
    return str(registry.describe(unit, version)["tags"].get("tier", STANDARD))


def _rule(registry: Registry, unit: str, version: int, activity: Activity, role: str) -> Rule:
    governance = Governance.read(registry.settings.governance)
    return governance.check(activity, tier_of(registry, unit, version), unit, role)


def _asked(audit: Audit, registry: Registry, rule: Rule, act: Act) -> Outcome:
    """Moves the champion, or files a request where somebody else must agree."""
    if registry.version_of(act.unit, "champion") == act.version:
        return Outcome(act.unit, act.version, "serves", False, f"v{act.version} of {act.unit} serves already")
    if not rule.approval or (act.role == rule.accountable and not rule.separate):
        return moved(audit, registry, act, None)
    if act.role == rule.accountable:
        others = " or ".join(role for role in rule.responsible if role != act.role) or "another role"
        told = f"{act.role} must approve what is asked for {act.unit} and may not ask for it too"
        raise InputError(f"{told}: let {others} ask")
    return _filed(audit, registry, rule, act)


def _filed(audit: Audit, registry: Registry, rule: Rule, act: Act) -> Outcome:
    """Files a request, unless the same one waits."""

    def is_new(records: pl.DataFrame) -> None:
        waiting = Trail.of(records, act.unit).pending
        if waiting is not None and (waiting.version, waiting.does) == (act.version, act.does):
            raise _Waits(waiting)

    registry.load(act.unit, act.version)
    said = {"state": "asked", "does": act.does, "version": act.version, "reason": act.reason}
    said["waits_for"] = rule.accountable
    waits = f"waits for {rule.accountable}; {still(registry, act.unit)}"
    try:
        number = audit.append(act.now, act.role, act.does, act.unit, said, is_new).sequence
    except _Waits as waiting:
        number = waiting.request.number
        told = f"v{act.version} of {act.unit} is asked for already (request {number}) and {waits}"
        return Outcome(act.unit, act.version, "pending", False, told, number)
    told = f"v{act.version} of {act.unit} is asked for (request {number}) and {waits}"
    return Outcome(act.unit, act.version, "pending", True, told, number)
