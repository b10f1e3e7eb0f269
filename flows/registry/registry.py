"""The registry: what ran and on which data, and the versions of each target's model, in MLflow on SQLite."""

import hashlib
import io
import json
import logging
import os
import random
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from daypart.features.errors import DamagedError, DaypartError, InputError, NotKnownError
from daypart.flows.config.settings import Settings
from daypart.flows.files import process
from daypart.flows.registry import sqlite

ALIASES = ("champion", "challenger")
EXPERIMENT = "daypart"
VERSIONS = {
    **{"version": pl.Int64(), "created_utc": pl.Datetime("us"), "run_id": pl.String()},
    **{"aliases": pl.List(pl.String()), "tags": pl.String()},
}
RUNS = {"run_id": pl.String(), "params": pl.String(), "tags": pl.String()}
BUSY_SECONDS = 60.0
"""How long a call waits for another process to let go of the database."""
PREFIX = "daypart-"
MOST_MODELS = 1000
"""So many MLflow tells of in one call."""
REMEDY = "promote another version, or run `daypart train`"
DATABASE_REMEDY = (
    "restore it from a copy, or move it out of the home and run `daypart train`; what was published stands"
)
OWN = f"SELECT 1 FROM experiments WHERE name = '{EXPERIMENT}'"
"""Has a row in every database that daypart made."""
BATCH = 100
"""Params or metrics that MLflow takes in one call."""


@dataclass(frozen=True)
class StoredModel:
    """A version's files as they are now, their digest, and what is wrong with them (empty: nothing)."""

    unit: str
    version: int
    files: Mapping[str, bytes]
    sha256: str
    fault: str


@dataclass(frozen=True)
class StoredRun:
    """One run with its params and tags."""

    id: str
    params: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def reads(self) -> dict[str, int]:
        """The Delta version of every table that it read."""
        return table_versions(self.tags)


