"""The lock: one process at a time does a thing in a home."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from daypart.features.errors import DaypartError


@contextmanager
def held(path: Path, wait: bool = True) -> Iterator[IO[str]]:
    """Holds the file's lock, once no other process of this machine does; however a process ends, it lets go.

    A child that inherits the file holds on too. Without `wait`, raises DaypartError where another holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise DaypartError(f"{path} is held by another process: end that one first") from None
        yield file


def is_held(path: Path) -> bool:
    """Return whether a process holds the file's lock. Raises FileNotFoundError where there is no such file."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
