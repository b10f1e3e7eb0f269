"""A trial is one fault, and its verdict is what the fault did."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

TRACES = ("Traceback (most recent call last)", "panicked at", "RUST_BACKTRACE")
PROGRESS = 20
"""After so many trials a line says how far a campaign is."""
LONGEST_LINE = 2_000
"""Characters of an error line, 200 of which may be input."""


@dataclass(frozen=True)
class Verdict:
    """What one fault did; `note` says how to repeat it and what went wrong."""

    lost: bool = False
    traceback: bool = False
    wrong_status: bool = False
    note: str = ""

    @property
    def survived(self) -> bool:
        return not (self.lost or self.traceback or self.wrong_status)


@dataclass(frozen=True)
class Tally:
    """One campaign's figures, and the notes of the trials that failed."""

    campaign: str
    tried: int
    survived: int
    lost: int
    tracebacks: int
    wrong_status: int
    notes: tuple[str, ...]


Trial = Callable[[], Sequence[Verdict]]


def has_traceback(text: str) -> bool:
    return any(trace in text for trace in TRACES)


def is_one_line(error: str) -> bool:
    """Whether standard error is the one line that daypart promises."""
    return error.startswith("daypart: ") and error.count("\n") == 1 and len(error) <= LONGEST_LINE


def tally(campaign: str, trials: Sequence[Trial]) -> Tally:
    """Runs the trials, in as many processes as there are cores, and counts what they did."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        verdicts: list[Verdict] = []
        for finished, trial_verdicts in enumerate(pool.map(_run, trials), 1):
            verdicts += trial_verdicts
            failed = "".join(f"\n  {verdict.note}" for verdict in trial_verdicts if not verdict.survived)
            if failed or finished % PROGRESS == 0:
                print(f"{campaign}: {finished} of {len(trials)}{failed}", file=sys.stderr, flush=True)
    notes = tuple(verdict.note for verdict in verdicts if not verdict.survived)
    counts = (sum(getattr(v, name) for v in verdicts) for name in ("survived", "lost", "traceback", "wrong_status"))
    return Tally(campaign, len(verdicts), *counts, notes)


def _run(trial: Trial) -> Sequence[Verdict]:
    try:
        return trial()
    except Exception:
        return [Verdict(lost=True, note=f"{trial}: {traceback.format_exc()[-600:]}")]
