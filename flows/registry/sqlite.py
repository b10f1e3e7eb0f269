"""Checks of SQLite databases: what is wrong with a file, in one line that names the remedy."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from daypart.features.errors import DamagedError, DaypartError

MAGIC = b"SQLite format 3\0"
DAMAGE = ("malformed", "not a database", "no such table", "no such column", "disk I/O error")
"""Parts of SQLite's messages about a damaged file."""


def check(database: Path, query: str, remedy: str) -> None:
    """Raise DamagedError, with the remedy, if the file is no SQLite database in which the query has a row.

    Raises DaypartError if the file cannot be opened, and sqlite3's error if another process holds it. Creates nothing.
    """
    if database.is_dir():
        raise _damaged_error(database, "a folder", remedy)
    try:
        with database.open("rb") as file:
            header = file.read(len(MAGIC))
        if header != MAGIC:
            raise _damaged_error(database, "no SQLite database" if header else "empty", remedy)
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True, timeout=0)) as connection:
            if connection.execute(query).fetchone() is None:
                raise _damaged_error(database, "another database than daypart made", remedy)
    except (OSError, sqlite3.Error) as error:
        if is_locked(error):
            raise
        raise damage_error(database, error, remedy) or DaypartError(
            f"{database} cannot be opened ({error}): give this user the right to read and write it and its folder"
        ) from None


def move_prefix(database: Path, columns: Mapping[str, Sequence[str]], before: str, after: str) -> None:
    """Replace the beginning `before` of texts in columns, by table, by `after`, in one transaction.

    Only whole parts of paths count: what goes on after `before` begins with a slash. Raises sqlite3's error if another
    process holds the database.
    """
    with closing(sqlite3.connect(database, timeout=0)) as connection, connection:
        for table, names in columns.items():
            for name in names:
                connection.execute(
                    f"UPDATE {table} SET {name} = ? || substr({name}, ?) WHERE substr({name} || '/', 1, ?) = ? || '/'",
                    (after, len(before) + 1, len(before) + 1, before),
                )


def damage_error(database: Path, error: Exception, remedy: str) -> DamagedError | None:
    """Return the error to raise if a library's error says that the database is damaged; else null."""
    fault = next((text for text in DAMAGE if text in str(error)), None)
    return None if fault is None else _damaged_error(database, f"damaged ({fault})", remedy)


def is_locked(error: Exception) -> bool:
    """Return whether a library's error says that another process holds the database, or came first with a dataset."""
    return "database is locked" in str(error) or "UNIQUE constraint failed: datasets" in str(error)


def _damaged_error(database: Path, fault: str, remedy: str) -> DamagedError:
    return DamagedError(f"{database} is {fault}: {remedy}")
