"""Run all campaigns, or the named ones, and print one table. Exits with 1 where a trial lost data or failed badly.

python -m tests.faults [CAMPAIGN...] [--seed SEED]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.faults import audit_edits, bad_inputs, disks, homes, kills, writers
from tests.faults.trials import Tally, Trial, tally

KILLS_PER_JOB, AUDIT_EDITS, BAD_INPUTS = 20, 60, 1_000
Jobs = Mapping[str, homes.Job]
CAMPAIGNS: dict[str, Callable[[Jobs, int], list[Trial]]] = {
    "random kills": lambda jobs, seed: kills.random_kills(list(jobs.values()), KILLS_PER_JOB, seed),
    "crash points": lambda jobs, seed: kills.step_kills(list(jobs.values())),
    "full disks": lambda jobs, seed: disks.full_disks([jobs[name] for name in ("pos", "ingest", "train", "forecast")]),
    "eight at once": lambda jobs, seed: writers.concurrent_runs(
        [jobs[name] for name in ("pos", "ingest", "forecast", "approve")]
    ),
    "audit edits": lambda jobs, seed: audit_edits.edits(jobs["promote"], AUDIT_EDITS, seed),
    "bad inputs": lambda jobs, seed: bad_inputs.inputs(jobs["ingest"], BAD_INPUTS, seed),
}


def main() -> int:
    """Run the campaigns and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=", ".join(CAMPAIGNS))
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="daypart-faults-") as folder:
        jobs = homes.make_jobs(Path(folder))
        tallies = []
        for name in chosen.campaigns or CAMPAIGNS:
            began = time.perf_counter()
            tallies.append(tally(name, CAMPAIGNS[name](jobs, chosen.seed)))
            print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    show(tallies)
    return int(any(row.survived < row.tried for row in tallies))


def show(tallies: list[Tally]) -> None:
    """Print one row per campaign, then the notes of trials that failed."""
    print(f"{'campaign':<15} {'tried':>6} {'survived':>9} {'lost':>5} {'tracebacks':>11} {'wrong exit status':>18}")
    for row in tallies:
        counts = f"{row.tried:>6,} {row.survived:>9,} {row.lost_data:>5} {row.tracebacks:>11} {row.wrong_status:>18}"
        print(f"{row.campaign:<15} {counts}")
    for row in tallies:
        for note in row.notes:
            print(f"\n{row.campaign}: {note}")


if __name__ == "__main__":
    sys.exit(main())
