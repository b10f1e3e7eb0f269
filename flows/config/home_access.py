"""Homes: whether this user can read and write one, asked before the work rather than at its end."""

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from daypart.features.errors import InputError, NotKnownError

NAME = ".daypart"
"""A home's name where none is given."""
UNREADABLE = "%?*[]|^\\="
"""Characters that Delta's, polars' or the database's addresses read as something else than a name."""


def nearest_home() -> Path:
    """The folder `.daypart` in the working folder, else in the nearest folder above that has one.

    Where there is none it is the one that the working folder would have.
    """
    working = Path.cwd()
    return next((home for folder in (working, *working.parents) if _is_home(home := folder / NAME)), working / NAME)


def _is_home(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def absolute(home: Path) -> Path:
    """The same folder whatever the working folder becomes; a first `~` is the user's folder where there is one."""
    try:
        return home.expanduser().absolute()
    except RuntimeError:
        return home.absolute()


def fault_of_name(home: Path) -> str | None:
    """Why no home can have that path, in words; null where one can."""
    text = str(home)
    if not home.name.strip():
        return "a home needs a name"
    if text.encode("utf-8", "replace").decode() != text:
        return "a home cannot be below a folder whose name is not text in UTF-8"
    faults = [character for character in UNREADABLE if character in text]
    faults += ["a control character"] if any(ord(character) < 32 or ord(character) == 127 for character in text) else []
    if faults:
        return (
            f"a home cannot have {' or '.join(faults)} in its path, which tables or databases read otherwise: rename it"
        )
    return None


def check_exists(home: Path) -> None:
    """Raises NotKnownError where the home is not there, InputError where this user cannot enter it."""
    check_readable(home)
    if not home.is_dir():
        raise NotKnownError(
            f"no home {home}: check --home or DAYPART_HOME, it may have been moved or deleted; "
            "`daypart ingest stores FILE` makes a new one"
        )


def check_readable(home: Path) -> None:
    """Raises InputError where this user cannot enter the home, or what it lies in."""
    try:
        first = next((path for path in reversed(home.parents) if not _enters(path, os.X_OK)), None)
        if first is None and not _enters(home, os.R_OK | os.X_OK):
            first = home
    except OSError as error:
        raise InputError(f"home {home} cannot be: {error.strerror}; give another --home") from None
    if first is not None:
        raise InputError(_refused("read", home, first))


def check_writable(home: Path) -> None:
    """Raises InputError where this user cannot write to the home, or cannot make it where it is not there."""
    check_readable(home)
    for path in _written(home):
        if not os.access(path, os.W_OK | (os.X_OK if path.is_dir() else 0)):
            raise InputError(_refused("written", home, path))


def _enters(path: Path, how: int) -> bool:
    """Whether the path is no folder that is closed to this user."""
    return not path.is_dir() or os.access(path, how)


def _written(home: Path) -> Iterator[Path]:
    """What commands write to, of a home that is there; else the folder in which it would be made."""
    if not home.is_dir():
        yield next(path for path in home.parents if path.is_dir())
        return
    tables = [path for path in (home / "lake").glob("*") if path.is_dir()]
    logs = [table / "_delta_log" for table in tables]
    inside = [home / name for name in ("lake", "mlflow.db", "artifacts", "tune", "refused", "reports")]
    yield home
    yield from (path for path in (*inside, *tables, *logs) if path.exists())


def _refused(what: str, home: Path, path: Path) -> str:
    user, owner = _name(os.geteuid()), _name(path.stat().st_uid)
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"home {home} cannot be {what} by {user}: {path} is on a read-only file system; give another --home"
    state = f"{stat.filemode(path.stat().st_mode)} of {owner}"
    remedy = f"allow it with `chmod u+rwX {path}`" if owner == user else f"run as {owner}"
    return f"home {home} cannot be {what} by {user}: {path} is {state}; {remedy}, or give another --home"


def _name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
