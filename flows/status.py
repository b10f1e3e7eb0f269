"""Status: what a home holds and who served when, without changing it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from features.errors import DamagedError, DaypartError
from features.tables import TABLES, TARGETS
from flows.adapters.audit import Audit
from flows.adapters.lake import Lake
from flows.adapters.registry import Registry
from flows.approval import awaited, pending, who
from flows.declared import may_declare, undeclared
from flows.maintenance import rebuildable_since
from flows.models import ModelStore
from flows.rebuild import Rebuilt, rebuild
from flows.trail import Request, Spell, Trail, units

CLOCKS = ("hour_local", "valid_local", "released_on", "date", "starts_local", "at_utc")
"""The column that says which time a table spans; stores and declared hours have none."""


@dataclass(frozen=True)
class Status:
    """What is there and what wants attention.

    Tables with rows, Delta version, first and last time; champion and challenger by unit; the last publication; the
    requests that wait for an approval; files that are not as declared; and what does not fit together.
    """

    tables: list[dict[str, object]]
    models: list[dict[str, object]]
    published: dict[str, object]
    pending: list[dict[str, object]]
    undeclared: list[dict[str, object]]
    notices: list[str]


@dataclass(frozen=True)
class Day:
    """One day: who served, the publication of that origin or the latest before, and whether it can be made again.

    `fault` says why it could not be tried, where it could not. Publications since `rebuildable_since` (UTC) can be made
    again; null = all, as nothing was ever removed.
    """

    date: date
    served: list[dict[str, object]]
    rebuilt: Rebuilt | None
    fault: str
    rebuildable_since: datetime | None = None


def status(lake: Lake, registry: Registry, now: datetime) -> Status:
    """What is in the lake and the registry now; empty where nothing is."""
    names = [*TABLES, "forecasts", "scores"]
    tables: list[dict[str, object]] = [_table(lake, name) for name in names if lake.exists(name)]
    records, damage = _audit(lake, registry)
    tables += [_described("audit", lake.version("audit"), records.lazy())] if records.height else []
    trails = [Trail.of(records, unit) for unit in dict.fromkeys((*TARGETS, *units(records)))] if tables else []
    models = [_model(registry, trail.unit) for trail in trails]
    waiting = [_waiting(registry, records, request, now) for request in pending(records)]
    notices = [*damage, *ModelStore(lake, registry).notices()]
    notices += [notice for trail in trails for notice in _notices(registry, trail)]
    differing = _undeclared(lake, registry)
    return Status(tables, [model for model in models if model], _published(lake), waiting, differing, notices)


def at(lake: Lake, registry: Registry, day: date, again: bool = True) -> Day:
    """Every version that served on the day (UTC), since when, why, who agreed, on which data it was trained.

    With `again` the publication of that origin, or the latest before, is rebuilt and compared.
    """
    served = [_served(registry, spell) for spell in on(day, spells(lake, registry))]
    since = rebuildable_since(lake)
    try:
        origin = _origin(lake, day) if again else None
        return Day(day, served, rebuild(lake, registry, origin) if origin else None, "", since)
    except DaypartError as failed:
        return Day(day, served, None, str(failed), since)


def spells(lake: Lake, registry: Registry) -> list[Spell]:
    """Every version's time of service, by unit and in order, from the audit records."""
    records = Audit(lake).records()
    found: list[Spell] = []
    for unit in dict.fromkeys((*TARGETS, *units(records))):
        champion = registry.version_of(unit, "champion")
        mine = Trail.of(records, unit).seen(champion).spells
        if not mine and champion is not None:
            mine = [Spell(unit, champion, None, None, "", "", "served before anything was recorded")]
        found += mine
    return found


def on(day: date, known: Sequence[Spell]) -> list[Spell]:
    """Those of the times of service that touch the day (UTC)."""
    start, end = datetime.combine(day, time()), datetime.combine(day + timedelta(days=1), time())
    begun = (spell for spell in known if spell.since is None or spell.since < end)
    # What began and ended on the day at one moment did serve.
    return [s for s in begun if s.until is None or s.until > start or (s.since is not None and s.since >= start)]


