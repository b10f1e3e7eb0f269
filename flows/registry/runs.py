"""Runs: what a job did, on which versions of the data, with the files and tables that it made."""

import io
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from daypart.flows.files import process
from daypart.flows.registry.datasets import dataset_inputs
from daypart.flows.registry.mlflow_connection import DESCRIPTION_TAG, MlflowConnection
from daypart.flows.registry.model_files import digest

RUN_LIST = {"run_id": pl.String(), "params": pl.String(), "tags": pl.String()}
PAGE_SIZE = 1000
"""Number of runs or model versions that MLflow returns in one call."""
BATCH = 100
"""Number of params or metrics that MLflow accepts in one call."""


@dataclass(frozen=True)
class RunRecord:
    """One run to record: its job and target, params, metrics, and what it read, made and used.

    `params` are stored as text or JSON, and metrics that are null are left out. `reads` has the Delta version of
    every table that was read, and is stored as tags `read.TABLE`. `files` are the model's files by name; their digest
    is the tag `KIND.sha256`, as they may be of another `kind` than a model. `tables` are stored as Parquet. `models`
    has the digests of the models that the run used, by name such as orders-v1: one is stored as the tag
    `model.sha256`, several as tags `model.sha256.NAME`. `curves` are metrics over steps, each stored beside `metrics`
    under its own name. `pictures` are files that MLflow's page shows, as
    is the `description`. A run is named after its `label`, by default the target, and the
    date of its params `origin` or `as_of`.
    """

    job: str
    target: str
    params: Mapping[str, object]
    metrics: Mapping[str, float | None]
    reads: Mapping[str, int]
    files: Mapping[str, bytes] = field(default_factory=dict)
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    kind: str = "model"
    models: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    description: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        """Return the name of the run, such as `orders 2025-03-01`."""
        day = self.params.get("origin") or self.params.get("as_of")
        name = self.label or self.target
        return f"{name} {day}" if day else name

    def tags(self) -> dict[str, str]:
        """Return the tags of the run, with the identity of this process."""
        tags = {f"read.{table}": str(version) for table, version in self.reads.items()}
        tags |= {"job": self.job, "target": self.target, **process.identity(), **_model_tags(self.models)}
        tags |= {"mlflow.source.name": f"daypart {self.job}", "mlflow.source.type": "LOCAL"}
        if self.description:
            tags[DESCRIPTION_TAG] = self.description
        if self.files:
            tags[f"{self.kind}.sha256"] = digest(self.files)
        return tags


@dataclass(frozen=True)
class StoredRun:
    """One run with its params and tags."""

    id: str
    params: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def reads(self) -> dict[str, int]:
        """Return the Delta version of every table that the run read."""
        return table_versions(self.tags)


