"""The registry: the runs of jobs, and the versions and aliases of each target's model, in MLflow on SQLite."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from daypart.features.errors import DamagedError, InputError, NotKnownError
from daypart.flows.registry.model_files import MODEL_REMEDY, StoredModel, read_model
from daypart.flows.registry.night_runs import NightRegistry
from daypart.flows.registry.runs import PAGE_SIZE

ALIASES = ("champion", "challenger")
VERSION_LIST = {
    **{"version": pl.Int64(), "created_utc": pl.Datetime("us"), "run_id": pl.String()},
    **{"aliases": pl.List(pl.String()), "tags": pl.String()},
}
MODEL_PREFIX = "daypart-"
MODEL_DESCRIPTION = """The models of the unit `{unit}`. The version `champion` makes its forecasts; `challenger` was \
trained last.

Load the champion with `mlflow.pyfunc.load_model("models:/{name}@champion")`. It predicts from the rows of \
`daypart.flows.jobs.model_input`."""
"""What the page of a unit's model says."""


class Registry(NightRegistry):
    """The runs and models of one home. A model is that of a unit: a target, or one segment of a target.

    The home may be moved, because files are found relative to the database. Reading creates nothing. Every call is
    one transaction that waits for other processes. Raises DaypartError for a call that waits in vain, and
    DamagedError for a damaged database.
    """

    def register(self, target: str, run_id: str, tags: Mapping[str, str], card: str = "") -> int:
        """Register the files of a recorded run as the next version of the target's model, and return its number.

        The version's page shows the card. Versions count from 1. Raises NotKnownError for a run without model files.
        """
        if not self._folder(run_id).is_dir():
            raise NotKnownError(f"run {run_id} has no model files: record the run with its files first")
        name, source = _name(target), self._folder(run_id).as_uri()
        description = MODEL_DESCRIPTION.format(unit=target, name=name)
        self._call("create_registered_model", name, description=description, none_on="RESOURCE_ALREADY_EXISTS")
        created = self._call("create_model_version", name, source, run_id, tags=dict(tags), description=_spaced(card))
        return int(created.version)

    def set_alias(self, target: str, alias: str, version: int) -> None:
        """Point an alias to a version, in one transaction.

        Raises InputError for an alias that is not one of ALIASES, NotKnownError if there is no such version.
        """
        if alias not in ALIASES:
            raise InputError(f"unknown alias {alias!r}: expected {' or '.join(ALIASES)}")
        self._version(target, version)
        self._call("set_registered_model_alias", _name(target), alias, str(version))

    def version_of(self, target: str, alias: str) -> int | None:
        """Return the version that an alias points to; null where it points to none."""
        model = self._model(target)
        return int(model.aliases[alias]) if model is not None and alias in model.aliases else None

    def aliases(self) -> dict[str, dict[str, int]]:
        """Return the version that each alias points to, by unit with a model; all in one call."""
        if not self._exists:
            return {}
        listed = self._call("search_registered_models", max_results=PAGE_SIZE)
        return {
            model.name.removeprefix(MODEL_PREFIX): {alias: int(number) for alias, number in model.aliases.items()}
            for model in listed
        }

    def champions(self) -> dict[str, int]:
        """Return the version of the champion alias, by unit that has one; all in one call."""
        return champions_of(self.aliases())

    def load(self, target: str, version: int | str) -> dict[str, bytes]:
        """Return the files of a version, or of the one that an alias points to, exactly as they were recorded.

        Raises NotKnownError if there is no such version, DamagedError if files are gone or changed.
        """
        stored = self.stored_model(target, version)
        if stored.fault:
            raise DamagedError(stored.fault)
        return dict(stored.files)

    def stored_model(self, target: str, version: int | str) -> StoredModel:
        """Return a version, or the one that an alias points to, with its files as they are now.

        Raises NotKnownError if there is no such version.
        """
        model_version = self._version(target, version)
        run = self._run(model_version.run_id)
        return read_model(self._folder(model_version.run_id), target, model_version, run)

    def stored_models(self, versions: Mapping[str, int]) -> Iterator[StoredModel]:
        """Yield one version of each of many units, in a few calls; the files of one version are read at a time.

        A version that does not exist has no files, and a fault that says so.
        """
        by_unit = self._versions_with_runs(versions)
        for unit, version in versions.items():
            if unit in by_unit:
                model_version, run = by_unit[unit]
                yield read_model(self._folder(model_version.run_id), unit, model_version, run)
            else:
                yield StoredModel(unit, version, {}, "", f"{self._no_version(unit, version)}: {MODEL_REMEDY}")

    def describe(self, target: str, version: int | str) -> dict[str, Any]:
        """Return version, run_id, created_utc, params, metrics and tags of a version; its own tags override its run's.

        A version whose run was deleted has neither params nor metrics. Raises NotKnownError if there is no such
        version.
        """
        model_version = self._version(target, version)
        return _description(model_version, self._run(model_version.run_id))

    def describe_all(self, versions: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """Return what `describe` returns, for one version of each of many units, in a few calls.

        Versions that do not exist are left out.
        """
        return {unit: _description(*pair) for unit, pair in self._versions_with_runs(versions).items()}

    def tags_all(self, units: Collection[str]) -> dict[str, list[dict[str, str]]]:
        """Return the tags of every version of each of many units, in no order, without those of the runs."""
        unit_tags: dict[str, list[dict[str, str]]] = {unit: [] for unit in units}
        if not unit_tags or not self._exists:
            return unit_tags
        query, page = f"name IN ({_quote([_name(unit) for unit in units])})", None
        while page != "":
            listed = self._call("search_model_versions", query, max_results=PAGE_SIZE, page_token=page)
            for version in listed:
                unit_tags[version.name.removeprefix(MODEL_PREFIX)].append(dict(version.tags))
            page = listed.token or ""
        return unit_tags

    def versions(self, target: str) -> pl.DataFrame:
        """Return one row per version, oldest first: version, created_utc, run_id, aliases, tags (JSON)."""
        model = self._model(target)
        listed = [] if model is None else self._call("search_model_versions", f"name = '{_name(target)}'")
        rows = [
            {
                **{"version": int(version.version), "created_utc": _created_utc(version), "run_id": version.run_id},
                **{"aliases": sorted(a for a, v in model.aliases.items() if int(v) == int(version.version))},
                **{"tags": json.dumps(version.tags, sort_keys=True)},
            }
            for version in listed
        ]
        return pl.DataFrame(rows, schema=VERSION_LIST).sort("version")

    def delete_version(self, target: str, version: int) -> None:
        """Delete a version of the target's model; its run stays."""
        self._call("delete_model_version", _name(target), str(version), none_on="RESOURCE_DOES_NOT_EXIST")

    def _model(self, target: str) -> Any:
        """Return the registered model with its aliases; null where there is none."""
        if not self._exists:
            return None
        return self._call("get_registered_model", _name(target), none_on="RESOURCE_DOES_NOT_EXIST")

    def _version(self, target: str, version: int | str) -> Any:
        """Return a version as MLflow describes it, by its number or an alias."""
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
        """Return the run of a version; null where it was deleted."""
        return self._call("get_run", run_id, none_on="RESOURCE_DOES_NOT_EXIST")

    def _versions_with_runs(self, versions: Mapping[str, int]) -> dict[str, tuple[Any, Any]]:
        """Return a version of each unit and its run, as MLflow describes them; one call per version number.

        Versions that do not exist are left out; a run that was deleted is null.
        """
        by_unit: dict[str, Any] = {}
        for number in sorted(set(versions.values())):
            names = [_name(unit) for unit, version in versions.items() if version == number]
            query = f"version_number = {number} AND name IN ({_quote(names)})"
            listed = self._call("search_model_versions", query, max_results=PAGE_SIZE)
            by_unit |= {version.name.removeprefix(MODEL_PREFIX): version for version in listed}
        if not by_unit:
            return {}
        query = f"attributes.run_id IN ({_quote([version.run_id for version in by_unit.values()])})"
        listed = self._call("search_runs", self._experiment_ids(), query, max_results=PAGE_SIZE)
        runs = {run.info.run_id: run for run in listed}
        return {unit: (by_unit[unit], runs.get(by_unit[unit].run_id)) for unit in versions if unit in by_unit}


def champions_of(aliases: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return the version of the champion alias, by unit that has one, from what `Registry.aliases` returns."""
    return {unit: versions["champion"] for unit, versions in aliases.items() if "champion" in versions}


def _name(target: str) -> str:
    if set("/:") & set(target):
        raise NotKnownError(f"no unit {target!r}: names of units have no / and no :, see `daypart portfolio`")
    return f"{MODEL_PREFIX}{target}"


def _spaced(card: str) -> str:
    """Return a card with space between the columns of its tables, of which MLflow's page draws none."""
    lines = (line if line.startswith("| ---") else line.replace(" |", "&emsp; |") for line in card.splitlines())
    return "\n".join(lines)


def _quote(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _description(version: Any, run: Any) -> dict[str, Any]:
    """Return a version with its run, as `Registry.describe` returns it."""
    params, metrics, run_tags = (run.data.params, run.data.metrics, run.data.tags) if run else ({}, {}, {})
    tags = {name: text for name, text in run_tags.items() if not name.startswith("mlflow.")}
    return {
        **{"version": int(version.version), "run_id": version.run_id, "created_utc": _created_utc(version)},
        **{"params": params, "metrics": metrics, "tags": {**tags, **version.tags}},
    }


def _created_utc(version: Any) -> datetime:
    return datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).replace(tzinfo=None)
