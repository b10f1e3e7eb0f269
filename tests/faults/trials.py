"""Trials of faults, their verdicts, and the tally of a campaign."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

TRACEBACK_MARKS = ("Traceback (most recent call last)", "panicked at", "RUST_BACKTRACE")
TRIALS_PER_NOTE = 20
"""A line reports progress after every so many trials."""
LONGEST_LINE = 2_000
"""Characters of an error line, 200 of which may be input."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one fault. `note` says how to repeat it and what went wrong."""

    lost_data: bool = False
    traceback: bool = False
    wrong_status: bool = False
    note: str = ""

    @property
    def survived(self) -> bool:
        """Whether the fault did no harm."""
        return not (self.lost_data or self.traceback or self.wrong_status)


@dataclass(frozen=True)
class Tally:
    """One campaign's figures, and the notes of the trials that failed."""

    campaign: str
    tried: int
    survived: int
    lost_data: int
    tracebacks: int
    wrong_status: int
    notes: tuple[str, ...]


Trial = Callable[[], Sequence[Verdict]]


def has_traceback(text: str) -> bool:
    """Return whether a text has a traceback of Python or Rust."""
    return any(trace in text for trace in TRACEBACK_MARKS)


def is_one_line(error: str) -> bool:
    """Return whether standard error is the one line that daypart promises."""
    return error.startswith("daypart: ") and error.count("\n") == 1 and len(error) <= LONGEST_LINE


def tally(campaign: str, trials: Sequence[Trial]) -> Tally:
    """Run the trials, in as many processes as there are cores, and count their outcomes."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        verdicts: list[Verdict] = []
        for finished, trial_verdicts in enumerate(pool.map(_run, trials), 1):
            verdicts += trial_verdicts
            failed = "".join(f"\n  {verdict.note}" for verdict in trial_verdicts if not verdict.survived)
            if failed or finished % TRIALS_PER_NOTE == 0:
                print(f"{campaign}: {finished} of {len(trials)}{failed}", file=sys.stderr, flush=True)
    notes = tuple(verdict.note for verdict in verdicts if not verdict.survived)
    counts = (
        sum(getattr(v, name) for v in verdicts) for name in ("survived", "lost_data", "traceback", "wrong_status")
    )
    return Tally(campaign, len(verdicts), *counts, notes)


def _run(trial: Trial) -> Sequence[Verdict]:
    try:
        return trial()
    except Exception:
        return [Verdict(lost_data=True, note=f"{trial}: {traceback.format_exc()[-600:]}")]
