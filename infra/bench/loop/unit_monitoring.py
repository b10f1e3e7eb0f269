"""Time of the monitor on a portfolio of many units, after weeks of published nights."""

import shutil
import time
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from daypart.features.dayparts import daypart
from daypart.features.simulator import ChainSpec, simulate
from daypart.features.tables.schemas import TARGETS
from daypart.flows.config.settings import Settings
from daypart.flows.home import Home
from daypart.flows.monitoring.monitor import monitor
from infra.bench.harness.isolated_job import Work, measure_job, run_isolated
from infra.bench.loop.unit_listing import portfolio_home

PUBLISHED_NIGHTS = 28


def monitor_seconds(folder: Path, segments: int, stores: int) -> dict[str, object]:
    """Return seconds of the monitor after one new day of demand, where PUBLISHED_NIGHTS were published before."""
    home = folder / f"{2 * segments}-units-of-{stores}-stores"
    if not home.exists():
        run_isolated(_build_home, home, portfolio_home(folder, segments), stores)
    return dict(measure_job(_monitor_day, home).figures)


def _build_home(home: Path, models: Path, stores: int) -> None:
    """Build a home with the models of another, whose nights are published and monitored up to yesterday."""
    draft = home.with_name(f".{home.name}")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(models, draft, ignore=shutil.ignore_patterns("lake"))
    shutil.copytree(models / "lake" / "audit", draft / "lake" / "audit")  # the registry knows how long it is
    spec = ChainSpec(stores, days=PUBLISHED_NIGHTS + 60, seed=7, issues_days=0, observed_days=0)
    opened, tables = Home(Settings(home=draft)), simulate(spec).tables
    lake, registry = opened.lake, opened.registry
    lake.upsert("stores", tables["stores"])
    past_demand = tables["demand"].filter(pl.col("hour_local") < spec.end - timedelta(days=1))
    lake.upsert("demand", past_demand)
    names = {target: sorted(name for name in registry.aliases() if name.startswith(f"{target}.")) for target in TARGETS}
    for night in range(PUBLISHED_NIGHTS):
        origin = spec.end - timedelta(days=PUBLISHED_NIGHTS - night)
        lake.replace("forecasts", _naive_forecasts(past_demand, spec.store_ids, names, origin), origin)
    monitor(opened)
    tables["demand"].filter(pl.col("hour_local") >= spec.end - timedelta(days=1)).write_parquet(draft / "today.parquet")
    draft.rename(home)


def _naive_forecasts(
    past_demand: pl.DataFrame, ids: list[str], names: dict[str, list[str]], origin: date
) -> pl.DataFrame:
    """Return rows as published for the 14 days from an origin on: each store's mean of the hour of the week."""
    week = past_demand.group_by(
        "store_id", pl.col("hour_local").dt.weekday().alias("day"), pl.col("hour_local").dt.hour().alias("hour")
    )
    days = pl.DataFrame({"date": [origin + timedelta(days=k) for k in range(14)], "lead_days": range(14)})
    mean = week.agg(pl.col(TARGETS).mean()).unpivot(
        TARGETS, index=["store_id", "day", "hour"], variable_name="target", value_name="forecast"
    )
    rows = mean.join(days.with_columns(day=pl.col("date").dt.weekday().cast(pl.Int8)), on="day")
    local = pl.col("date").cast(pl.Datetime("us")) + pl.duration(hours="hour")
    model_versions = pl.DataFrame({
        "target": [target for target in TARGETS for _ in ids], "store_id": [name for _ in TARGETS for name in ids],
        "model_version": [f"{names[t][k * len(names[t]) // len(ids)]}-v1" for t in TARGETS for k in range(len(ids))],
    })  # fmt: skip
    offsets = past_demand.group_by("store_id").agg(offset=(pl.col("hour_utc") - pl.col("hour_local")).first())
    shown = rows.join(model_versions, on=["target", "store_id"]).join(offsets, on="store_id").with_columns(
        hour_local=local, hour_utc=local + pl.col("offset"), business_date="date", origin_date=pl.lit(origin),
        daypart=daypart(pl.col("hour")), q10=pl.col("forecast") * 0.8, q50="forecast", q90=pl.col("forecast") * 1.2,
        incumbent=pl.col("forecast") * 1.1, tier=pl.lit("standard"),
    )  # fmt: skip
    return shown.drop("day", "hour", "date", "offset")


def _monitor_day(home: Path) -> Work:
    opened = Home(Settings(home=home))
    lake = opened.lake
    lake.upsert("demand", pl.read_parquet(home / "today.parquet"))

    def work() -> dict[str, object]:
        began = time.perf_counter()
        report = monitor(opened)
        scored = lake.scan("scores").select(pl.len()).collect().item()
        return {"units": len(report.decisions), "scored": scored, "seconds": round(time.perf_counter() - began, 1)}

    return work
