"""Which of MLflow's runs and model versions nothing needs any more."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from daypart.flows.maintenance.leftovers import written_before
from daypart.flows.registry.registry import Registry
from daypart.flows.registry.runs import StoredRun

VERSION_DAYS = 366
"""Model versions stay that long whatever the settings say: a policy counts the trainings of a year."""


@dataclass(frozen=True)
class RunAge:
    """How old a run must be to go: `days` before `now`. Folders that no run has go if `untouched_since` a moment."""

    now: datetime
    days: int
    untouched_since: datetime


@dataclass(frozen=True)
class RunCleanup:
    """Runs to be deleted, model versions whose runs are among them, and folders of files that no run has."""

    runs: tuple[str, ...]
    versions: tuple[tuple[str, int], ...]
    folders: tuple[Path, ...]

    @classmethod
    def plan(
        cls,
        registry: Registry,
        age: RunAge,
        needed: Mapping[str, Collection[int]],
        is_needed: Callable[[StoredRun], bool],
    ) -> "RunCleanup":
        """Return what is old and not needed: runs begun `age.days` before `age.now`, and versions VERSION_DAYS too.

        A version stays if it is `needed`, or an alias names it; a run stays if it `is_needed`, or as long as a version
        of it does.
        """
        since = age.now - timedelta(days=age.days)
        old = [run.id for run in registry.runs_before(since) if not is_needed(run)]
        removable: dict[str, tuple[str, int]] = {}
        kept_runs: set[str] = set()
        for unit, aliases in registry.aliases().items():
            unit_versions = registry.versions(unit)
            stays = {*needed.get(unit, ()), *aliases.values()}
            young = pl.col("created_utc") >= min(since, age.now - timedelta(days=VERSION_DAYS))
            chosen = unit_versions.filter(~young, ~pl.col("version").is_in(list(stays)))
            removable |= {run: (unit, version) for run, version in chosen.select("run_id", "version").iter_rows()}
            kept_runs |= set(unit_versions["run_id"]) - set(chosen["run_id"])
        runs = tuple(run for run in old if run not in kept_runs)
        versions = tuple(removable[run] for run in runs if run in removable)
        return cls(runs, versions, _orphans(registry, age.untouched_since))

    def __bool__(self) -> bool:
        """Whether anything is to be removed."""
        return bool(self.runs or self.folders)

    def remove(self, registry: Registry) -> None:
        """Deletes versions, then runs with their files, then folders: a version never lacks its run."""
        for unit, version in self.versions:
            registry.delete_version(unit, version)
        for run in self.runs:
            registry.delete_run(run)
        for folder in self.folders:
            registry.delete_run(folder.name)

    def size(self, registry: Registry) -> int:
        """Bytes of the files that go."""
        folders = [*(registry.run_folder(run) for run in self.runs), *self.folders]
        return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


def _orphans(registry: Registry, untouched_since: datetime) -> tuple[Path, ...]:
    """Folders under the artifacts that are of no run, as a kill leaves them."""
    folder = registry.settings.artifacts.resolve()
    if not folder.is_dir() or not registry.settings.mlflow_database.exists():
        return ()
    run_ids = {run.id for run in registry.runs_before(None)}
    orphans = (path for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in run_ids)
    return tuple(path for path in orphans if written_before(path, untouched_since))
