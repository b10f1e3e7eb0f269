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
    from daypart.flows.audit.verification import Verified
    from daypart.flows.governance.champion_switch import Outcome
    from daypart.flows.governance.settings_audit import Change
    from daypart.flows.jobs.status import Day

LEFT_OUT = ("state", "process", "figures", "reads", "segments", "text", "before", "content", "champions")
"""Details that a person reads elsewhere."""


def show_outcome(done: "Outcome", *, as_json: bool) -> None:
    """What became of what was asked for, in a line."""
    if as_json:
        print_json(asdict(done))
        return
    print(done.told)


def show_declared(changes: Sequence["Change"], role: str, *, as_json: bool) -> None:
    """What was declared, each file's lines as a diff."""
    if as_json:
        print_json({"declared": [{"file": each.file, "change": each.kind, "diff": each.diff} for each in changes]})
        return
    for each in changes:
        print(f"{each.file}: {each.kind}, declared by {role}")
        if each.diff:
            print(each.diff)
    if not changes:
        print("nothing to declare: the files are as they were declared")


def show_records(
    records: pl.DataFrame, unit: str | None, since: date | None, home: Path, *, as_json: bool
) -> None:  # fmt: skip
    """The records of a unit or all, from a date on. Raises NotKnownError for a unit that no record is of."""
    known = sorted(set(records["unit"]) - {""})
    if unit is not None and known and unit not in known:
        raise NotKnownError(f"no record is of unit {unit!r}: expected one of {', '.join(known)}")
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
    told = {name: value for name, value in details.items() if name not in LEFT_OUT and value not in (None, "")}
    return ", ".join(f"{name} {value}" for name, value in told.items())


def show_verified(found: "Verified", champions: Sequence[str], home: Path, *, as_json: bool) -> None:
    """Every fault in a line, or that there is none; champions that are not as recorded; and the head to keep."""
    if as_json:
        print_json({"home": home, **asdict(found), "champions": champions})
        return
    print(f"home {home}")
    for fault in (*found.faults, *champions):
        print(fault)
    for repaired in found.repaired:
        print(repaired)
    if not found.faults:
        rest = "the other " if found.repaired else ""
        print(f"{rest}{found.records:,} records are as they were written; the registry knows of {found.anchored:,}")
    if found.head:
        print(f"head {found.head}")


def show_repaired(made: "Record | None", home: Path, *, as_json: bool) -> None:
    """What a repair put on record, or that there was nothing to repair."""
    if as_json:
        print_json({"home": home, "repair": made and {**asdict(made), "details": encoding.loads(made.details)}})
        return
    print(f"home {home}")
    if made is None:
        print("nothing to repair: the records are as they were written")
        return
    for fault in encoding.loads(made.details)["faults"]:
        print(fault)
    print(f"record {made.sequence} acknowledges this, by {made.role}; keep the new head: {made.sequence}:{made.hash}")


def show_day(found: "Day", home: Path, *, as_json: bool) -> None:
    """Who served, and whether the publication of the day can be made again."""
    again = found.rebuilt
    if as_json:
        rebuilt = {**asdict(again), "same": again.same} if again else None
        day = {"home": home, "date": found.date, "served": found.served, "rebuilt": rebuilt, "fault": found.fault}
        print_json({**day, "rebuildable_since": found.rebuildable_since, "notices": found.notices})
        return
    print(f"home {home}")
    if not found.served:
        print(f"nothing served on {found.date}")
    print_table([
        {
            **{name: row[name] for name in ("unit", "version")},
            "since_utc": str(row["since"] or "unknown")[:16],
            "until_utc": str(row["until"] or ("unknown" if row["ended"] else "now"))[:16],
            **{name: row[name] for name in ("by", "agreed", "trained_as_of", "why")},
        }
        for row in found.served
    ], f"served on {found.date}")  # fmt: skip
    for row in found.served:
        print(f"{row['unit']}-v{row['version']} was trained on {_versions(row['trained_on'])}")
    if again is not None:
        print(f"published for {again.origin}: {again.rows:,} rows by {', '.join(again.models)}")
        told = "equal to the last bit" if again.same else f"{again.differing:,} rows are another"
        print(f"made again from {_versions(again.reads)}: {told}")
    if found.fault:
        print(f"not made again: {found.fault}")
    if (since := rebuildable(found.rebuildable_since)) is not None:
        print(since)
    for notice in found.notices:
        print(notice)


def _versions(reads: object) -> str:
    assert isinstance(reads, dict)
    return ", ".join(f"{table} {version}" for table, version in sorted(reads.items())) or "data of unknown versions"
