"""Forecast: the champion's 14 days for every store, published whole; and what was published, read back."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import cast

import polars as pl

from daypart.features.chain_data import ChainData, DataSource
from daypart.features.errors import InputError, NotKnownError
from daypart.features.history import read_window
from daypart.features.money import with_currency
from daypart.flows.compute.meter import Meter
from daypart.flows.files import exports
from daypart.flows.files.atomic_files import atomic_write, check_out
from daypart.flows.governance import units
from daypart.flows.governance.champions import Champion, champions, check_knows
from daypart.flows.governance.model_versions import ModelStore
from daypart.flows.home import Home
from daypart.flows.jobs import lineage
from daypart.flows.jobs.execution import Execution
from daypart.flows.jobs.snapshot import Chain, with_demand
from daypart.flows.lake.staging import Staging
from daypart.forecasting.models.engine import Engine
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.training_data import in_blocks
from daypart.forecasting.progress import Progress, part, silent, track
from daypart.forecasting.serving import levels
from daypart.forecasting.serving.night import NightInputs, chain_holiday_sums, forecast_night
from daypart.forecasting.serving.publication import FORECAST_ORDER, ServedModel
from daypart.forecasting.stages import Stages

LATE_DAYS = 7
"""How many days of demand may be missing before an origin: late data must not stop the night."""


def published(home: Home, origin: date | None, stores: Sequence[str] = ()) -> pl.DataFrame | None:
    """The published forecast of an origin (default: the latest), for some stores or all.

    Null where there is none, or none for one of the stores.
    """
    if not home.lake.exists("forecasts"):
        return None
    if origin is None:
        origin = max(home.lake.written("forecasts", "origin_date"), default=None)
    forecast_rows = home.lake.scan("forecasts").filter(pl.col("origin_date") == origin)
    if stores:
        forecast_rows = forecast_rows.filter(pl.col("store_id").is_in(pl.Series(stores).implode()))
    frame = forecast_rows.collect().sort(FORECAST_ORDER)
    return None if frame.is_empty() or set(stores) - set(frame["store_id"]) else frame


def check_level(level: str, stores: Sequence[str]) -> None:
    """Raises InputError for a level that is none, or that adds up all stores where some are asked for."""
    if level not in ("hour", *levels.AGGREGATE_LEVELS):
        raise InputError(f"--level is {level!r}: expected hour, {', '.join(levels.AGGREGATE_LEVELS)}")
    if level in ("region", "chain") and stores:
        raise InputError(f"--level {level} adds up all of its stores: leave --store out, or choose --level day")


def at_level(home: Home, rows: pl.DataFrame, level: str) -> pl.DataFrame:
    """Published rows of an origin added up as `levels.aggregate` has it, by the models that made them; sorted.

    Rows of level hour are as published. Raises NotKnownError where no store has the region asked for, and as
    `levels.aggregate`.
    """
    if level == "hour":
        return rows
    stores = with_currency(home.lake.scan("stores").select("store_id", "region", "country", "currency").collect())
    if level == "region" and not stores["region"].is_not_null().any():
        raise NotKnownError("no store has a region: ingest stores with a column region, or use --level chain")
    store = ModelStore(home)
    models = {name: _model(store, name) for name in rows["model_version"].unique()}
    parts = rows.partition_by("target", maintain_order=True)
    sums = [levels.aggregate(part, models, stores, cast(levels.Level, level)) for part in parts]
    return pl.concat(sums).sort(levels.AGGREGATE_ORDER, nulls_last=True)


def _model(store: ModelStore, name: str) -> Model:
    unit, _, version = name.rpartition("-v")
    return Model.from_files(store.load(unit, int(version)))


def due(home: Home, origin: date | None) -> date | None:
    """The origin asked for; by default the day after the last demand, null while there is no demand."""
    if origin is not None or not home.lake.exists("demand") or not home.lake.exists("stores"):
        return origin
    last = Chain.newest(home.lake).last_day()
    return last + timedelta(days=1) if last else None


def publish(
    home: Home,
    origin: date | None = None,
    meter: Meter | None = None,
    execution: Execution = Execution(),  # noqa: B008 - frozen
    notice: Callable[[str], None] = lambda text: None,
) -> date:
    """Publishes the forecast of every open store from `origin` (default: the day after the last demand).

    Each store is served by the champion of its unit (`champions`); `notice` is given a line for each that is refused,
    and for last days of demand that do not count (`LastDays`). Targets with a champion are published together:
    one atomic write replaces an earlier publication of the same origin, and until then that is what readers see. The
    write holds the publication's lineage; the runs of earlier publications that lack one are recorded first.
    Returns the origin. Memory holds a few blocks of stores; forecasts wait on the disk. What the job takes is
    measured, and kept with each target's run.
    """
    meter = meter or Meter(home.settings.prices)
    execution.progress("read stores and champions", 0.0)
    lineage.repair(home)
    chain = Chain.newest(home.lake)
    present = with_demand(chain, None)
    day = origin or max(next_day(chain, target) for target in present)
    with meter("load") as count:
        members = units.members(chain, home.portfolio, dict.fromkeys(present, day))
        serving = champions(home, members)
        count(len(serving))
    targets = list(dict.fromkeys(champion.served.model.target for champion in serving))
    for target in targets:
        check_origin(chain, target, day)
    for champion in serving:
        check_knows(champion, day)
    counts: Counter[str] = Counter()
    served = [champion.served for champion in serving]
    with Staging("forecasts", home.path) as staged:
        engine, progress = execution.engine(meter), part(execution.progress, 0.05, 0.95)
        for rows in forecast_blocks(chain, served, day, engine, progress):
            staged.add(rows)
            counts.update(dict(rows["target"].value_counts().iter_rows()))
        execution.progress("publish", 0.95)
        publication = _publication(chain, day, serving, counts)
        with lineage.publishing(home.registry):
            with meter("publish") as count:
                version = home.lake.replace("forecasts", staged, day, publication.to_metadata())
                count(counts.total())
            for target in targets:
                lineage.record(home.registry, version, publication, target, meter.figures())
    for line in dict.fromkeys(
        [*(champion.notice for champion in serving if champion.notice), *chain.last_days.notices()]
    ):
        notice(line)
    return day


def _publication(
    chain: Chain, origin: date, serving: Sequence[Champion], rows: Mapping[str, int]
) -> lineage.Publication:  # fmt: skip
    """What the commit and the runs say of the forecast of an origin; `rows` by target."""
    champions_of: dict[str, list[Champion]] = {}
    for champion in serving:
        champions_of.setdefault(champion.served.model.target, []).append(champion)
    parts = {
        target: lineage.TargetLineage.from_champions(parts, rows.get(target, 0))
        for target, parts in champions_of.items()
    }
    return lineage.Publication(origin, dict(chain.versions), parts)


@dataclass(frozen=True)
class NightPlan:
    """What all blocks of a night's stores share; `holiday_sums` are the chain's holidays by target."""

    chain: Chain
    serving: Sequence[ServedModel]
    origin: date
    holiday_sums: Mapping[str, pl.DataFrame]


def forecast_blocks(
    chain: Chain, serving: Sequence[ServedModel], origin: date, engine: Engine, progress: Progress = silent
) -> Iterator[pl.DataFrame]:
    """Yield the forecast of all stores and targets, block by block."""
    blocks = in_blocks(sorted(chain.stores["store_id"]))
    progress("read the effects of holidays", 0.0)
    sums = chain_holiday_sums(chain, list(dict.fromkeys(served.model.target for served in serving)), origin)
    forecasts = engine.map(partial(block_forecast, NightPlan(chain, serving, origin, sums)), blocks)
    steps = track(progress, blocks, lambda ids: f"forecast stores {ids[0]} to {ids[-1]}")
    for _, rows in zip(steps, forecasts, strict=True):
        yield rows


def block_forecast(plan: NightPlan, ids: Sequence[str], stages: Stages) -> pl.DataFrame:
    """Return what is published of some stores, all targets, sorted."""

    def read(store_ids: Sequence[str], since: Mapping[str, date] | None = None) -> ChainData:
        with stages("read") as count:
            records = plan.chain.block(store_ids, since)
            count(records.demand.height)
        return records

    window = read(ids, read_window.window_starts(plan.origin))
    inputs = NightInputs(window, read, plan.chain, plan.origin, stages)
    return forecast_night(inputs, plan.serving, plan.holiday_sums)


def next_day(records: DataSource, target: str) -> date:
    """The day after the last demand of a target that has any."""
    last = records.last_demand_on(target)
    assert last is not None
    return last + timedelta(days=1)


def check_origin(records: DataSource, target: str, origin: date) -> None:
    """Raises NotKnownError for an origin in the past of the target's demand or too far beyond it."""
    first = next_day(records, target)
    last = first - timedelta(days=1)
    if origin < first:
        raise NotKnownError(
            f"origin {origin} lies in the past and was never published: {target} is known to {last}; "
            f"forecast from {first}, or use `daypart backtest --start {origin}`"
        )
    if (origin - first).days > LATE_DAYS:
        raise NotKnownError(
            f"origin {origin} lies beyond the data: {target} ends on {last}; ingest what came since, "
            f"or choose an origin up to {first + timedelta(days=LATE_DAYS)}"
        )


def check_stores(home: Home, stores: Sequence[str]) -> None:
    """Raises NotKnownError for a store that is unknown."""
    if not stores:
        return
    store_ids = (
        set(home.lake.scan("stores").select("store_id").collect()["store_id"]) if home.lake.exists("stores") else set()
    )
    unknown = sorted(set(stores) - store_ids)
    if unknown:
        raise NotKnownError(
            f"unknown store {', '.join(unknown)}: the lake has {len(store_ids)} stores; ingest stores first"
        )


def write_out(rows: pl.DataFrame, path: Path) -> None:
    """Writes CSV, Parquet or Excel by the ending, whole or not at all (`exports.write`). Raises as `check_out`."""
    check_out(path, exports.EXPORT_ENDINGS)
    with atomic_write(path) as draft:
        exports.write(rows, draft, path.suffix.lower())
