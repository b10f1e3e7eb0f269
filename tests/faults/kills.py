"""Kills: at random moments, and before and after every step of the writers of lake, registry and audit."""

import random
import signal
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.faults.homes import Command, Job, between, copied, repeated, start, state
from tests.faults.trials import Trial, Verdict, has_traceback

STEPS = """
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
    def struck(*arguments, **named):
        if not is_write(arguments):
            return work(*arguments, **named)
        strike()
        done = work(*arguments, **named)
        strike()
        return done
    setattr(owner, name, struck)

for name in ("write_files", "commit"):
    around(commits, name)
around(registry.Registry, "_call", lambda given: given[1].split("_")[0] in ("create", "set", "log", "delete"))
for name in ("replace", "link", "rename"):
    around(os, name)

def at_end():
    print("steps", step, flush=True)
"""
"""Counts the steps of a command, and ends its process at one of them; 0 at none."""


def random_kills(jobs: Sequence[Job], count: int, seed: int) -> list[Trial]:
    """So many kills of each job, at moments spread over the time that it takes."""
    random_ = random.Random(seed)
    return [partial(killed_after, job, random_.uniform(0, job.seconds)) for job in jobs for _ in range(count)]


def step_kills(jobs: Sequence[Job]) -> list[Trial]:
    """One kill before and one after every writing step of each job."""
    return [partial(killed_at, job, at) for job in jobs for at in range(1, steps(job) + 1)]


def steps(job: Job) -> int:
    with copied(job.home) as home:
        result = start(home, job.arguments, STEPS.format(at=0)).ended()
    assert result.status == 0, result.err
    return int(result.out.rsplit("steps ", 1)[1])


def killed_after(job: Job, seconds: float) -> list[Verdict]:
    with copied(job.home) as home:
        process = start(home, job.arguments)
        time.sleep(seconds)
        process.kill()
        return [_verdict(job, home, process, f"{job.name} killed after {seconds:.2f} s")]


def killed_at(job: Job, at: int) -> list[Verdict]:
    with copied(job.home) as home:
        process = start(home, job.arguments, STEPS.format(at=at))
        return [_verdict(job, home, process, f"{job.name} killed at step {at}")]


def _verdict(job: Job, home: Path, process: Command, note: str) -> Verdict:
    """Whether all is as before or as after, and the same command, given again, comes to the same end."""
    dead = process.ended()
    now = state(home)
    if not between(now, job):
        return Verdict(lost=True, note=f"{note}: {_difference(now, job)}")
    again, is_right = repeated(job, home, now)
    final = state(home)
    return Verdict(
        lost=final != job.after,
        traceback=has_traceback(dead.err) or has_traceback(again.err),
        wrong_status=not is_right or dead.status not in (0, -signal.SIGKILL),
        note=f"{note}: {again.err.strip()[:300]} {_difference(final, job)}",
    )


def _difference(now: dict[str, str], job: Job) -> str:
    return "; ".join(f"{name}: {now.get(name)}" for name in job.after if now.get(name) != job.after[name])[:400]
