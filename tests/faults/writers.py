"""Eight processes that do the same thing in one home at once."""

from collections.abc import Sequence
from functools import partial

from tests.faults.homes import Job, copied, start, state
from tests.faults.trials import Trial, Verdict, has_traceback, is_one_line

WRITERS = 8


def at_once(jobs: Sequence[Job]) -> list[Trial]:
    return [partial(together, job) for job in jobs]


def together(job: Job) -> list[Verdict]:
    """One verdict a process: the home is as after one of them, and who came late is told so in one line."""
    with copied(job.home) as home:
        results = [process.ended() for process in [start(home, job.arguments) for _ in range(WRITERS)]]
        is_lost = state(home) != job.after or all(result.status for result in results)
        return [
            Verdict(
                lost=is_lost,
                traceback=has_traceback(result.err),
                wrong_status=result.status != 0 and not is_one_line(result.err),
                note=f"{job.name} by {WRITERS} at once: status {result.status}: {result.err.strip()[:400]}",
            )
            for result in results
        ]
