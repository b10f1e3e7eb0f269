"""What is printed of the watch over what was published, and of a home."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from daypart.features.quality.input_drift import significant_drifts
from daypart.flows.display.tables import level_rows, print_json, print_left_out, print_table

if TYPE_CHECKING:
    from daypart.flows.jobs.status import Status
    from daypart.flows.lake.integrity import Verification
    from daypart.flows.monitoring.monitor import Watch


def show_monitor(watch: "Watch", *, as_json: bool) -> None:
    """Accuracy of what was published, data faults, and one line per unit: retrain or not, and why."""
    decisions = {unit: asdict(decision) for unit, decision in watch.decisions.items()}
    faults = {target: [asdict(fault) for fault in target_faults] for target, target_faults in watch.faults.items()}
    if as_json:
        inputs = {target: [asdict(drift) for drift in drifts] for target, drifts in watch.inputs.items()}
        output = {"scores": watch.scores.to_dicts(), "decisions": decisions, "faults": faults, "inputs": inputs}
        print_json({**output, "news": watch.news, "left_out": watch.left_out})
        return
    print_table(level_rows(watch.scores))
    print_left_out(watch.left_out)
    for message in dict.fromkeys(fault["told"] for target_faults in faults.values() for fault in target_faults):
        print(f"data fault: {message}")
    drifts = [drift for input_drifts in watch.inputs.values() for drift in significant_drifts(input_drifts)]
    for message in dict.fromkeys(drift.told for drift in drifts):
        print(f"input: {message}")
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


def show_status(status: "Status", home: Path, *, as_json: bool) -> None:
    """Tables, models, the last publication, what waits for an approval, and what does not fit."""
    if as_json:
        print_json({"home": home, **asdict(status)})
        return
    print(f"home {home}")
    if not status.tables:
        print("an empty home: start with `daypart ingest stores FILE`, or `daypart demo`")
    print_table(status.tables, "tables")
    print_table(status.models, "models")
    if status.published:
        print("last published: " + ", ".join(f"{name} {value}" for name, value in status.published.items()))
    print_table(status.pending, "waiting for an approval: `daypart approve ID` or `daypart reject ID`")
    print_table(status.undeclared, "not as declared: `daypart declare FILE`")
    for notice in status.notices:
        print(notice)