class RunRegistry(MlflowConnection):
    """The runs of one home. The home may be moved, because the files of a run are found relative to it."""

    def record(self, run: RunRecord) -> str:
        """Record one run and return its id.

        If this fails, the run is marked FAILED. Runs that a dead process of this machine left are marked KILLED.
        """
        run_id = self._begin(run)
        try:
            self._log(run_id, run)
            _write(self._folder(run_id), run.files)
            _write(self._folder(run_id, "pictures"), run.pictures)
            _write(self._folder(run_id, "tables"), {f"{name}.parquet": _parquet(t) for name, t in run.tables.items()})
        except BaseException:
            self._call("set_terminated", run_id, "FAILED")
            raise
        self._call("set_terminated", run_id, "FINISHED")
        return run_id

    def runs(self, job: str, target: str, params: Mapping[str, str]) -> pl.DataFrame:
        """Return the finished runs of a job for a target with such params: run_id, and params and tags as JSON.

        The oldest run is first.
        """
        if not self._exists:
            return pl.DataFrame(schema=RUN_LIST)
        conditions = [f"tags.job = '{job}'", f"tags.target = '{target}'", "attributes.status = 'FINISHED'"]
        conditions += [f"params.{name} = '{text}'" for name, text in params.items()]
        listed = self._call(
            "search_runs", self._experiment_ids(), " and ".join(conditions),
            order_by=["attributes.start_time ASC"],
        )  # fmt: skip
        rows = [(run.info.run_id, json.dumps(run.data.params), json.dumps(run.data.tags)) for run in listed]
        return pl.DataFrame(rows, RUN_LIST, orient="row")

    def runs_before(self, moment: datetime | None) -> list[StoredRun]:
        """Return the runs that have ended and began before a time in naive UTC, or all runs; the oldest first."""
        if not self._exists:
            return []
        runs: list[StoredRun] = []
        page, query = None, ""
        if moment is not None:
            milliseconds = int(moment.replace(tzinfo=UTC).timestamp() * 1000)
            query = f"attributes.status != 'RUNNING' and attributes.start_time < {milliseconds}"
        while page != "":
            listed = self._call(
                "search_runs", self._experiment_ids(), query, order_by=["attributes.start_time ASC"],
                max_results=PAGE_SIZE, page_token=page,
            )  # fmt: skip
            runs += [StoredRun(run.info.run_id, run.data.params, run.data.tags) for run in listed]
            page = listed.token or ""
        return runs

    def delete_run(self, run_id: str) -> None:
        """Delete a run permanently, its files first."""
        shutil.rmtree(self.run_folder(run_id), ignore_errors=True)
        # MLflow's own `gc` deletes files where the home was when the run was recorded.
        store = self._mlflow_client._tracking_client.store
        try:
            store._hard_delete_run(run_id)
        except Exception as failed:
            if getattr(failed, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                raise

    def run_folder(self, run_id: str) -> Path:
        """Return the folder of a run's files, wherever the home is now."""
        return self.settings.artifacts.resolve() / run_id

    def write_note(self, name: str, text: str) -> None:
        """Store a text under a name, beside the runs; it replaces an earlier text of that name."""
        if not self._exists:
            self._create()
        self._call("set_experiment_tag", self._experiment().experiment_id, name, text)

    def read_note(self, name: str) -> str | None:
        """Return the text that `write_note` stored under the name; null where there is none."""
        if not self._exists:
            return None
        text = self._experiment().tags.get(name)
        return None if text is None else str(text)

    def _folder(self, run_id: str, kind: str = "model") -> Path:
        """Return the folder in which MLflow puts files of a run, wherever the home is now."""
        return self.run_folder(run_id) / "artifacts" / kind

    def _log(self, run_id: str, run: RunRecord) -> None:
        from mlflow.entities import Metric, Param

        now = time.time_ns() // 1_000_000
        params = [Param(n, v if isinstance(v, str) else json.dumps(v, default=str)) for n, v in run.params.items()]
        metrics = [Metric(name, float(v), now, 0) for name, v in run.metrics.items() if v is not None]
        metrics += [
            Metric(name, value, now, step) for name, values in run.curves.items() for step, value in enumerate(values)
        ]
        for first in range(0, max(len(params), len(metrics)), BATCH):
            batch = slice(first, first + BATCH)
            self._call("log_batch", run_id, metrics[batch], params[batch])
        if run.reads:
            self._call("log_inputs", run_id, datasets=dataset_inputs(self.settings.lake, run.reads))

    def _begin(self, run: RunRecord) -> str:
        """Begin a run and return its id, after marking the runs of this machine's dead processes KILLED."""
        if not self._exists:
            self._create()
        experiment = self._experiment_id(run.job)
        for left in self._call("search_runs", self._experiment_ids(), "attributes.status = 'RUNNING'"):
            if not process.lives(left.data.tags):
                self._call("set_terminated", left.info.run_id, "KILLED")
        return str(self._call("create_run", experiment, tags=run.tags(), run_name=run.name).info.run_id)


def table_versions(tags: Mapping[str, str]) -> dict[str, int]:
    """Return the Delta version of every table that a run read, from its tags or those of its model version."""
    return {name.removeprefix("read."): int(text) for name, text in tags.items() if name.startswith("read.")}


def _model_tags(models: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of the models that a run used, as its tags."""
    if len(set(models.values())) == 1:
        return {"model.sha256": next(iter(models.values()))}
    return {f"model.sha256.{name}": sha256 for name, sha256 in models.items()}


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
