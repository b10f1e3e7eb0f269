"""Repair: a damaged audit acknowledged by who may say so, in a record that names what is missing."""

from daypart.features.errors import DamagedError, InputError
from daypart.flows.audit.audit_log import Record
from daypart.flows.config.governance import DEFAULT
from daypart.flows.governance.settings_audit import rules
from daypart.flows.governance.signoff import Signoff
from daypart.flows.home import Home


def repair(home: Home, signoff: Signoff) -> Record | None:
    """Records what is missing from the audit or changed in it; null where nothing is.

    From then on verification lists that as repaired, and jobs record again. The rules are those of `governance.toml`
    as declared last. Raises InputError for a role that may not repair the audit and for a blank reason, DamagedError
    where the table's log cannot be read.
    """
    if not signoff.reason.strip():
        raise InputError("--reason is empty: say what happened to the audit, and what was tried to restore it")
    try:
        allowed = rules(home).check("repair_audit", DEFAULT, "the audit", signoff.role).may_alone
        if signoff.role not in allowed:
            raise InputError(
                f"{signoff.role} may not repair the audit alone: that is for {allowed[0]}, who is accountable"
            )
        return home.audit.repair(signoff.now, signoff.role, signoff.reason, home.registry.champions())
    except DamagedError as damaged:
        raise DamagedError(f"{damaged}; or, without a copy, move it out of the lake and repair again") from damaged
