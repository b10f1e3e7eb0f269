"""What is printed of the watch over what was published, and of a home."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from daypart.features.quality.input_drift import moved
from daypart.flows.display.tables import level_rows, print_json, print_left_out, print_table

if TYPE_CHECKING:
    from daypart.flows.jobs.status import Status
    from daypart.flows.lake.integrity import Verification
    from daypart.flows.monitoring.monitor import Watch


def show_monitor(watch: "Watch", *, as_json: bool) -> None:
    """Accuracy of what was published, data faults, and one line per unit: retrain or not, and why."""
    decisions = {unit: asdict(decision) for unit, decision in watch.decisions.items()}
    faults = {target: [asdict(fault) for fault in found] for target, found in watch.faults.items()}
    if as_json:
        inputs = {target: [asdict(drift) for drift in found] for target, found in watch.inputs.items()}
        seen = {"scores": watch.scores.to_dicts(), "decisions": decisions, "faults": faults, "inputs": inputs}
        print_json({**seen, "news": watch.news, "left_out": watch.left_out})
        return
    print_table(level_rows(watch.scores))
    print_left_out(watch.left_out)
    for told in dict.fromkeys(fault["told"] for found in faults.values() for fault in found):
        print(f"data fault: {told}")
    for told in dict.fromkeys(drift.told for found in watch.inputs.values() for drift in moved(found)):
        print(f"input: {told}")
    for unit, decision in decisions.items():
        print(f"{unit}: {decision['reason']}")


def show_verification(verification: "Verification", home: Path, *, as_json: bool) -> None:
    """A line per damaged file, and how many files were read."""
    if as_json:
        print_json({"home": home, **asdict(verification)})
        return
    print(f"home {home}")
    for damage in verification.damages:
        print(damage)
    files, unverified = verification.files, verification.unverified
    print(f"{files:,} data files read, {files - unverified:,} of them compared with their checksums")
    if unverified:
        print(f"{unverified:,} have none, as they were written before checksums were kept: only sizes are compared")


def show_status(found: "Status", home: Path, *, as_json: bool) -> None:
    """Tables, models, the last publication, what waits for an approval, and what does not fit."""
    if as_json:
        print_json({"home": home, **asdict(found)})
        return
    print(f"home {home}")
    if not found.tables:
        print("an empty home: start with `daypart ingest stores FILE`, or `daypart demo`")
    print_table(found.tables, "tables")
    print_table(found.models, "models")
    if found.published:
        print("last published: " + ", ".join(f"{name} {value}" for name, value in found.published.items()))
    print_table(found.pending, "waiting for an approval: `daypart approve ID` or `daypart reject ID`")
    print_table(found.undeclared, "not as declared: `daypart declare FILE`")
    for notice in found.notices:
        print(notice)
