"""Kills at random moments, and before and after every step of the writers of lake, registry and audit."""

import random
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.faults.homes import Command, Job, copy_of_home, is_before_or_after, run_again, start, state
from tests.faults.trials import Trial, Verdict, has_traceback

STEP_COUNTER = """
import os, signal
from daypart.flows.lake import commits
from daypart.flows.registry import registry
step, at = 0, {at}

def strike():
    global step
    step += 1
    if step == at:
        os.kill(os.getpid(), signal.SIGKILL)

def around(owner, name, is_write=lambda arguments: True):
    work = getattr(owner, name)
    def struck(*arguments, **options):
        if not is_write(arguments):
            return work(*arguments, **options)
        strike()
        result = work(*arguments, **options)
        strike()
        return result
    setattr(owner, name, struck)

for name in ("write_files", "commit"):
    around(commits, name)
around(registry.Registry, "_call", lambda arguments: arguments[1].split("_")[0] in ("create", "set", "log", "delete"))
for name in ("replace", "link", "rename"):
    around(os, name)

def at_end():
    print("steps", step, flush=True)
"""
"""Code that counts the steps of a command and kills its process at step `at`; 0 kills at none."""


def random_kills(jobs: Sequence[Job], count: int, seed: int) -> list[Trial]:
    """Return `count` kills of each job, at random moments of the time that it takes."""
    random_ = random.Random(seed)
    return [partial(kill_after, job, random_.uniform(0, job.seconds)) for job in jobs for _ in range(count)]


def step_kills(jobs: Sequence[Job]) -> list[Trial]:
    """Return one kill before and one after every writing step of each job."""
    return [partial(kill_at_step, job, at) for job in jobs for at in range(1, step_count(job) + 1)]


def step_count(job: Job) -> int:
    """Return the number of writing steps of a job."""
    with copy_of_home(job.home) as home:
        result = start(home, job.arguments, STEP_COUNTER.format(at=0)).wait()
    assert result.status == 0, result.err
    return int(result.out.rsplit("steps ", 1)[1])


def kill_after(job: Job, seconds: float) -> list[Verdict]:
    """Kill the job after some seconds."""
    with copy_of_home(job.home) as home:
        process = start(home, job.arguments)
        time.sleep(seconds)
        process.kill()
        return [_verdict(job, home, process, f"{job.name} killed after {seconds:.2f} s")]


def kill_at_step(job: Job, at: int) -> list[Verdict]:
    """Kill the job at a writing step."""
    with copy_of_home(job.home) as home:
        process = start(home, job.arguments, STEP_COUNTER.format(at=at))
        return [_verdict(job, home, process, f"{job.name} killed at step {at}")]


def _verdict(job: Job, home: Path, process: Command, note: str) -> Verdict:
    """Check that the state is as before or after, and that the same command, run again, leads to the state after."""
    dead = process.wait()
    now = state(home)
    if not is_before_or_after(now, job):
        return Verdict(lost_data=True, note=f"{note}: {_difference(now, job)}")
    again, is_right = run_again(job, home, now)
    final = state(home)
    return Verdict(
        lost_data=final != job.after,
        traceback=has_traceback(dead.err) or has_traceback(again.err),
        wrong_status=not is_right or dead.status not in (0, -signal.SIGKILL),
        note=f"{note}: {again.err.strip()[:300]} {_difference(final, job)}",
    )


def _difference(now: dict[str, str], job: Job) -> str:
    return "; ".join(f"{name}: {now.get(name)}" for name in job.after if now.get(name) != job.after[name])[:400]
