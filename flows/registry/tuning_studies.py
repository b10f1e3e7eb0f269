"""Studies: where the trials of a search are kept, so that it goes on where it was left."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from daypart.features.errors import DaypartError

if TYPE_CHECKING:
    from optuna import Study


@contextmanager
def opened(folder: Path, name: str) -> Iterator["Study"]:
    """The study of that name from its own SQLite file in the folder, which is made if need be.

    It is this process's alone meanwhile, so that a trial found running was cut off. Raises DaypartError where another
    process has it.
    """
    from optuna.storages import RDBStorage

    from daypart.forecasting.models import tuning

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        try:
            # The system lets go of it when the process ends, however that ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DaypartError(f"{folder / name}.db is used by another process: wait for its end, or end it") from None
        storage = RDBStorage(url(_file(folder, name)))
        try:
            yield tuning.study(name, storage)
        finally:
            storage.engine.dispose()


def url(database: Path) -> str:
    """The address of a database file; Optuna fills in what is in braces."""
    return f"sqlite:///{database}".replace("{", "{{").replace("}", "}}")


def _file(folder: Path, name: str) -> Path:
    """The study's file, which is put in its place once it has its tables."""
    from optuna.storages import RDBStorage

    path, partial = folder / f"{name}.db", folder / f".{name}.partial.db"
    if not path.exists():
        partial.unlink(missing_ok=True)
        RDBStorage(url(partial)).engine.dispose()
        partial.replace(path)
    return path
