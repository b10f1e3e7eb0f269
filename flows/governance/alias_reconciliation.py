"""Reconciliation: the registry's champion aliases, compared with what the audit records say."""

import json
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from daypart.features.errors import DamagedError
from daypart.flows.audit.audit_history import UnitHistory, units
from daypart.flows.audit.audit_log import Audit
from daypart.flows.audit.verification import REPAIR, AuditVerification
from daypart.flows.home import Home
from daypart.flows.registry.registry import champions_of


def verify_audit(home: Home, head: str | None = None) -> tuple[AuditVerification, list[str]]:
    """The audit as `Audit.verify` has it, and a line for every champion that is not the last one on record.

    A registry that cannot be read is a fault. Raises as `Audit.verify`.
    """
    try:
        aliases = home.registry.aliases()
        verification = home.audit.verify(head)
    except DamagedError as error:
        verification = Audit(home.lake).verify(head)
        return replace(verification, faults=[*verification.faults, str(error)]), []
    readable = verification.records > 0 or not verification.faults
    return verification, [*differences(home.audit.records(), aliases).values()] if readable else []


def differences(records: pl.DataFrame, aliases: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    """By unit a line that says how its champion differs from the last one on record, and the remedy.

    `aliases` are those of the registry. A move under way is no difference: its end is not recorded yet.
    """
    champions, lines = champions_of(aliases), {}
    for unit in sorted({*champions, *units(records)}):
        champion = champions.get(unit)
        recorded = _recorded(records, unit, champion)
        if recorded != champion:
            lines[unit] = f"{unit}: {_difference(unit, champion, recorded)}"
    return lines


def _recorded(records: pl.DataFrame, unit: str, champion: int | None) -> int | None:
    """The last champion on record: by the last move, or as a repair acknowledged it after that."""
    moves = [
        move for move in UnitHistory.from_records(records, unit).with_alias(champion).moves if move.state == "done"
    ]
    last, number = (moves[-1].version, moves[-1].number) if moves else (None, 0)
    repairs = records.filter(pl.col("activity") == REPAIR, pl.col("sequence") > number).sort("sequence")
    for details in repairs["details"]:
        last = json.loads(details).get("champions", {}).get(unit, last)
    return last


def _difference(unit: str, champion: int | None, recorded: int | None) -> str:
    if recorded is None:
        return (
            f"v{champion} serves, and no audit record says since when or by whom: record it with "
            f"`daypart promote {unit} --version {champion}`"
        )
    serves = "no version is the champion" if champion is None else f"v{champion} serves"
    message = f"{serves}, but the last that the audit records have is v{recorded}"
    return f"{message}: it was moved outside of daypart; promote or roll back to put it right"
