"""Eight processes that run the same command in one home at once."""

from collections.abc import Sequence
from functools import partial

from tests.faults.homes import Job, copy_of_home, start, state
from tests.faults.trials import Trial, Verdict, has_traceback, is_one_line

WRITERS = 8


def concurrent_runs(jobs: Sequence[Job]) -> list[Trial]:
    """Return one trial per job."""
    return [partial(run_concurrently, job) for job in jobs]


def run_concurrently(job: Job) -> list[Verdict]:
    """Return one verdict per process: the home is as after one run, and later processes get one error line."""
    with copy_of_home(job.home) as home:
        results = [process.wait() for process in [start(home, job.arguments) for _ in range(WRITERS)]]
        is_lost = state(home) != job.after or all(result.status for result in results)
        return [
            Verdict(
                lost_data=is_lost,
                traceback=has_traceback(result.err),
                wrong_status=result.status != 0 and not is_one_line(result.err),
                note=f"{job.name} by {WRITERS} at once: status {result.status}: {result.err.strip()[:400]}",
            )
            for result in results
        ]
