"""Forecast: the champion's 14 days for every store, published whole; and what was published, read back."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from features.errors import InputError, NotKnownError
from features.records import Records
from flows.adapters.lake import Lake
from flows.adapters.registry import Registry
from flows.reading import read_records, with_demand

LATE_DAYS = 7
"""How many days of demand may be missing before an origin: late data must not stop the night."""


def published(lake: Lake, origin: date | None, stores: Sequence[str] = ()) -> pl.DataFrame | None:
    """The published forecast of an origin (default: the latest), for some stores or all; null if there is none."""
    if not lake.exists("forecasts"):
        return None
    rows = lake.scan("forecasts")
    if origin is None:
        origin = rows.select(pl.col("origin_date").max()).collect().item()
    found = rows.filter(pl.col("origin_date") == origin)
    if stores:
        found = found.filter(pl.col("store_id").is_in(pl.Series(stores).implode()))
    frame = found.collect().sort("store_id", "target", "origin_date", "hour_utc")
    return None if frame.is_empty() else frame


def due(lake: Lake, origin: date | None) -> date | None:
    """The origin asked for; by default the day after the last demand, null while there is no demand."""
    if origin is not None or not lake.exists("demand"):
        return origin
    last = lake.scan("demand").select(pl.col("hour_local").max().dt.date()).collect().item()
    return last + timedelta(days=1) if isinstance(last, date) else None


def publish(
    lake: Lake, registry: Registry, origin: date | None = None, targets: tuple[str, ...] | None = None
) -> pl.DataFrame:
    """Forecasts every store with history from `origin` (default: the day after the last demand) and publishes it.

    One atomic write per target replaces an earlier publication of the same origin. Returns what was published.
    """
    from forecasting.model import Model
    from forecasting.publication import as_published
    from forecasting.workshop import Workshop

    records, reads = read_records(lake)
    told = []
    for target in with_demand(records, targets):
        day = check_origin(records, target, origin)
        version = registry.version_of(target, "champion")
        if version is None:
            raise NotKnownError(f"no champion for {target}: run `daypart train` first")
        model = Model.from_files(registry.load(target, version))
        if model.as_of > day:
            raise InputError(f"the champion for {target} was trained on demand up to {model.as_of}, after the origin "
                             f"{day}: it would know the future; use `daypart backtest`")  # fmt: skip
        workshop = Workshop(records, target, model.recipe, day)
        told.append(as_published(workshop, records, model, day, f"{target}-v{version}"))
        lake.replace("forecasts", told[-1], where={"origin_date": day, "target": target})
        registry.record("forecast", target, {"origin": day.isoformat(), "model_version": str(version)},
                        {"rows": told[-1].height}, reads, {})  # fmt: skip
    return pl.concat(told).sort("store_id", "target", "origin_date", "hour_utc")


def check_origin(records: Records, target: str, origin: date | None) -> date:
    """The origin to forecast from. Raises NotKnownError where it lies in the past or too far beyond the data."""
    last = records.last_demand_on(target)
    assert last is not None
    next_day = last + timedelta(days=1)
    if origin is None or origin == next_day:
        return next_day
    if origin < next_day:
        raise NotKnownError(
            f"origin {origin} lies in the past and was never published: {target} is known to {last}; "
            f"forecast from {next_day}, or use `daypart backtest --start {origin}`"
        )
    if (origin - next_day).days > LATE_DAYS:
        raise NotKnownError(
            f"origin {origin} lies beyond the data: {target} ends on {last}; ingest what came since, or choose "
            f"an origin up to {next_day + timedelta(days=LATE_DAYS)}"
        )
    return origin


def check_stores(lake: Lake, stores: Sequence[str]) -> None:
    """Raises NotKnownError for a store that is unknown or has no history to forecast from."""
    if not stores:
        return
    known = set(lake.scan("stores").select("store_id").collect()["store_id"]) if lake.exists("stores") else set()
    unknown = sorted(set(stores) - known)
    if unknown:
        raise NotKnownError(f"unknown store {', '.join(unknown)}: the lake has {len(known)} stores; ingest stores first")
    demand = lake.scan("demand").filter(pl.col("store_id").is_in(pl.Series(list(stores)).implode()))
    silent = sorted(set(stores) - set(demand.select("store_id").unique().collect()["store_id"]))
    if silent:
        raise NotKnownError(f"store {', '.join(silent)} has no history: ingest its demand before asking for a forecast")


def write_out(rows: pl.DataFrame, path: Path) -> None:
    """Writes CSV, Parquet or Excel by the file's ending, whole or not at all."""
    writers = {".csv": rows.write_csv, ".parquet": rows.write_parquet, ".xlsx": rows.write_excel}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InputError(f"cannot write {path.name}: its ending is {path.suffix or 'missing'}, expected .csv, .parquet or .xlsx")
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: folder {path.parent} does not exist; make it first")
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        writer(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
