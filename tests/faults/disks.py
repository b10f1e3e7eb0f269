"""Disks that fill: a file system with a little more room each time, or files that may not grow, where none is mounted."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.faults.homes import Job, Result, between, copied, repeated, run, start, state
from tests.faults.trials import Trial, Verdict, has_traceback, is_one_line

SHARES = 16
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


def full_disks(jobs: Sequence[Job]) -> list[Trial]:
    """By job, from no room at all to all that it writes, in steps; and files that may not grow beyond some size."""
    sizes = [2**power for power in range(10, 20)]
    trials: list[Trial] = [partial(no_growth, job, size) for job in jobs for size in sizes]
    if _may_mount():
        trials += [partial(no_room, job, share) for job in jobs for share in range(SHARES)]
    return trials


def no_room(job: Job, share: int) -> list[Verdict]:
    """Runs the job with a share of the room that it needs."""
    with copied(job.home) as plain:
        before = _size(plain)
        assert run(plain, *job.arguments).status == 0
        needed = max(_size(plain) - before, 2**16)
    with _file_system(before + needed * share // SHARES + 2**16) as (disk, enlarge):
        shutil.copytree(job.home, disk / "home")
        result = start(disk / "home", job.arguments).ended()
        enlarge()
        return [_verdict(job, disk / "home", result, f"{job.name} with {share}/{SHARES} of its room")]


def no_growth(job: Job, size: int) -> list[Verdict]:
    """Runs the job where no file may grow beyond a size."""
    with copied(job.home) as home:
        result = start(home, job.arguments, LIMIT.format(size=size)).ended()
        return [_verdict(job, home, result, f"{job.name} with files of {size} bytes")]


def _verdict(job: Job, home: Path, result: Result, note: str) -> Verdict:
    now = state(home)
    again, is_right = repeated(job, home, now)
    return Verdict(
        lost=not between(now, job) or state(home) != job.after,
        traceback=has_traceback(result.err) or has_traceback(again.err),
        wrong_status=(result.status != 0 and not (result.status == 1 and is_one_line(result.err))) or not is_right,
        note=f"{note}: status {result.status}: {result.err.strip()[:500]}; again: {again.err.strip()[:200]}",
    )


@contextlib.contextmanager
def _file_system(size: int) -> Iterator[tuple[Path, "partial[None]"]]:
    """A file system in memory of so many bytes, and what enlarges it."""
    with tempfile.TemporaryDirectory(prefix="daypart-disk-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        try:
            yield Path(folder), partial(_remount, folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def _remount(folder: str) -> None:
    subprocess.run(["mount", "-o", "remount,size=1g", folder], check=True)


def _may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
    return True


def _size(home: Path) -> int:
    """Bytes that files take on a disk of blocks."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in home.rglob("*"))
