"""Status: what a home holds and who served when, without changing it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl

from daypart.features.clock import utc_moment
from daypart.features.errors import DaypartError
from daypart.features.tables.schemas import TABLES, TARGETS
from daypart.flows.audit.audit_history import UnitHistory, units, unrecorded
from daypart.flows.audit.audit_log import Audit
from daypart.flows.audit.unit_events import ChampionSwitch, Request, ServingPeriod
from daypart.flows.governance.alias_reconciliation import differences
from daypart.flows.governance.approval import awaited, pending, who
from daypart.flows.governance.model_versions import ModelStore
from daypart.flows.governance.settings_audit import may_declare, undeclared, unreadable
from daypart.flows.home import Home
from daypart.flows.jobs.rebuild import RebuildResult, rebuild
from daypart.flows.lake.lake import Lake
from daypart.flows.maintenance.maintain import rebuildable_since
from daypart.flows.registry.registry import Registry
from daypart.flows.registry.runs import table_versions
from daypart.flows.result import Result

CLOCKS = ("hour_local", "valid_local", "released_on", "date", "starts_local", "at_utc", "ingested_utc")
"""The column that says which time a table spans; stores and declared hours have none."""


@dataclass(frozen=True, repr=False)
class Status(Result):
    """What is there and what wants attention.

    Tables with rows, Delta version, first and last time; by unit the aliases, what `serves` (null: no version is whole)
    and its figures; the last publication; requests that wait for an approval; files that are not as declared; notices.
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

    `fault` says why it could not be tried, where it could not; `notices` where what serves is not what is on record.
    Publications since `rebuildable_since` (UTC) can be made again; null = all, as nothing was ever removed.
    """

    date: date
    served: list[dict[str, object]]
    rebuilt: RebuildResult | None
    fault: str
    notices: list[str]
    rebuildable_since: datetime | None = None


def status(home: Home, now: datetime) -> Status:
    """What is in the lake and the registry now; empty where nothing is. `notices` are known already.

    What cannot be read is left out, with the reason among the notices.
    """
    summary = Status([], [], {}, [], [], [*home.notices, *unreadable(home.path)])
    for name in (*TABLES, "clocks", "pos_lines", "pos_sources", "forecasts", "scores"):
        with _noted(summary):
            summary.tables.extend([_table(home.lake, name)] if home.lake.exists(name) else [])
    recorded = _audit(home, summary)
    records = Audit.empty() if recorded is None else recorded
    if records.height:
        summary.tables.append(_described("audit", home.lake.version("audit"), records.lazy()))
    with _noted(summary):
        models, differing = _models(home, recorded)
        summary.models.extend(models)
        summary.notices.extend(differing)
    summary.pending.extend(_waiting(home.registry, records, request, now, summary) for request in pending(records))
    with _noted(summary):
        summary.undeclared.extend(_undeclared(home, summary))
    with _noted(summary):
        summary.published.update(_published(home.lake))
    return replace(summary, notices=list(dict.fromkeys(summary.notices)))


@contextmanager
def _noted(seen: Status) -> Iterator[None]:
    """Adds to the notices why a part cannot be read, and goes on without it."""
    try:
        yield
    except DaypartError as error:
        seen.notices.append(str(error))


def at(home: Home, day: date, again: bool = True) -> Day:
    """Every version that served on the day (UTC), since when, why, who agreed, on which data it was trained.

    With `again` the publication of that origin, or the latest before, is rebuilt and compared.
    """
    served = [_served(home.registry, spell) for spell in on(day, spells(home))]
    _, notices = _models(home, home.audit.records())
    since = rebuildable_since(home.lake)
    try:
        origin = _origin(home.lake, day) if again else None
        return Day(day, served, rebuild(home, origin) if origin else None, "", notices, since)
    except DaypartError as failed:
        return Day(day, served, None, str(failed), notices, since)


def spells(home: Home) -> list[ServingPeriod]:
    """Every version's time of service, by unit and in order, from the audit records.

    A champion that was moved outside of daypart comes last, at an unknown time.
    """
    records, aliases = home.audit.records(), home.registry.aliases()
    all_spells: list[ServingPeriod] = []
    for unit in dict.fromkeys((*TARGETS, *units(records), *aliases)):
        champion = aliases.get(unit, {}).get("champion")
        recorded = UnitHistory.from_records(records, unit).with_alias(champion).spells
        if champion is not None and (not recorded or recorded[-1].version != champion):
            recorded = unrecorded(unit, recorded, champion)
        all_spells += recorded
    return all_spells


def on(day: date, all_spells: Sequence[ServingPeriod]) -> list[ServingPeriod]:
    """Those of the times of service that touch the day (UTC)."""
    start, end = datetime.combine(day, time()), datetime.combine(day + timedelta(days=1), time())
    begun = (spell for spell in all_spells if (spell.since or spell.not_before or start) < end)
    # What began and ended on the day at one moment did serve.
    return [s for s in begun if s.until is None or s.until > start or (s.since is not None and s.since >= start)]


def _served(registry: Registry, spell: ServingPeriod) -> dict[str, object]:
    about = registry.describe_all({spell.unit: spell.version}).get(spell.unit, {"tags": {}, "params": {}})
    return {
        **{"unit": spell.unit, "version": spell.version, "since": spell.since, "until": spell.until},
        **{"ended": spell.ended, "by": spell.by, "agreed": spell.agreed, "why": spell.why},
        **{"trained_as_of": about["params"].get("as_of"), "trained_on": table_versions(about["tags"])},
    }


def _origin(lake: Lake, day: date) -> date | None:
    """Return the latest origin published for the day or before."""
    origins = lake.scan_or_empty("forecasts").filter(pl.col("origin_date") <= day)
    latest: date | None = origins.select(pl.col("origin_date").max()).collect().item()
    return latest


def _waiting(
    registry: Registry, records: pl.DataFrame, request: Request, now: datetime, summary: Status
) -> dict[str, object]:
    """A reminder: what is asked for, for how long, and who must agree; empty where the rules cannot be read."""
    at_utc, waits_for = utc_moment(now), ""
    with _noted(summary):
        waits_for = who(awaited(registry, records, request))
    return {
        **{"request": request.number, "unit": request.unit, "does": request.does, "version": request.version},
        **{"asked_by": request.role, "waits_hours": round((at_utc - request.at_utc) / timedelta(hours=1), 1)},
        **{"waits_for": waits_for, "why": request.reason},
    }


def _undeclared(home: Home, summary: Status) -> list[dict[str, object]]:
    """Files that are not as declared, and who may declare them; nobody where the rules cannot be read."""
    roles: dict[str, tuple[str, ...]] = {}
    changes = undeclared(home)
    for change in changes:
        with _noted(summary):
            roles[change.file] = may_declare(home, change.file)
    return [
        {"file": change.file, "change": change.kind, "may_declare": " or ".join(roles.get(change.file, ()))}
        for change in changes
    ]


def _models(home: Home, records: pl.DataFrame | None) -> tuple[list[dict[str, object]], list[str]]:
    """One row per unit with a champion, and what of champions is refused, not as the audit has it, or under way.

    Null records are an audit that cannot be read: nothing is compared with it.
    """
    aliases, serving = home.registry.aliases(), ModelStore(home).serving_versions()
    about = home.registry.describe_all({unit: version for unit, (version, _) in serving.items() if version is not None})
    ordered = [unit for unit in dict.fromkeys((*TARGETS, *sorted(serving))) if unit in serving]
    models = [_model(unit, aliases.get(unit, {}), serving[unit][0], about.get(unit)) for unit in ordered]
    differing = {} if records is None else differences(records, aliases)
    moves = (
        ()
        if records is None
        else [(unit, UnitHistory.from_records(records, unit).under_way) for unit in units(records)]
    )
    return models, [
        *(notice for _, notice in serving.values() if notice),
        # Of an alias that is gone the notice above says more.
        *(line for unit, line in differing.items() if "champion" in aliases.get(unit, {}) or unit not in serving),
        *(_under_way(move, aliases.get(unit, {}).get("champion")) for unit, move in moves if move is not None),
    ]  # fmt: skip


def _under_way(move: ChampionSwitch, champion: int | None) -> str:
    text = f"{move.unit}: to {move.does} v{move.version} was begun (record {move.number}) and its end is not recorded"
    request = "" if move.request is None else f" (`daypart approve {move.request.number}`)"
    return f"{text}; v{champion} serves: do it again{request}, which ends it"


def _audit(home: Home, summary: Status) -> pl.DataFrame | None:
    """The audit's records; null where none can be read. It is noted where they are not as they were written."""
    audit, records = home.audit, None
    with _noted(summary):
        records = audit.records()
        audit.check()
    return records


