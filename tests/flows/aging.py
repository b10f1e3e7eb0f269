"""Time that passes in a moment: what a home holds is made to have been written earlier."""

import os
import re
import sqlite3
import time
from collections.abc import Collection
from contextlib import closing
from datetime import timedelta
from pathlib import Path

TIMES = re.compile(rb'"(timestamp|modificationTime|deletionTimestamp)":(\d{13})')


def files(home: Path) -> set[Path]:
    """The home's files but those of the audit, whose bytes are never changed."""
    home_files = (path for path in home.rglob("*") if path.is_file() and home / "lake" / "audit" not in path.parents)
    return {path for path in home_files if path.suffix != ".db"}


def age(home: Path, by: timedelta, unchanged: Collection[Path] = ()) -> None:
    """Moves the times of files, log entries and runs back; of those alone that were written in the last hour.

    Files that are `unchanged` stay as they are.
    """
    for path in files(home) - set(unchanged):
        if path.suffix == ".json" and path.parent.name == "_delta_log":
            path.write_bytes(TIMES.sub(lambda match: _earlier(match, by), path.read_bytes()))
        if time.time() - path.stat().st_mtime < 3600:
            written = path.stat().st_mtime - by.total_seconds()
            os.utime(path, (written, written))
    database = home / "mlflow.db"
    if database.exists():
        milliseconds, recent = by // timedelta(milliseconds=1), int((time.time() - 3600) * 1000)
        with closing(sqlite3.connect(database)) as connection, connection:
            for table, columns in {"runs": ("start_time", "end_time"), "model_versions": ("creation_time",)}.items():
                moved = ", ".join(f"{name} = {name} - {milliseconds}" for name in columns)
                connection.execute(f"UPDATE {table} SET {moved} WHERE {columns[0]} > {recent}")


def _earlier(match: re.Match[bytes], by: timedelta) -> bytes:
    moment = int(match[2])
    # What lies in the past was moved before, such as the time of a file in the commit that removes it.
    recent = time.time() * 1000 - moment < 3_600_000
    return b'"%b":%d' % (match[1], moment - by // timedelta(milliseconds=1) if recent else moment)
