"""The registry: MLflow on SQLite, holding runs, model versions and the aliases champion and challenger."""

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.errors import NotKnownError
from flows.adapters.settings import Settings

EXPERIMENT = "daypart"
FOLDER = "model"


class Registry:
    """Runs and versioned models of one home. Registering and moving an alias are single database commits."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None

    def record(
        self,
        job: str,
        target: str,
        params: Mapping[str, object],
        metrics: Mapping[str, float],
        reads: Mapping[str, int],
        files: Mapping[str, bytes],
    ) -> str:
        """Logs one finished run with its files and the Delta version of every table it read; the run's id.

        A run that fails here is marked FAILED. Runs that a dead process of this machine left are marked KILLED.
        """
        client, experiment = self._connected()
        self._bury(client, experiment)
        tags = {f"read.{table}": str(version) for table, version in reads.items()}
        tags |= {"job": job, "target": target, "pid": str(os.getpid()), "mlflow.runName": f"{job}-{target}"}
        run = client.create_run(experiment, tags=tags).info.run_id
        try:
            for name, value in params.items():
                client.log_param(run, name, value)
            for name, number in metrics.items():
                client.log_metric(run, name, float(number))
            with tempfile.TemporaryDirectory() as folder:
                for name, content in files.items():
                    (Path(folder) / name).write_bytes(content)
                if files:
                    client.log_artifacts(run, folder, FOLDER)
        except BaseException:
            client.set_terminated(run, "FAILED")
            raise
        client.set_terminated(run, "FINISHED")
        return str(run)

    def register(self, target: str, run_id: str, tags: Mapping[str, str]) -> int:
        """A new version of the target's model from a recorded run's files."""
        from mlflow.exceptions import MlflowException

        client, _ = self._connected()
        try:
            client.create_registered_model(_name(target))
        except MlflowException as failed:
            if failed.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{client.get_run(run_id).info.artifact_uri}/{FOLDER}"
        return int(client.create_model_version(_name(target), source, run_id, tags=dict(tags)).version)

    def set_alias(self, target: str, alias: str, version: int) -> None:
        """Points an alias at a version."""
        client, _ = self._connected()
        client.set_registered_model_alias(_name(target), alias, str(version))

    def version_of(self, target: str, alias: str) -> int | None:
        """The version that an alias names, null where there is none."""
        from mlflow.exceptions import MlflowException

        if not self._settings.mlflow_database.exists():
            return None
        client, _ = self._connected()
        try:
            return int(client.get_model_version_by_alias(_name(target), alias).version)
        except MlflowException:
            return None

    def load(self, target: str, version: int) -> dict[str, bytes]:
        """The files of a version. Raises NotKnownError where its artifacts are gone."""
        client, _ = self._connected()
        run = client.get_model_version(_name(target), str(version)).run_id
        folder = Path(client.get_run(run).info.artifact_uri.removeprefix("file://")) / FOLDER
        if not (folder / "model.json").is_file():
            raise NotKnownError(
                f"version {version} of {target} has no files at {folder}: restore them, or run `daypart train`"
            )
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}

    def describe(self, target: str, version: int) -> dict[str, dict[str, Any]]:
        """Params, metrics and tags of the run behind a version."""
        client, _ = self._connected()
        found = client.get_model_version(_name(target), str(version))
        data = client.get_run(found.run_id).data
        return {"params": data.params, "metrics": data.metrics, "tags": {**data.tags, **found.tags}}

    def _connected(self) -> tuple[Any, str]:
        if self._client is None:
            self._client = self._connect()
        client, experiment = self._client
        return client, experiment

    def _connect(self) -> tuple[Any, str]:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        from mlflow import MlflowClient

        self._settings.home.mkdir(parents=True, exist_ok=True)
        database = f"sqlite:///{self._settings.mlflow_database.resolve()}"
        client = MlflowClient(tracking_uri=database, registry_uri=database)
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return client, found.experiment_id
        return client, client.create_experiment(EXPERIMENT, self._settings.artifacts.resolve().as_uri())

    def _bury(self, client: Any, experiment: str) -> None:
        for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
            pid = run.data.tags.get("pid")
            if pid and not _alive(int(pid)):
                client.set_terminated(run.info.run_id, "KILLED")


def _name(target: str) -> str:
    return f"daypart-{target}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
