"""Turns errors of libraries and the system into one line that says what happened and what to do."""

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
"""The messages of Rust, SQLite and Arrow for the same errors."""
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
FORBIDDEN_TEXTS = ("Permission denied", "Read-only file system", "readonly database", "unable to open database file")
BROKEN_TEXTS = ("parquet", "No such file or directory")
MIN_FREE_BYTES = 1 << 20
"""A disk with less free space counts as full if a library only says that it could not write."""


@contextmanager
def readable(home: Path) -> Iterator[None]:
    """Raise errors of the block as a DaypartError of one line, if that says more than the error itself."""
    try:
        yield
    except BaseException as error:
        readable_error = as_readable(error, home)
        if readable_error is None:
            raise
        raise readable_error from error


def as_readable(error: BaseException, home: Path) -> DaypartError | None:
    """Return the error as one line with the file and the remedy; null if it is readable, or a defect of daypart.

    A full disk has the same message whichever library reports it. A home that this user cannot write gives an
    InputError. A panic of a Rust library and an error of reading name the damaged files of the lake (DamagedError),
    or else the cause (DaypartError).
    """
    if isinstance(error, InputError | KeyboardInterrupt | SystemExit):
        return None
    text = " ".join(str(link) for link in _chain(error))
    number = error.errno if isinstance(error, OSError) else None
    if number in FULL or any(part in text for part in FULL_TEXTS) or ("disk I/O error" in text and _is_full(home)):
        return _full_disk_error(error, home)
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
        return _system_error(error)
    if damages := _damages(home / "lake"):
        from daypart.flows.lake.integrity import damaged_error

        return damaged_error(damages)
    return _panic_error(error, home) if is_panic(error) else _system_error(error)


def is_panic(error: BaseException) -> bool:
    """Return whether a Rust library panicked. Each library has its own class, which does not derive from Exception."""
    return any(kind.__name__ == "PanicException" for kind in type(error).__mro__)


def _full_disk_error(error: BaseException, home: Path) -> DaypartError:
    file = error.filename if isinstance(error, OSError) and error.filename else home
    return DaypartError(f"the disk is full, {file}: free some of it and run again; nothing was half-written")


def _panic_error(error: BaseException, home: Path) -> DaypartError:
    cause = str(error).splitlines()[0][:200] if str(error) else "it says no more"
    remedy = "run again, or `daypart status --verify` to check every file"
    return DaypartError(f"a library broke off while at work on {home} ({cause}): {remedy}")


def _damages(lake: Path) -> list["Damage"]:
    from daypart.flows.lake.integrity import verify
    from daypart.flows.lake.lake import Lake

    return verify(Lake(lake)).damages


def _may_be_broken(error: BaseException, text: str) -> bool:
    return type(error).__module__.startswith("polars") or (
        isinstance(error, OSError) and any(part in text for part in BROKEN_TEXTS)
    )


def _system_error(error: BaseException) -> DaypartError | None:
    """Return an error of the system with its file and cause; null for an error that has neither."""
    if not isinstance(error, OSError) or isinstance(error, BrokenPipeError) or error.strerror is None:
        return None
    resource_name = error.filename if error.filename is not None else "a file or connection"
    return DaypartError(f"{os.fsdecode(resource_name)} cannot be used ({error.strerror}): check it and run again")


def _is_full(home: Path) -> bool:
    """Return whether a write fails for lack of space: on the disk, or within the limit on the size of a file."""
    folder = next(path for path in (home, *home.parents) if path.is_dir())
    limited = resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY
    return limited or shutil.disk_usage(folder).free < MIN_FREE_BYTES


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes."""
    visited: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in visited:
        visited.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
