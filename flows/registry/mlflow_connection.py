"""The connection to MLflow's SQLite database: one call is one transaction, which waits for other processes."""

import logging
import os
import random
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from daypart.features.errors import DaypartError
from daypart.flows.config.settings import Settings
from daypart.flows.files import process
from daypart.flows.registry import sqlite

EXPERIMENT = "daypart"
BUSY_SECONDS = 60.0
"""Time that a call waits for another process to release the database."""
DATABASE_REMEDY = (
    "restore it from a copy, or move it out of the home and run `daypart train`; what was published stands"
)
OWN_DATABASE_QUERY = f"SELECT 1 FROM experiments WHERE name = '{EXPERIMENT}'"
"""Has a row in every database that daypart made."""


class MlflowConnection:
    """MLflow in the home of the settings.

    Reading creates nothing. A call that waits in vain for another process raises DaypartError, and a call to a
    damaged database raises DamagedError.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._is_held = False

    @property
    def _exists(self) -> bool:
        return self.settings.mlflow_database.exists()

    def _experiment(self) -> Any:
        return self._call("get_experiment_by_name", EXPERIMENT)

    def _create(self) -> None:
        """Create the database under another name and link it to its path, unless another process was first."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        database = self.settings.mlflow_database
        partial = database.with_name(f".{database.name}.{process.SESSION}")
        try:
            _client(partial).create_experiment(EXPERIMENT, self.settings.artifacts.resolve().as_uri())
            os.link(partial, database)
        except FileExistsError:
            pass
        finally:
            partial.unlink(missing_ok=True)

    @cached_property
    def _mlflow_client(self) -> Any:
        # MLflow would fill an empty file, and would try for minutes to open a file that is no database.
        sqlite.check(self.settings.mlflow_database, OWN_DATABASE_QUERY, DATABASE_REMEDY)
        return _client(self.settings.mlflow_database)

    def _call(self, method: str, *args: Any, none_on: str = "", **kwargs: Any) -> Any:
        """Return the answer of MLflow's client, null for the error code `none_on`; wait while others write."""
        database = self.settings.mlflow_database
        # After one call has waited in vain, the next one does not wait again.
        give_up = time.monotonic() + (0 if self._is_held else BUSY_SECONDS)
        while True:
            try:
                answer = getattr(self._mlflow_client, method)(*args, **kwargs)
                self._is_held = False
                return answer
            except Exception as failed:
                if none_on and getattr(failed, "error_code", "") == none_on:
                    return None
                if not sqlite.is_locked(failed):
                    raise sqlite.damage_error(database, failed, DATABASE_REMEDY) or failed from None
            if time.monotonic() > give_up:
                self._is_held = True
                raise DaypartError(f"{database} is held by another process: end it and run again")
            time.sleep(random.uniform(0.01, 0.1))


def _client(database: Path) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # MLflow waits as long as this timeout while it opens a store, and 20 seconds afterwards whatever it says.
    uri = f"sqlite:///{database.resolve()}?timeout=1"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)
