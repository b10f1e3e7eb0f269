"""Checks of a home: whether this user can read and write it, before the work begins."""

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from daypart.features.errors import InputError, NotKnownError

HOME_NAME = ".daypart"
"""The default name of a home."""
FORBIDDEN_CHARACTERS = "%?*[]|^\\="
"""Characters with a special meaning in the URLs of Delta tables or databases, or in the paths of polars."""


def nearest_home() -> Path:
    """Return the folder `.daypart` in the working folder, else in the nearest folder above that has one.

    If there is none, this is the path of a new one in the working folder.
    """
    working = Path.cwd()
    return next(
        (home for folder in (working, *working.parents) if _is_home(home := folder / HOME_NAME)), working / HOME_NAME
    )


def _is_home(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def absolute(home: Path) -> Path:
    """Return the absolute path of the home; `~` at the start is the user's folder where there is one."""
    try:
        return home.expanduser().absolute()
    except RuntimeError:
        return home.absolute()


def fault_of_name(home: Path) -> str | None:
    """Return why no home can have that path; null if it can."""
    text = str(home)
    if not home.name.strip():
        return "a home needs a name"
    if text.encode("utf-8", "replace").decode() != text:
        return "a home cannot be below a folder whose name is not text in UTF-8"
    faults = [character for character in FORBIDDEN_CHARACTERS if character in text]
    faults += ["a control character"] if any(ord(character) < 32 or ord(character) == 127 for character in text) else []
    if faults:
        return (
            f"a home cannot have {' or '.join(faults)} in its path, which tables or databases read otherwise: rename it"
        )
    return None


def check_exists(home: Path) -> None:
    """Raise NotKnownError if the home does not exist, InputError if this user cannot enter it."""
    check_readable(home)
    if not home.is_dir():
        raise NotKnownError(
            f"no home {home}: check --home or DAYPART_HOME, it may have been moved or deleted; "
            "`daypart ingest stores FILE` makes a new one"
        )


def check_readable(home: Path) -> None:
    """Raise InputError if this user cannot enter the home, or a folder above it."""
    try:
        first = next((path for path in reversed(home.parents) if not _is_accessible(path, os.X_OK)), None)
        if first is None and not _is_accessible(home, os.R_OK | os.X_OK):
            first = home
    except OSError as error:
        raise InputError(f"home {home} cannot be: {error.strerror}; give another --home") from None
    if first is not None:
        raise InputError(_refusal("read", home, first))


def check_writable(home: Path) -> None:
    """Raise InputError if this user cannot write to the home, or cannot create it if it does not exist."""
    check_readable(home)
    for path in _write_paths(home):
        if not os.access(path, os.W_OK | (os.X_OK if path.is_dir() else 0)):
            raise InputError(_refusal("written", home, path))


def _is_accessible(path: Path, mode: int) -> bool:
    """Return false for a folder that this user cannot access in that way (a mode of os.access)."""
    return not path.is_dir() or os.access(path, mode)


def _write_paths(home: Path) -> Iterator[Path]:
    """Yield what commands write to in an existing home; else the folder in which the home would be created."""
    if not home.is_dir():
        yield next(path for path in home.parents if path.is_dir())
        return
    tables = [path for path in (home / "lake").glob("*") if path.is_dir()]
    logs = [table / "_delta_log" for table in tables]
    inside = [home / name for name in ("lake", "mlflow.db", "artifacts", "tune", "refused", "reports")]
    yield home
    yield from (path for path in (*inside, *tables, *logs) if path.exists())


def _refusal(action: str, home: Path, path: Path) -> str:
    user, owner = _user_name(os.geteuid()), _user_name(path.stat().st_uid)
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return f"home {home} cannot be {action} by {user}: {path} is on a read-only file system; give another --home"
    state = f"{stat.filemode(path.stat().st_mode)} of {owner}"
    remedy = f"allow it with `chmod u+rwX {path}`" if owner == user else f"run as {owner}"
    return f"home {home} cannot be {action} by {user}: {path} is {state}; {remedy}, or give another --home"


def _user_name(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"