def _served(registry: Registry, spell: Spell) -> dict[str, object]:
    about = registry.describe(spell.unit, spell.version)
    reads = {name.removeprefix("read."): int(v) for name, v in about["tags"].items() if name.startswith("read.")}
    return {
        **{"unit": spell.unit, "version": spell.version, "since": spell.since, "until": spell.until},
        **{"by": spell.by, "agreed": spell.agreed, "why": spell.why},
        **{"trained_as_of": about["params"].get("as_of"), "trained_on": reads},
    }


def _origin(lake: Lake, day: date) -> date | None:
    """The latest origin published for the day or before."""
    origins = lake.scan_or_empty("forecasts").filter(pl.col("origin_date") <= day)
    found = origins.select(pl.col("origin_date").max()).collect().item()
    return found if isinstance(found, date) else None


def _waiting(registry: Registry, records: pl.DataFrame, request: Request, now: datetime) -> dict[str, object]:
    """A reminder: what is asked for, for how long, and who must agree."""
    at_utc = now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo else now
    return {
        **{"request": request.number, "unit": request.unit, "does": request.does, "version": request.version},
        **{"asked_by": request.role, "waits_hours": round((at_utc - request.at_utc) / timedelta(hours=1), 1)},
        **{"waits_for": who(awaited(registry, records, request)), "why": request.reason},
    }


def _undeclared(lake: Lake, registry: Registry) -> list[dict[str, object]]:
    """Files that are not as declared, and who may declare them; none where the audit cannot be read."""
    with suppress(DamagedError):
        return [
            {"file": each.file, "change": each.kind, "may_declare": " or ".join(may_declare(lake, registry, each.file))}
            for each in undeclared(lake, registry)
        ]
    return []


def _notices(registry: Registry, trail: Trail) -> list[str]:
    """What of the unit's champion is not as the audit records have it."""
    champion = registry.version_of(trail.unit, "champion")
    move = trail.under_way
    if move is not None:
        told = f"{trail.unit}: to {move.does} v{move.version} was begun (record {move.number}) and its end is not"
        return [f"{told} recorded; v{champion} serves: do it again, which ends it"]
    last = next(iter(trail.spells[-1:]), None)
    if last is not None and last.version != champion:
        told = f"{trail.unit}: v{champion} serves, but the last that the audit records have is v{last.version}"
        return [f"{told}: it was moved outside of daypart; promote or roll back to put it right"]
    return []


def _audit(lake: Lake, registry: Registry) -> tuple[pl.DataFrame, list[str]]:
    """The audit's records that can be read, and a line where they are not as they were written."""
    audit = Audit(lake, registry)
    try:
        records = audit.records()
    except DamagedError as damaged:
        return audit.empty(), [str(damaged)]
    try:
        audit.check()
    except DamagedError as damaged:
        return records, [str(damaged)]
    return records, []


def _table(lake: Lake, name: str) -> dict[str, object]:
    return _described(name, lake.version(name), lake.scan(name))


def _described(name: str, version: int | None, rows: pl.LazyFrame) -> dict[str, object]:
    columns = rows.collect_schema().names()
    clock = next((pl.col(column) for column in CLOCKS if column in columns), pl.lit(None))
    found = rows.select(rows=pl.len(), first=clock.min(), last=clock.max()).collect().row(0, named=True)
    return {"table": name, "version": version, **found}


def _model(registry: Registry, target: str) -> dict[str, object]:
    version = registry.version_of(target, "champion")
    if version is None:
        return {}
    about = registry.describe(target, version)
    return {
        "target": target,
        "champion": version,
        "challenger": registry.version_of(target, "challenger"),
        "as_of": about["params"].get("as_of"),
        "rolling_wape_bps": about["metrics"].get("rolling_model_wape_bps"),
        "rolling_incumbent_wape_bps": about["metrics"].get("rolling_incumbent_wape_bps"),
    }


def _published(lake: Lake) -> dict[str, object]:
    if not lake.exists("forecasts"):
        return {}
    rows = lake.scan("forecasts")
    last = rows.filter(pl.col("origin_date") == pl.col("origin_date").max())
    return last.select(
        origin=pl.col("origin_date").first(), stores=pl.col("store_id").n_unique(), rows=pl.len()
    ).collect().row(0, named=True)  # fmt: skip
