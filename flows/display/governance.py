"""What is printed of promotions, of the audit and of one day."""

import json as encoding
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from daypart.features.errors import NotKnownError
from daypart.flows.display.tables import print_json, print_table
from daypart.flows.display.upkeep import rebuildable

if TYPE_CHECKING:
    from daypart.flows.audit.audit_log import Record
    from daypart.flows.audit.verification import AuditVerification
    from daypart.flows.governance.champion_switch import Outcome
    from daypart.flows.governance.settings_audit import Change
    from daypart.flows.jobs.status import Day

UNSHOWN_DETAILS = ("state", "process", "figures", "reads", "segments", "text", "before", "content", "champions")
"""Details that a person reads elsewhere."""


def show_outcome(outcome: "Outcome", *, as_json: bool) -> None:
    """What became of what was asked for, in a line."""
    if as_json:
        print_json(asdict(outcome))
        return
    print(outcome.told)


def show_declared(changes: Sequence["Change"], role: str, *, as_json: bool) -> None:
    """What was declared, each file's lines as a diff."""
    if as_json:
        print_json({"declared": [{"file": edit.file, "change": edit.kind, "diff": edit.diff} for edit in changes]})
        return
    for change in changes:
        print(f"{change.file}: {change.kind}, declared by {role}")
        if change.diff:
            print(change.diff)
    if not changes:
        print("nothing to declare: the files are as they were declared")


def show_records(
    records: pl.DataFrame, unit: str | None, since: date | None, home: Path, *, as_json: bool
) -> None:  # fmt: skip
    """The records of a unit or all, from a date on. Raises NotKnownError for a unit that no record is of."""
    units = sorted(set(records["unit"]) - {""})
    if unit is not None and units and unit not in units:
        raise NotKnownError(f"no record is of unit {unit!r}: expected one of {', '.join(units)}")
    chosen = records.filter(
        pl.lit(True) if unit is None else pl.col("unit") == unit,
        pl.lit(True) if since is None else pl.col("at_utc").dt.date() >= since,
    )
    rows = [{**row, "details": encoding.loads(row["details"])} for row in chosen.to_dicts()]
    if as_json:
        print_json({"home": home, "records": rows})
        return
    print(f"home {home}")
    if not rows:
        print("nothing was recorded")
    print_table([
        {
            "record": row["sequence"], "at_utc": str(row["at_utc"])[:19], "role": row["role"],
            "activity": row["activity"], "unit": row["unit"], "state": row["details"].get("state", ""),
            "details": _in_words(row["details"]),
        }
        for row in rows
    ])  # fmt: skip


def _in_words(details: dict[str, object]) -> str:
    entries = {
        name: value for name, value in details.items() if name not in UNSHOWN_DETAILS and value not in (None, "")
    }
    return ", ".join(f"{name} {value}" for name, value in entries.items())


def show_verified(audit: "AuditVerification", champions: Sequence[str], home: Path, *, as_json: bool) -> None:
    """Every fault in a line, or that there is none; champions that are not as recorded; and the head to keep."""
    if as_json:
        print_json({"home": home, **asdict(audit), "champions": champions})
        return
    print(f"home {home}")
    for fault in (*audit.faults, *champions):
        print(fault)
    for repaired in audit.repaired:
        print(repaired)
    if not audit.faults:
        rest = "the other " if audit.repaired else ""
        print(f"{rest}{audit.records:,} records are as they were written; the registry knows of {audit.anchored:,}")
    if audit.head:
        print(f"head {audit.head}")


def show_repaired(fix: "Record | None", home: Path, *, as_json: bool) -> None:
    """What a repair put on record, or that there was nothing to repair."""
    if as_json:
        print_json({"home": home, "repair": fix and {**asdict(fix), "details": encoding.loads(fix.details)}})
        return
    print(f"home {home}")
    if fix is None:
        print("nothing to repair: the records are as they were written")
        return
    for fault in encoding.loads(fix.details)["faults"]:
        print(fault)
    print(f"record {fix.sequence} acknowledges this, by {fix.role}; keep the new head: {fix.sequence}:{fix.hash}")


def show_day(report: "Day", home: Path, *, as_json: bool) -> None:
    """Who served, and whether the publication of the day can be made again."""
    again = report.rebuilt
    if as_json:
        rebuilt = {**asdict(again), "same": again.same} if again else None
        day = {"home": home, "date": report.date, "served": report.served, "rebuilt": rebuilt, "fault": report.fault}
        print_json({**day, "rebuildable_since": report.rebuildable_since, "notices": report.notices})
        return
    print(f"home {home}")
    if not report.served:
        print(f"nothing served on {report.date}")
    print_table([
        {
            **{name: row[name] for name in ("unit", "version")},
            "since_utc": str(row["since"] or "unknown")[:16],
            "until_utc": str(row["until"] or ("unknown" if row["ended"] else "now"))[:16],
            **{name: row[name] for name in ("by", "agreed", "trained_as_of", "why")},
        }
        for row in report.served
    ], f"served on {report.date}")  # fmt: skip
    for row in report.served:
        print(f"{row['unit']}-v{row['version']} was trained on {_versions(row['trained_on'])}")
    if again is not None:
        print(f"published for {again.origin}: {again.rows:,} rows by {', '.join(again.models)}")
        verdict = "equal to the last bit" if again.same else f"{again.differing:,} rows are another"
        print(f"made again from {_versions(again.reads)}: {verdict}")
    if report.fault:
        print(f"not made again: {report.fault}")
    if (since := rebuildable(report.rebuildable_since)) is not None:
        print(since)
    for notice in report.notices:
        print(notice)


def _versions(reads: object) -> str:
    assert isinstance(reads, dict)
    return ", ".join(f"{table} {version}" for table, version in sorted(reads.items())) or "data of unknown versions"
