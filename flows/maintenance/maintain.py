"""Maintenance: compacts the lake's tables and removes what no retention rule needs."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from daypart.features.clock import utc_moment
from daypart.features.errors import NotKnownError
from daypart.features.tables.schemas import TABLES
from daypart.flows.audit.audit_history import UnitHistory, units
from daypart.flows.audit.audit_log import Entry
from daypart.flows.config.governance import AUTOMATION
from daypart.flows.config.settings import MIN_RETENTION_DAYS, RETENTIONS
from daypart.flows.files.lock import file_lock
from daypart.flows.governance.approval import pending
from daypart.flows.governance.settings_audit import mark
from daypart.flows.home import Home
from daypart.flows.lake import table_upkeep
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.table_log import TableLog
from daypart.flows.lake.tables import LAKE
from daypart.flows.maintenance import leftovers
from daypart.flows.maintenance.lake_cleanup import TableCleanup, remove_empty_folders
from daypart.flows.maintenance.maintenance_report import MaintenanceReport, RemovalReport, TableRemoval
from daypart.flows.maintenance.run_cleanup import RunAge, RunCleanup
from daypart.flows.registry.registry import Registry
from daypart.flows.registry.runs import StoredRun, table_versions

TABLES_CLEANED = tuple(name for name in LAKE if name != "audit")
"""The audit's table is never compacted or cut: verification reads every commit and every file of it."""
BY_ORIGIN = ("forecasts", "scores", "tallies")
"""In the order in which old origins are deleted: one that is published and has no scores would be scored."""
REBUILT = (*TABLES, "forecasts")
"""The tables whose versions a rebuild reads."""


@dataclass(frozen=True)
class _Plan:
    """What is to be removed, as of one moment; false where nothing is. Whatever is written later is not in it.

    `origins` are the first date that stays and how many go, by table: of lines their dates.
    """

    tables: list[TableCleanup]
    origins: dict[str, tuple[date, int]]
    runs: RunCleanup
    refusals: list[Path]
    drafts: list[Path]
    untouched_since: datetime

    def __bool__(self) -> bool:
        return bool(self.origins or self.refusals or self.drafts or self.runs or any(self.tables))

    def removed(self, registry: Registry) -> RemovalReport:
        """The plan in numbers."""
        tables = [
            TableRemoval(
                plan.table, self.origins.get(plan.table, (None, 0))[1], len(plan.log_entries), len(plan.files),
                plan.keep_from, plan.pinned,
            )
            for plan in self.tables if plan or plan.table in self.origins
        ]  # fmt: skip
        paths = [path for plan in self.tables for path in (*plan.log_entries, *plan.files)]
        size = sum(_size(path) for path in (*paths, *self.refusals, *self.drafts)) + self.runs.size(registry)
        versions = [f"{unit}-v{version}" for unit, version in self.runs.versions]
        drafts = len(self.drafts) + len(self.runs.folders)
        return RemovalReport(tables, len(self.runs.runs), versions, len(self.refusals), drafts, size)


def maintain(home: Home, now: datetime) -> MaintenanceReport:
    """Compacts tables, writes checkpoints, and removes versions, origins, runs and files by the home's settings.

    What is to go is audited in one record before anything is removed: a process that is killed leaves the rest to the
    next call. What stays whatever its age: the versions of tables that a champion, a challenger or a version that
    waits for an approval was trained on; every model version that ever served, that an alias names or that waits; the
    audit. Nothing that was written in the last MIN_RETENTION_DAYS goes, so readers and writers under way are safe. A
    second call at the same time waits for the first. Raises DamagedError where the audit or a table's log cannot be
    read; nothing is removed then.
    """
    moment = utc_moment(now)
    with file_lock(home.path / "maintain.lock"):
        home.audit.check()
        plan = _planned(home, moment)
        removed = plan.removed(home.registry)
        record = _recorded(home, now, removed) if plan else None
        for name, (before, _) in plan.origins.items():
            table_upkeep.delete(home.lake, name, before)
        compacted = _compacted(home.lake)
        for table in plan.tables:
            if table.log_entries:
                table_upkeep.forget_removals(home.lake, table.table, home.settings.versions_days)
        checkpoints = sum(table.write_checkpoints(home.lake) for table in plan.tables)
        plan.runs.remove(home.registry)
        for path in (*plan.refusals, *plan.drafts):
            path.unlink(missing_ok=True)
        # Log entries go last: whoever opened a table before its checkpoint was written has long read it.
        for table in plan.tables:
            table.remove()
            remove_empty_folders(home.lake.root / table.table, plan.untouched_since)
    return MaintenanceReport(compacted, checkpoints, removed, rebuildable_since(home.lake), record)


def rebuildable_since(lake: Lake) -> datetime | None:
    """The moment (UTC) since which every publication can be made again; null where no version was ever removed."""
    logs = [TableLog.read(lake.root / name) for name in REBUILT if lake.exists(name)]
    return max((log.committed_at(log.oldest) for log in logs if log.oldest > 0), default=None)