def _table(lake: Lake, name: str) -> dict[str, object]:
    return _described(name, lake.version(name), lake.scan(name))


def _described(name: str, version: int | None, rows: pl.LazyFrame) -> dict[str, object]:
    columns = rows.collect_schema().names()
    clock = next((pl.col(column) for column in CLOCKS if column in columns), pl.lit(None))
    extent = rows.select(rows=pl.len(), first=clock.min(), last=clock.max()).collect().row(0, named=True)
    return {"table": name, "version": version, **extent}


def _model(
    unit: str, aliases: Mapping[str, int], serves: int | None, about: Mapping[str, Any] | None
) -> dict[str, object]:
    params, metrics = (about["params"], about["metrics"]) if about else ({}, {})
    return {
        "target": unit,
        "champion": aliases.get("champion"),
        "serves": serves,
        "challenger": aliases.get("challenger"),
        "as_of": params.get("as_of"),
        "rolling_wape_bps": metrics.get("rolling_model_wape_bps"),
        "rolling_incumbent_wape_bps": metrics.get("rolling_incumbent_wape_bps"),
    }


def _published(lake: Lake) -> dict[str, object]:
    if not lake.exists("forecasts"):
        return {}
    rows = lake.scan("forecasts")
    last = rows.filter(pl.col("origin_date") == pl.col("origin_date").max())
    return last.select(
        origin=pl.col("origin_date").first(), stores=pl.col("store_id").n_unique(), rows=pl.len()
    ).collect().row(0, named=True)  # fmt: skip
