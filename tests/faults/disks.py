"""Full disks: a file system with a little more room each time, and a limit on the size of files.

The file system needs the right to mount; without it only the limit is tried.
"""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.faults.homes import Job, Result, copy_of_home, is_before_or_after, run, run_again, start, state
from tests.faults.trials import Trial, Verdict, has_traceback, is_one_line

ROOM_STEPS = 16
FILE_SIZE_LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


def full_disks(jobs: Sequence[Job]) -> list[Trial]:
    """Return trials per job: limits on the size of files, and disks from no room to all that the job writes."""
    sizes = [2**power for power in range(10, 20)]
    trials: list[Trial] = [partial(run_with_size_limit, job, size) for job in jobs for size in sizes]
    if _may_mount():
        trials += [partial(run_with_little_room, job, share) for job in jobs for share in range(ROOM_STEPS)]
    return trials


def run_with_little_room(job: Job, share: int) -> list[Verdict]:
    """Run the job with a share of the room that it needs."""
    with copy_of_home(job.home) as plain:
        before = _size(plain)
        assert run(plain, *job.arguments).status == 0
        needed = max(_size(plain) - before, 2**16)
    with _file_system(before + needed * share // ROOM_STEPS + 2**16) as (disk, enlarge):
        shutil.copytree(job.home, disk / "home")
        result = start(disk / "home", job.arguments).wait()
        enlarge()
        return [_verdict(job, disk / "home", result, f"{job.name} with {share}/{ROOM_STEPS} of its room")]


def run_with_size_limit(job: Job, size: int) -> list[Verdict]:
    """Run the job where no file may grow beyond a size."""
    with copy_of_home(job.home) as home:
        result = start(home, job.arguments, FILE_SIZE_LIMIT.format(size=size)).wait()
        return [_verdict(job, home, result, f"{job.name} with files of {size} bytes")]


def _verdict(job: Job, home: Path, result: Result, note: str) -> Verdict:
    now = state(home)
    again, is_right = run_again(job, home, now)
    return Verdict(
        lost_data=not is_before_or_after(now, job) or state(home) != job.after,
        traceback=has_traceback(result.err) or has_traceback(again.err),
        wrong_status=(result.status != 0 and not (result.status == 1 and is_one_line(result.err))) or not is_right,
        note=f"{note}: status {result.status}: {result.err.strip()[:500]}; again: {again.err.strip()[:200]}",
    )


@contextlib.contextmanager
def _file_system(size: int) -> Iterator[tuple[Path, "partial[None]"]]:
    """Return a file system in memory of so many bytes, and a function that enlarges it."""
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
    """Return the bytes that files occupy on a disk of blocks."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in home.rglob("*"))