def _planned(home: Home, moment: datetime) -> _Plan:
    settings, untouched_since = home.settings, moment - timedelta(days=MIN_RETENTION_DAYS)
    since = moment - timedelta(days=settings.versions_days)
    waiting = {request.unit: request.version for request in pending(home.audit.records())}
    pinned = _trained_on(home.registry, waiting)
    plans = (
        TableCleanup.plan(home.lake, name, since, pinned.get(name, set()), untouched_since) for name in TABLES_CLEANED
    )
    tables = [table for table in plans if table is not None]
    old = {**_old_origins(home), **_old_lines(home, moment)}
    kept_from = {table.table: table.keep_from for table in tables}
    first = old["forecasts"][0] if "forecasts" in old else date.min

    needed = _needed(home, waiting)

    def is_needed(run: StoredRun) -> bool:
        """Whether it is of a publication that can be made again afterwards, or has the nights of a needed version."""
        if run.tags.get("job") == "monitor":
            unit, _, version = run.params["model_version"].rpartition("-v")
            return int(version) in needed.get(unit, ())
        if run.tags.get("job") != "forecast" or date.fromisoformat(run.params["origin"]) < first:
            return False
        return all(name in kept_from and version >= kept_from[name] for name, version in run.reads.items())

    days = max(settings.runs_days, settings.versions_days)
    return _Plan(
        tables,
        old,
        RunCleanup.plan(home.registry, RunAge(moment, days, untouched_since), needed, is_needed),
        leftovers.refusals(settings.home, moment - timedelta(days=settings.refusals_days)),
        leftovers.drafts(settings.home, untouched_since),
        untouched_since,
    )


def _needed(home: Home, waiting: Mapping[str, int]) -> dict[str, set[int]]:
    """By unit, the model versions that ever served, or wait, or made a forecast that may be made again."""
    records, aliases = home.audit.records(), home.registry.aliases()
    needed = {
        unit: UnitHistory.from_records(records, unit).with_alias(aliases.get(unit, {}).get("champion")).served
        for unit in units(records)
    }
    for unit, version in waiting.items():
        needed.setdefault(unit, set()).add(version)
    newest = max(table_upkeep.partitions(home.lake, "forecasts"), default=date.min)
    since = newest - timedelta(days=min(home.settings.versions_days, (newest - date.min).days))
    recent = home.lake.scan_or_empty("forecasts").filter(pl.col("origin_date") >= since)
    for name in recent.select(pl.col("model_version").unique()).collect().to_series():
        unit, _, version = name.rpartition("-v")
        needed.setdefault(unit, set()).add(int(version))
    return needed


def _trained_on(registry: Registry, waiting: Mapping[str, int]) -> dict[str, set[int]]:
    """By table, the versions that champions, challengers and what waits were trained on."""
    read: dict[str, set[int]] = {}
    aliases = registry.aliases()
    for unit, unit_aliases in aliases.items():
        for version in {*unit_aliases.values(), *([waiting[unit]] if unit in waiting else [])}:
            # An alias may name a version that is gone: `status` tells of it.
            with suppress(NotKnownError):
                tags = registry.describe(unit, version)["tags"]
                for table, number in table_versions(tags).items():
                    read.setdefault(table, set()).add(number)
    return read


def _old_origins(home: Home) -> dict[str, tuple[date, int]]:
    """By table, the first origin that stays and how many are older; the latest published one counts as day 0."""
    newest = max(table_upkeep.partitions(home.lake, "forecasts"), default=None)
    if newest is None:
        return {}
    settings = home.settings
    days = {"forecasts": settings.forecasts_days, "scores": settings.scores_days, "tallies": settings.scores_days}
    firsts = {table: newest - timedelta(days=days[table]) for table in BY_ORIGIN}
    counts = {table: len(table_upkeep.partitions(home.lake, table, first)) for table, first in firsts.items()}
    return {table: (firsts[table], count) for table, count in counts.items() if count}


def _old_lines(home: Home, moment: datetime) -> dict[str, tuple[date, int]]:
    """The first date whose point-of-sale lines stay and how many are older; a date ahead of the clock counts not."""
    newest = max((day for day in table_upkeep.partitions(home.lake, "pos_lines") if day <= moment.date()), default=None)
    if newest is None:
        return {}
    first = newest - timedelta(days=min(home.settings.lines_days, (newest - date.min).days))
    count = len(table_upkeep.partitions(home.lake, "pos_lines", first))
    return {"pos_lines": (first, count)} if count else {}


def _compacted(lake: Lake) -> dict[str, int]:
    """Compacts every table; how many files were put together, by table.

    Of an origin that was published after it was scored the times of its files tell that it is to be scored: those stay
    as they are. An origin of which anything was scored is not published again.
    """
    published, scored = lake.written("forecasts", "origin_date"), lake.written("scores", "origin_date")
    settled = {origin for origin, moment in scored.items() if moment >= published.get(origin, moment)}
    counts = {name: table_upkeep.compact(lake, name, settled if name in BY_ORIGIN else None) for name in TABLES_CLEANED}
    return {name: count for name, count in counts.items() if count}


def _recorded(home: Home, now: datetime, removed: RemovalReport) -> int:
    """Audits what is about to be removed, and by which settings; the record's number."""
    settings = {name: getattr(home.settings, name) for name in RETENTIONS}
    details = {"removed": asdict(removed), "settings": settings, **mark(home)}
    return home.audit.append(now, AUTOMATION, Entry("maintain", "", details)).sequence


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
