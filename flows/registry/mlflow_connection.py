"""The connection to MLflow's SQLite database: one call is one transaction, which waits for other processes."""

import logging
import os
import random
import time
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from daypart.features.errors import DaypartError
from daypart.flows.config.settings import Settings
from daypart.flows.files import process
from daypart.flows.registry import sqlite

TRAININGS = "daypart-trainings"
EXPERIMENTS = {
    TRAININGS: "Trainings: one run per unit and date, with its recipe, accuracy and files.",
    "daypart-forecasts": "Forecasts: one run per target and origin, with the models and the data that made it.",
    "daypart-monitoring": "Monitoring: one run per model version that serves, with its accuracy by night.",
    "daypart-tuning": "Searches for better settings: one run per target and search.",
}
"""Experiments by name, with the description that their pages show."""
JOBS = {"forecast": "daypart-forecasts", "monitor": "daypart-monitoring", "tune": "daypart-tuning"}
"""The experiment of each job's runs; those of other jobs are TRAININGS."""
FORMER_EXPERIMENT = "daypart"
"""The one experiment of homes that earlier releases made; its runs stay in it."""
DESCRIPTION_TAG = "mlflow.note.content"
KIND_TAG = {"mlflow.experimentKind": "custom_model_development"}
"""Lets MLflow's page show runs of model training, and not of language models."""
LOCATIONS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
}
"""Columns of MLflow's tables that say where files are."""
BUSY_SECONDS = 60.0
"""Time that a call waits for another process to release the database."""
DATABASE_REMEDY = (
    "restore it from a copy, or move it out of the home and run `daypart train`; what was published stands"
)
OWN_DATABASE_QUERY = f"SELECT 1 FROM experiments WHERE name IN ('{FORMER_EXPERIMENT}', '{TRAININGS}')"
"""Has a row in every database that daypart made."""


class MlflowConnection:
    """MLflow in the home of the settings.

    Reading creates nothing. A call that waits in vain for another process raises DaypartError, and a call to a
    damaged database raises DamagedError.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._is_held = False
        self._ids: dict[str, str] = {}

    @property
    def _exists(self) -> bool:
        return self.settings.mlflow_database.exists()

    def _experiment(self) -> Any:
        """Return the experiment that has been there longest: notes are its tags."""
        ids = self._experiment_ids()
        return self._call("get_experiment", ids[0])

    def _experiment_ids(self) -> list[str]:
        """Return the ids of all of daypart's experiments, the oldest first."""
        if not self._ids:
            self._ids = {name: experiment.experiment_id for name, experiment in self._experiments().items()}
        return sorted(self._ids.values(), key=int)

    def _experiment_id(self, job: str) -> str:
        """Return the id of the experiment of a job's runs, which homes of earlier releases get when they need it."""
        name, experiments = JOBS.get(job, TRAININGS), self._experiments()
        if name not in experiments:
            self._call("create_experiment", *self._experiment_fields(name), none_on="RESOURCE_ALREADY_EXISTS")
            experiments = self._experiments()
        self._follow_home({experiment.artifact_location for experiment in experiments.values()})
        self._ids = {name: experiment.experiment_id for name, experiment in experiments.items()}
        return self._ids[name]

    def _experiments(self) -> dict[str, Any]:
        """Return daypart's experiments by name."""
        listed = self._call("search_experiments", filter_string=f"name LIKE '{FORMER_EXPERIMENT}%'")
        ours = {FORMER_EXPERIMENT, *EXPERIMENTS}
        return {experiment.name: experiment for experiment in listed if experiment.name in ours}

    def _follow_home(self, locations: set[str]) -> None:
        """Let MLflow find the files of all runs where the home is now, if it was moved or copied since the last run.

        MLflow has no call for this. daypart itself finds files relative to the database.
        """
        location, database = self.settings.artifacts.resolve().as_uri(), self.settings.mlflow_database
        for before in locations - {location}:
            self._wait_for(partial(sqlite.move_prefix, database, LOCATIONS, before, location))

    def _experiment_fields(self, name: str) -> tuple[str, str, dict[str, str]]:
        """Return an experiment's name, the place of its files and its tags."""
        return name, self.settings.artifacts.resolve().as_uri(), {DESCRIPTION_TAG: EXPERIMENTS[name], **KIND_TAG}

    def _create(self) -> None:
        """Create the database under another name and link it to its path, unless another process was first."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        database = self.settings.mlflow_database
        partial = database.with_name(f".{database.name}.{process.SESSION}")
        try:
            client = _client(partial)
            for name in EXPERIMENTS:
                client.create_experiment(*self._experiment_fields(name))
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
        return self._wait_for(lambda: getattr(self._mlflow_client, method)(*args, **kwargs), none_on)

    def _wait_for(self, call: Callable[[], Any], none_on: str = "") -> Any:
        """Return the answer of a call to the database, null for the error code `none_on`; wait while others write."""
        database = self.settings.mlflow_database
        # After one call has waited in vain, the next one does not wait again.
        give_up = time.monotonic() + (0 if self._is_held else BUSY_SECONDS)
        while True:
            try:
                answer = call()
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
