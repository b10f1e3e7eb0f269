"""Tuning studies: files that hold the trials of a search, so that a later search continues it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daypart.flows.files.atomic_files import atomic_write
from daypart.flows.files.lock import file_lock

if TYPE_CHECKING:
    from optuna import Study


@contextmanager
def open_study(folder: Path, name: str) -> Iterator["Study"]:
    """Open the study of that name from its own SQLite file in the folder. Creates both if they are missing.

    Only this process uses the study within the block, so a trial that is marked as running was interrupted. Raises
    DaypartError if another process uses it.
    """
    from optuna.storages import RDBStorage

    from daypart.forecasting.models import tuning

    busy = f"{folder / name}.db is used by another process: wait for its end, or end it"
    with file_lock(folder / f"{name}.lock", wait=False, busy=busy):
        storage = RDBStorage(url(_database(folder, name)))
        try:
            yield tuning.study(name, storage)
        finally:
            storage.engine.dispose()


def url(database: Path) -> str:
    """Return the URL of a database file. Braces are doubled, since Optuna formats the URL."""
    return f"sqlite:///{database}".replace("{", "{{").replace("}", "}}")


def _database(folder: Path, name: str) -> Path:
    """Return the path of the study's database. A new file appears only once it has its tables."""
    from optuna.storages import RDBStorage

    path = folder / f"{name}.db"
    if not path.exists():
        with atomic_write(path, mode=0o644) as draft:
            RDBStorage(url(draft)).engine.dispose()
    return path
