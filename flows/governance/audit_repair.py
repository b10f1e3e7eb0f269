"""Repair: a damaged audit acknowledged by who may say so, in a record that names what is missing."""

from datetime import datetime

from daypart.features.errors import DamagedError, InputError
from daypart.flows.audit.audit_log import Audit, Record
from daypart.flows.config.governance import DEFAULT
from daypart.flows.governance.settings_audit import rules
from daypart.flows.lake.lake import Lake
from daypart.flows.registry.registry import Registry


def repair(lake: Lake, registry: Registry, role: str, now: datetime, reason: str) -> Record | None:
    """Records what is missing from the audit or changed in it; null where nothing is.

    From then on verification lists that as repaired, and jobs record again. The rules are those of `governance.toml`
    as declared last. Raises InputError for a role that may not repair the audit and for a blank reason, DamagedError
    where the table's log cannot be read.
    """
    if not reason.strip():
        raise InputError("--reason is empty: say what happened to the audit, and what was tried to restore it")
    try:
        allowed = rules(lake, registry).check("repair_audit", DEFAULT, "the audit", role).may_alone
        if role not in allowed:
            raise InputError(f"{role} may not repair the audit alone: that is for {allowed[0]}, who is accountable")
        return Audit(lake, registry).repair(now, role, reason, registry.champions())
    except DamagedError as damaged:
        raise DamagedError(f"{damaged}; or, without a copy, move it out of the lake and repair again") from damaged
