"""Failures: what libraries and the system raise, as one line that says what happened and what to do."""

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daypart.features.errors import DamagedError, DaypartError, InputError, NotKnownError
from daypart.flows.config.home_access import check_writable

if TYPE_CHECKING:
    from daypart.flows.lake.delta_log import Damage

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
FULL_TEXTS = (
    "No space left on device", "File too large", "Disk quota exceeded", "database or disk is full",
    "(os error 28)", "(os error 27)", "(os error 122)",
)  # fmt: skip
"""How Rust, SQLite and Arrow say the same."""
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
FORBIDDEN_TEXTS = ("Permission denied", "Read-only file system", "readonly database", "unable to open database file")
BROKEN_TEXTS = ("parquet", "No such file or directory")
LEAST_FREE = 1 << 20
"""Bytes; a disk with less counts as full where a library says no more than that it could not write."""


@contextmanager
def readable(home: Path) -> Iterator[None]:
    """Raises what goes wrong inside as a DaypartError of one line, where that says more than the error itself."""
    try:
        yield
    except BaseException as error:
        worded = as_readable(error, home)
        if worded is None:
            raise
        raise worded from error


def as_readable(error: BaseException, home: Path) -> DaypartError | None:
    """Return the error as one line with the file and the remedy; null where it is readable, or a fault of ours.

    A full disk is told in the same words whoever found it. A panic of a Rust library, and an error of reading, name
    the files of the lake that are damaged: InputError for a home that this user cannot write, else DamagedError or
    DaypartError.
    """
    if isinstance(error, InputError | KeyboardInterrupt | SystemExit):
        return None
    text = " ".join(str(link) for link in _chain(error))
    number = error.errno if isinstance(error, OSError) else None
    if number in FULL or any(part in text for part in FULL_TEXTS) or ("disk I/O error" in text and _is_full(home)):
        file = error.filename if isinstance(error, OSError) and error.filename else home
        return DaypartError(f"the disk is full, {file}: free some of it and run again; nothing was half-written")
    if isinstance(error, DamagedError):
        return None
    if not home.is_dir() and (number == errno.ENOENT or "unable to open database file" in text):
        return NotKnownError(f"no home {home}: it was moved or deleted; check --home")
    if number in FORBIDDEN or any(part in text for part in FORBIDDEN_TEXTS):
        try:
            check_writable(home)
        except InputError as refused:
            return refused
    if not is_panic(error) and (isinstance(error, DaypartError) or not _may_be_broken(error, text)):
        return _of_system(error)
    if damages := _damages(home / "lake"):
        from daypart.flows.lake.integrity import damaged_error

        return damaged_error(damages)
    if is_panic(error):
        cause = str(error).splitlines()[0][:200] if str(error) else "it says no more"
        remedy = "run again, or `daypart status --verify` to check every file"
        return DaypartError(f"a library broke off while at work on {home} ({cause}): {remedy}")
    return _of_system(error)


def is_panic(error: BaseException) -> bool:
    """Whether a Rust library gave up; its exception is no Exception, and each library has a class of its own."""
    return any(kind.__name__ == "PanicException" for kind in type(error).__mro__)


def _damages(lake: Path) -> list["Damage"]:
    from daypart.flows.lake.integrity import verify
    from daypart.flows.lake.lake import Lake

    return verify(Lake(lake)).damages


def _may_be_broken(error: BaseException, text: str) -> bool:
    return type(error).__module__.startswith("polars") or (
        isinstance(error, OSError) and any(part in text for part in BROKEN_TEXTS)
    )


def _of_system(error: BaseException) -> DaypartError | None:
    """An error of the system by its file and cause; null for what has neither."""
    if not isinstance(error, OSError) or isinstance(error, BrokenPipeError) or error.strerror is None:
        return None
    place = error.filename if error.filename is not None else "a file or connection"
    return DaypartError(f"{os.fsdecode(place)} cannot be used ({error.strerror}): check it and run again")


def _is_full(home: Path) -> bool:
    """Whether a write fails for want of space: of the disk, or below the limit on what a file may hold."""
    folder = next(path for path in (home, *home.parents) if path.is_dir())
    limited = resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY
    return limited or shutil.disk_usage(folder).free < LEAST_FREE


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from."""
    visited: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in visited:
        visited.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