class Registry:
    """The runs and models of one home, which may be moved: files are found beside the database.

    Reading creates nothing. Every call is one transaction that waits for other processes; one that waits in
    vain raises DaypartError, and one to a database that is damaged DamagedError.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._is_held = False

    def record(
        self,
        job: str,
        target: str,
        params: Mapping[str, object],
        metrics: Mapping[str, float | None],
        reads: Mapping[str, int],
        files: Mapping[str, bytes],
        tables: Mapping[str, pl.DataFrame] | None = None,
        kind: str = "model",
        models: Mapping[str, str] | None = None,
    ) -> str:
        """Keeps one run and returns its id: params as text or JSON, metrics that are not null, the Delta
        version of every table read (tags `read.TABLE`), the model's files by name, and tables as Parquet.

        The digest of the files is the tag `KIND.sha256`, as they may be of another kind than a model. `models` are the
        digests of the models that the run used, by name such as orders-v1: one is the tag `model.sha256`, several are
        tags `model.sha256.NAME`. A run that fails here is FAILED. Runs that a dead process of this machine left are
        marked KILLED.
        """
        tags = {f"read.{table}": str(version) for table, version in reads.items()}
        tags |= {"job": job, "target": target, **process.identity(), **_model_tags(models or {})}
        if files:
            tags[f"{kind}.sha256"] = digest(files)
        run = self._begin(f"{job}-{target}", tags)
        try:
            self._log(run, params, metrics)
            _write(self._folder(run), files)
            _write(self._folder(run, "tables"), {f"{n}.parquet": _parquet(t) for n, t in (tables or {}).items()})
        except BaseException:
            self._call("set_terminated", run, "FAILED")
            raise
        self._call("set_terminated", run, "FINISHED")
        return run

    def register(self, target: str, run_id: str, tags: Mapping[str, str]) -> int:
        """Makes a recorded run's files the next version of the target's model; versions count from 1."""
        if not self._folder(run_id).is_dir():
            raise NotKnownError(f"run {run_id} has no model files: record the run with its files first")
        self._call("create_registered_model", _name(target), none_on="RESOURCE_ALREADY_EXISTS")
        source = self._folder(run_id).as_uri()
        created = self._call("create_model_version", _name(target), source, run_id, tags=dict(tags))
        return int(created.version)

    def set_alias(self, target: str, alias: str, version: int) -> None:
        """Points champion or challenger at a version, in one transaction. NotKnownError if there is none."""
        if alias not in ALIASES:
            raise InputError(f"unknown alias {alias!r}: expected {' or '.join(ALIASES)}")
        self._version(target, version)
        self._call("set_registered_model_alias", _name(target), alias, str(version))

    def version_of(self, target: str, alias: str) -> int | None:
        """The version that an alias names; null where it names none."""
        model = self._model(target)
        return int(model.aliases[alias]) if model is not None and alias in model.aliases else None

    def aliases(self) -> dict[str, dict[str, int]]:
        """By unit of which there is a model, the version that each alias names; all in one call."""
        if not self.settings.mlflow_database.exists():
            return {}
        listed = self._call("search_registered_models", max_results=MOST_MODELS)
        return {
            model.name.removeprefix(PREFIX): {alias: int(number) for alias, number in model.aliases.items()}
            for model in listed
        }

    def champions(self) -> dict[str, int]:
        """By unit that has one, the version that its champion alias names; all in one call."""
        return champions_of(self.aliases())

    def load(self, target: str, version: int | str) -> dict[str, bytes]:
        """The files of a version, or of the one that an alias names, exactly as they were recorded.

        Raises NotKnownError where there is no such version, DamagedError where files are gone or changed.
        """
        stored = self.stored(target, version)
        if stored.fault:
            raise DamagedError(stored.fault)
        return dict(stored.files)

    def stored(self, target: str, version: int | str) -> StoredModel:
        """A version, or the one that an alias names, as its files are now. NotKnownError where there is none."""
        model_version = self._version(target, version)
        return self._stored(target, model_version, self._run(model_version.run_id))

    def stored_all(self, versions: Mapping[str, int]) -> Iterator[StoredModel]:
        """The same of a version of each of many units, in a few calls; one after the other is read.

        One that is not there has no files, and that for its fault.
        """
        by_unit = self._many(versions)
        for unit, version in versions.items():
            if unit in by_unit:
                yield self._stored(unit, *by_unit[unit])
            else:
                yield StoredModel(unit, version, {}, "", f"{self._no_version(unit, version)}: {REMEDY}")

    def describe(self, target: str, version: int | str) -> dict[str, Any]:
        """A version's version, run_id, created_utc, params, metrics, and tags, its own over its run's.

        Raises NotKnownError where there is no such version. Of a run that was deleted nothing is told.
        """
        model_version = self._version(target, version)
        return _about(model_version, self._run(model_version.run_id))

    def describe_all(self, versions: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """The same of a version of each of many units, in a few calls; those that are not there are left out."""
        return {unit: _about(*pair) for unit, pair in self._many(versions).items()}

    def tags_all(self, units: Collection[str]) -> dict[str, list[dict[str, str]]]:
        """The own tags of every version of each of many units, in no order, in a few calls."""
        unit_tags: dict[str, list[dict[str, str]]] = {unit: [] for unit in units}
        if not unit_tags or not self.settings.mlflow_database.exists():
            return unit_tags
        query, page = f"name IN ({_quoted([_name(unit) for unit in units])})", None
        while page != "":
            listed = self._call("search_model_versions", query, max_results=MOST_MODELS, page_token=page)
            for version in listed:
                unit_tags[version.name.removeprefix(PREFIX)].append(dict(version.tags))
            page = listed.token or ""
        return unit_tags

    def versions(self, target: str) -> pl.DataFrame:
        """One row per version, oldest first: version, created_utc, run_id, aliases, tags (JSON)."""
        model = self._model(target)
        listed = [] if model is None else self._call("search_model_versions", f"name = '{_name(target)}'")
        rows = [
            {
                **{"version": int(version.version), "created_utc": _moment(version), "run_id": version.run_id},
                **{"aliases": sorted(a for a, v in model.aliases.items() if int(v) == int(version.version))},
                **{"tags": json.dumps(version.tags, sort_keys=True)},
            }
            for version in listed
        ]
        return pl.DataFrame(rows, schema=VERSIONS).sort("version")

    def note(self, name: str, text: str) -> None:
        """Keeps a text under a name, beside the runs; it takes the place of an earlier one."""
        if not self.settings.mlflow_database.exists():
            self._create()
        self._call("set_experiment_tag", self._experiment().experiment_id, name, text)

    def noted(self, name: str) -> str | None:
        """The text that `note` kept under the name; null where there is none."""
        if not self.settings.mlflow_database.exists():
            return None
        text = self._experiment().tags.get(name)
        return None if text is None else str(text)

    def runs(self, job: str, target: str, params: Mapping[str, str]) -> pl.DataFrame:
        """Finished runs of a job for a target with such params, oldest first: run_id, and params and tags (JSON)."""
        if not self.settings.mlflow_database.exists():
            return pl.DataFrame(schema=RUNS)
        conditions = [f"tags.job = '{job}'", f"tags.target = '{target}'", "attributes.status = 'FINISHED'"]
        conditions += [f"params.{name} = '{text}'" for name, text in params.items()]
        listed = self._call(
            "search_runs", [self._experiment().experiment_id], " and ".join(conditions),
            order_by=["attributes.start_time ASC"],
        )  # fmt: skip
        rows = [(run.info.run_id, json.dumps(run.data.params), json.dumps(run.data.tags)) for run in listed]
        return pl.DataFrame(rows, RUNS, orient="row")

    def runs_before(self, moment: datetime | None) -> list[StoredRun]:
        """The runs that ended and were begun before a moment in naive UTC, or all runs; the oldest first."""
        if not self.settings.mlflow_database.exists():
            return []
        runs: list[StoredRun] = []
        page, query = None, ""
        if moment is not None:
            milliseconds = int(moment.replace(tzinfo=UTC).timestamp() * 1000)
            query = f"attributes.status != 'RUNNING' and attributes.start_time < {milliseconds}"
        while page != "":
            listed = self._call(
                "search_runs", [self._experiment().experiment_id], query, order_by=["attributes.start_time ASC"],
                max_results=MOST_MODELS, page_token=page,
            )  # fmt: skip
            runs += [StoredRun(run.info.run_id, run.data.params, run.data.tags) for run in listed]
            page = listed.token or ""
        return runs

    def delete_version(self, target: str, version: int) -> None:
        """Deletes a version of the target's model; its run stays."""
        self._call("delete_model_version", _name(target), str(version), none_on="RESOURCE_DOES_NOT_EXIST")

    def delete_run(self, run_id: str) -> None:
        """Deletes a run for good, its files first."""
        shutil.rmtree(self.run_folder(run_id), ignore_errors=True)
        # MLflow's own `gc` does this, and deletes files where the home was when the run was recorded.
        store = self._connected._tracking_client.store
        try:
            store._hard_delete_run(run_id)
        except Exception as failed:
            if getattr(failed, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                raise

    def run_folder(self, run_id: str) -> Path:
        """Where a run's files lie, wherever the home now is."""
        return self.settings.artifacts.resolve() / run_id

    def _experiment(self) -> Any:
        return self._call("get_experiment_by_name", EXPERIMENT)

    def _model(self, target: str) -> Any:
        """The registered model with its aliases; null where there is none."""
        if not self.settings.mlflow_database.exists():
            return None
        return self._call("get_registered_model", _name(target), none_on="RESOURCE_DOES_NOT_EXIST")

    def _version(self, target: str, version: int | str) -> Any:
        """What MLflow knows of a version, by its number or an alias."""
        model = self._model(target)
        if model is None:
            raise NotKnownError(f"no model for {target} in {self.settings.home}: run `daypart train` first")
        number = model.aliases.get(version) if isinstance(version, str) else version
        if number is None:
            raise NotKnownError(f"no {version} for {target}: run `daypart train` first, or promote a version")
        model_version = self._call("get_model_version", _name(target), str(number), none_on="RESOURCE_DOES_NOT_EXIST")
        if model_version is None:
            raise NotKnownError(self._no_version(target, number))
        return model_version

    def _no_version(self, target: str, number: object) -> str:
        numbers = ", ".join(map(str, self.versions(target)["version"])) or "none"
        return f"no version {number} of {target}: it has {numbers}"

    def _run(self, run_id: str) -> Any:
        """A version's run; null where it was deleted."""
        return self._call("get_run", run_id, none_on="RESOURCE_DOES_NOT_EXIST")

    def _many(self, versions: Mapping[str, int]) -> dict[str, tuple[Any, Any]]:
        """What MLflow knows of a version of each unit and its run; those of one number are asked for at once.

        Without the versions that are not there; null for a run that was deleted.
        """
        by_unit: dict[str, Any] = {}
        for number in sorted(set(versions.values())):
            names = [_name(unit) for unit, version in versions.items() if version == number]
            query = f"version_number = {number} AND name IN ({_quoted(names)})"
            listed = self._call("search_model_versions", query, max_results=MOST_MODELS)
            by_unit |= {version.name.removeprefix(PREFIX): version for version in listed}
        if not by_unit:
            return {}
        query = f"attributes.run_id IN ({_quoted([version.run_id for version in by_unit.values()])})"
        listed = self._call("search_runs", [self._experiment().experiment_id], query, max_results=MOST_MODELS)
        runs = {run.info.run_id: run for run in listed}
        return {unit: (by_unit[unit], runs.get(by_unit[unit].run_id)) for unit in versions if unit in by_unit}

    def _stored(self, unit: str, version: Any, run: Any) -> StoredModel:
        """A version's files beside the digest that its run recorded."""
        folder, name = self._folder(version.run_id), f"version {version.version} of {unit}"
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        recorded, sha256, fault = (run.data.tags.get("model.sha256") if run else None), digest(files), ""
        if run is None:
            fault = f"{name} cannot be checked, its run {version.run_id} was deleted: {REMEDY}"
        elif recorded is None:
            fault = f"{name} cannot be checked, its run {version.run_id} has no tag model.sha256: {REMEDY}"
        elif recorded != sha256:
            fault = f"{name} is damaged, files in {folder} are gone or changed: restore them, {REMEDY}"
        return StoredModel(unit, int(version.version), files, sha256, fault)

    def _folder(self, run_id: str, kind: str = "model") -> Path:
        """Where MLflow lays the files of a run, wherever the home now is."""
        return self.run_folder(run_id) / "artifacts" / kind

    def _log(self, run: str, params: Mapping[str, object], metrics: Mapping[str, float | None]) -> None:
        from mlflow.entities import Metric, Param

        now = time.time_ns() // 1_000_000
        param_list = [Param(n, v if isinstance(v, str) else json.dumps(v, default=str)) for n, v in params.items()]
        counted = [Metric(name, float(v), now, 0) for name, v in metrics.items() if v is not None]
        for first in range(0, max(len(param_list), len(counted)), BATCH):
            batch = slice(first, first + BATCH)
            self._call("log_batch", run, counted[batch], param_list[batch])

    def _begin(self, name: str, tags: Mapping[str, str]) -> str:
        """A new run's id, once the runs of this machine's dead processes are marked KILLED."""
        if not self.settings.mlflow_database.exists():
            self._create()
        experiment = self._experiment().experiment_id
        for run in self._call("search_runs", [experiment], "attributes.status = 'RUNNING'"):
            if not process.lives(run.data.tags):
                self._call("set_terminated", run.info.run_id, "KILLED")
        return str(self._call("create_run", experiment, tags=tags, run_name=name).info.run_id)

    def _create(self) -> None:
        """Makes the database beside its place and puts it there whole, unless another process was first."""
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
    def _connected(self) -> Any:
        # MLflow would fill an empty file, and try for minutes to open what is none.
        sqlite.check(self.settings.mlflow_database, OWN, DATABASE_REMEDY)
        return _client(self.settings.mlflow_database)

    def _call(self, method: str, *args: Any, none_on: str = "", **kwargs: Any) -> Any:
        """What MLflow's client answers, null for one error code; waits while another process writes."""
        database = self.settings.mlflow_database
        # What was waited for in vain is not waited for again.
        give_up = time.monotonic() + (0 if self._is_held else BUSY_SECONDS)
        while True:
            try:
                answer = getattr(self._connected, method)(*args, **kwargs)
                self._is_held = False
                return answer
            except Exception as failed:
                if none_on and getattr(failed, "error_code", "") == none_on:
                    return None
                if not sqlite.is_locked(failed):
                    raise sqlite.described(database, failed, DATABASE_REMEDY) or failed from None
            if time.monotonic() > give_up:
                self._is_held = True
                raise DaypartError(f"{database} is held by another process: end it and run again")
            time.sleep(random.uniform(0.01, 0.1))


def _client(database: Path) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # While it opens a store MLflow waits as long as this says, afterwards 20 seconds whatever it says.
    uri = f"sqlite:///{database.resolve()}?timeout=1"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def champions_of(aliases: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """By unit that has one, the version that its champion alias names, of aliases as `Registry.aliases` has them."""
    return {unit: versions["champion"] for unit, versions in aliases.items() if "champion" in versions}


def table_versions(tags: Mapping[str, str]) -> dict[str, int]:
    """The Delta version of every table that a run read, from its tags or its model version's."""
    return {name.removeprefix("read."): int(text) for name, text in tags.items() if name.startswith("read.")}


def _name(target: str) -> str:
    if set("/:") & set(target):
        raise NotKnownError(f"no unit {target!r}: names of units have no / and no :, see `daypart portfolio`")
    return f"{PREFIX}{target}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _about(version: Any, run: Any) -> dict[str, Any]:
    """A version with its run, as `describe` has it."""
    params, metrics, run_tags = (run.data.params, run.data.metrics, run.data.tags) if run else ({}, {}, {})
    tags = {name: text for name, text in run_tags.items() if not name.startswith("mlflow.")}
    return {
        **{"version": int(version.version), "run_id": version.run_id, "created_utc": _moment(version)},
        **{"params": params, "metrics": metrics, "tags": {**tags, **version.tags}},
    }


def _moment(version: Any) -> datetime:
    return datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).replace(tzinfo=None)


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _model_tags(models: Mapping[str, str]) -> dict[str, str]:
    """The digests of the models that a run used, as its tags."""
    if len(set(models.values())) == 1:
        return {"model.sha256": next(iter(models.values()))}
    return {f"model.sha256.{name}": sha256 for name, sha256 in models.items()}


def digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 of files, over their names and contents together."""
    hasher = hashlib.sha256()
    for name in sorted(files):
        hasher.update(f"{name}:{len(files[name])}:".encode() + files[name])
    return hasher.hexdigest()
