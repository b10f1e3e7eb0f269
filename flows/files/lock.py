"""File locks: one process at a time does a task in a home."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from daypart.features.errors import DaypartError


@contextmanager
def file_lock(path: Path, wait: bool = True, busy: str = "") -> Iterator[IO[str]]:
    """Hold the lock of a file within the block, and yield the open file. Creates the file and its folder.

    The lock excludes other processes of this machine. The system releases it when the process ends, however it ends,
    but a child process that inherits the file holds it too. Without `wait`, raises DaypartError if another process
    holds the lock, with the message `busy` where one is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise DaypartError(busy or f"{path} is held by another process: end that one first") from None
        yield file


def is_held(path: Path) -> bool:
    """Return whether a process holds the file's lock. Raises FileNotFoundError where there is no such file."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
