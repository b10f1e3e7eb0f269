"""A portfolio of 160 units: how fast it is listed and loaded, and what tiers save beside one uniform top tier.

python -m infra.bench.loop.unit_portfolio FOLDER [--segments N] [--stores N] [--days N] [--seed N] [--only listing tiers]

Tiers: the simulated chain is parted into classes of volume. `uniform` trains every unit by the default recipe, but for
weather and with 15,000 rows at most, so that the whole takes minutes; `tiered` only the TOP_SHARE of each target's classes that sell the most, the others by LIGHT. Each model forecasts the
fortnight after its last day; processor time is the meter's, of training alone.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from daypart.features.chain_data import Records
from daypart.features.dayparts import daypart
from daypart.features.segments import Rule, mean_daily
from daypart.features.simulator import ChainSpec, simulate
from daypart.flows.compute.meter import Meter
from daypart.flows.config.portfolio import Portfolio, Unit
from daypart.flows.config.settings import Settings
from daypart.flows.governance import units
from daypart.flows.governance.champions import champions
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.jobs.train import train
from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring.monitor import monitor
from daypart.flows.monitoring.portfolio import portfolio
from daypart.flows.registry.registry import Registry
from daypart.forecasting.metrics import score_tallies
from daypart.forecasting.metrics.actuals import idle_days, with_actuals
from daypart.forecasting.models.engine import Local
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import Workshop, chain_sums
from daypart.forecasting.serving.publication import of_block
from infra.bench.harness.isolated_job import Work, measure_job, run_isolated
from infra.bench.harness.results import write_text

TARGETS = ("orders", "sales")
PARTS = ("listing", "watching", "tiers")
WATCHED_NIGHTS = 28
TOP_SHARE = 0.5
TOP = Recipe(weather="none", max_rows=15_000)
LIGHT = TOP.model_copy(update={"members": ("ratio", "linear", "statistical"), "rounds": 150, "folds": 1})
STRIDE = 8
MOST_CPU, MOST_LOST_BPS = 0.7, 25.0


@dataclass(frozen=True)
class Made:
    """What one unit's training took under a recipe, and its forecasts' sums of errors and actuals."""

    unit: str
    target: str
    tier: str
    cpu_seconds: float
    error: float
    actual: float


def _made(
    records: Records, unit: Unit, ids: tuple[str, ...], tier: str, as_of: date, sums: Mapping[str, pl.DataFrame]
) -> Made:
    """Trains a unit on what was known at a date and scores the fortnight that followed."""
    recipe, meter = {"top": TOP, "light": LIGHT}[tier], Meter()
    past_records = records.until(as_of - timedelta(days=1))
    workshop = Workshop(past_records, unit.target, recipe, as_of, Local(meter), ids, sums[unit.target])
    model = workshop.train(as_of)
    cpu_seconds = meter.usage()[-1].cpu_seconds
    forecast_rows = pl.concat(of_block(block, past, model, as_of, tier) for block, past in workshop.blocks())
    block = records.block(ids)
    scored = with_actuals(forecast_rows, block.demand, idle_days(block, as_of), block.stores).drop_nulls("actual")
    error = (scored["forecast"] - scored["actual"]).abs().sum()
    return Made(unit.name, unit.target, tier, cpu_seconds, float(error), float(scored["actual"].sum()))


def tiers(segments: int, stores: int, days: int, seed: int) -> Iterator[dict[str, object]]:
    """The processor time and WAPE of both ways, by target, and what the tiers save and lose: of more and more units."""
    # The fortnight that is forecast is trade of the same chain.
    spec = ChainSpec(stores, days=days + 14, seed=seed, issues_days=0, observed_days=0)
    records, as_of = Records.of(simulate(spec).tables).without("weather"), spec.end - timedelta(days=14)
    members = parted(records, segments, as_of)
    sums = {target: chain_sums(records.until(as_of - timedelta(days=1)), target, as_of) for target in TARGETS}
    # What is compiled at its first use is nobody's cost.
    _made(records, *next(iter(members.items())), "light", as_of, sums)
    ranked = {target: [unit for unit in members if unit.target == target] for target in TARGETS}
    busiest = {unit for ranking in ranked.values() for unit in ranking[-round(len(ranking) * TOP_SHARE) :]}
    results: list[Made] = []
    # Every so many classes at a time: what is known so far is of all sizes.
    for unit in (unit for first in range(STRIDE) for ranking in ranked.values() for unit in ranking[first::STRIDE]):
        for tier in ("top",) if unit in busiest else ("top", "light"):
            results.append(_made(records, unit, members[unit], tier, as_of, sums))
        yield compared(results)


def parted(records: Records, segments: int, as_of: date) -> units.Members:
    """Units of as many classes of volume for each target, each with its stores; the least first."""
    volumes = {target: mean_daily(records.scan_demand(), records.stores, target, as_of) for target in TARGETS}
    return Portfolio(dict.fromkeys(TARGETS, Rule("volume", segments))).members(records.stores, volumes)


def compared(results: list[Made]) -> dict[str, object]:
    """Uniform beside tiered: the light model counts where there is one."""
    ways = {
        "uniform": {result.unit: result for result in results if result.tier == "top"},
        "tiered": {result.unit: result for result in results},
    }
    cpu = {way: sum(result.cpu_seconds for result in models.values()) for way, models in ways.items()}
    wape = {way: {target: _wape(models, target) for target in TARGETS} for way, models in ways.items()}
    losses = {target: wape["tiered"][target] - wape["uniform"][target] for target in TARGETS}
    saved = 1 - cpu["tiered"] / cpu["uniform"]
    return {
        "units": len(ways["uniform"]),
        "in the top tier": sum(result.tier == "top" for result in ways["tiered"].values()),
        "cpu_seconds": cpu,
        "saved": saved,
        "wape_bps": wape,
        "lost_bps": losses,
        "reached": saved >= 1 - MOST_CPU and max(losses.values()) <= MOST_LOST_BPS,
    }


def _wape(models: dict[str, Made], target: str) -> float:
    results = [result for result in models.values() if result.target == target]
    return 1e4 * sum(each.error for each in results) / sum(result.actual for result in results) if results else 0.0


def listing(folder: Path, segments: int) -> dict[str, object]:
    """Seconds of what a night asks of a registry with many champions, and of `daypart portfolio`."""
    home = folder / f"{2 * segments}-units"
    if not home.exists():
        run_isolated(_fill, home, segments)
    return dict(measure_job(_list, home).figures)


def _fill(home: Path, segments: int) -> None:
    """A home whose units all have the same small model, with tallies of four weeks; whole or not at all."""
    draft = home.with_name(f".{home.name}")
    shutil.rmtree(draft, ignore_errors=True)
    spec = ChainSpec(2 * segments, days=134, seed=7, issues_days=0, observed_days=0)
    lake, registry = Lake(draft / "lake"), Registry(Settings(home=draft))
    tables = simulate(spec).tables
    for name in ("stores", "demand"):
        lake.upsert(name, tables[name].filter(pl.col("hour_local") < spec.end) if name == "demand" else tables[name])
    train(lake, registry, Recipe(weather="none", rounds=100, max_rows=30_000, folds=1))
    (draft / "portfolio.toml").write_text(f'[segments]\nby = "volume"\nclasses = {segments}\n')
    chain = Chain.of(lake)
    members = units.members(chain, Portfolio.read(registry.settings.portfolio), dict.fromkeys(TARGETS, spec.end))
    for unit in members:
        files, about = registry.load(unit.target, "champion"), registry.describe(unit.target, "champion")
        run = registry.record("train", unit.name, about["params"], about["metrics"], chain.versions, files)
        version = registry.register(unit.name, run, {"tier": unit.tier})
        for alias in ("challenger", "champion"):
            registry.set_alias(unit.name, alias, version)
    for day in range(28):
        _tally(lake, spec.end - timedelta(days=42 - day))
    draft.rename(home)


def _tally(lake: Lake, origin: date) -> None:
    """Tallies of all stores from an origin on: forecasts that are 5% too high."""
    hours = pl.col("hour_local").is_between(origin, origin + timedelta(days=14), closed="left")
    demand = lake.scan("demand").filter(hours).collect()
    long = demand.unpivot(TARGETS, index=["store_id", "hour_utc", "hour_local"], variable_name="target",
                          value_name="actual").drop_nulls("actual")  # fmt: skip
    forecasts = long.with_columns(
        *((pl.col("actual") * 1.05).alias(name) for name in ("forecast", "q10", "q90", "incumbent")),
        origin_date=pl.lit(origin), business_date=pl.col("hour_local").dt.date(), daypart=daypart(pl.col("hour_local").dt.hour()),
        lead_days=(pl.col("hour_local").dt.date() - pl.lit(origin)).dt.total_days(), model_version=pl.lit("bench"),
    )  # fmt: skip
    lake.upsert("tallies", score_tallies.tally(forecasts.with_columns(tier=pl.lit("standard"))))


def _list(home: Path) -> Work:
    lake, registry = Lake(home / "lake"), Registry(Settings(home=home))
    registry.version_of("orders", "champion")

    def work() -> dict[str, object]:
        took: dict[str, object] = {}

        def timed(name: str, action: Callable[[], Any]) -> Any:
            began = time.perf_counter()
            value = action()
            took[name] = round(time.perf_counter() - began, 2)
            return value

        aliases = timed("aliases", registry.aliases)
        versions = {unit: unit_aliases["champion"] for unit, unit_aliases in aliases.items() if "." in unit}
        timed("describe all", lambda: registry.describe_all(versions))
        timed("load all", lambda: list(registry.stored_all(versions)))
        day = Chain.of(lake).last_day() + timedelta(days=1)  # type: ignore[operator]
        chain, declared = Chain.of(lake), Portfolio.read(registry.settings.portfolio)
        members = timed("members", lambda: units.members(chain, declared, dict.fromkeys(TARGETS, day)))
        timed("champions", lambda: champions(lake, registry, members))
        listed = timed("portfolio", lambda: portfolio(lake, registry))
        timed("publish", lambda: publish(lake, registry))
        tally_count = lake.scan("tallies").select(pl.len()).collect().item()
        return {"units": len(listed.units), "tallies": tally_count, "seconds": took}

    return work


def watching(folder: Path, segments: int, stores: int) -> dict[str, object]:
    """Seconds of the monitor on the night after one day of demand came, where WATCHED_NIGHTS were published before."""
    home = folder / f"{2 * segments}-units-of-{stores}-stores"
    if not home.exists():
        listing(folder, segments)
        run_isolated(_published, home, folder / f"{2 * segments}-units", stores)
    return dict(measure_job(_watch, home).figures)


def _published(home: Path, models: Path, stores: int) -> None:
    """A home with the models of another, whose nights were published and monitored up to yesterday."""
    draft = home.with_name(f".{home.name}")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(models, draft, ignore=shutil.ignore_patterns("lake"))
    spec = ChainSpec(stores, days=WATCHED_NIGHTS + 60, seed=7, issues_days=0, observed_days=0)
    lake, registry, tables = Lake(draft / "lake"), Registry(Settings(home=draft)), simulate(spec).tables
    lake.upsert("stores", tables["stores"])
    past_demand = tables["demand"].filter(pl.col("hour_local") < spec.end - timedelta(days=1))
    lake.upsert("demand", past_demand)
    names = {target: sorted(name for name in registry.aliases() if name.startswith(f"{target}.")) for target in TARGETS}
    for night in range(WATCHED_NIGHTS):
        origin = spec.end - timedelta(days=WATCHED_NIGHTS - night)
        lake.replace("forecasts", _guessed(past_demand, spec.store_ids, names, origin), origin)
    monitor(lake, registry)
    tables["demand"].filter(pl.col("hour_local") >= spec.end - timedelta(days=1)).write_parquet(draft / "today.parquet")
    draft.rename(home)


def _guessed(past_demand: pl.DataFrame, ids: list[str], names: dict[str, list[str]], origin: date) -> pl.DataFrame:
    """What stores' mean hours of the week say of the 14 days from an origin on, as published."""
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


def _watch(home: Path) -> Work:
    lake, registry = Lake(home / "lake"), Registry(Settings(home=home))
    lake.upsert("demand", pl.read_parquet(home / "today.parquet"))

    def work() -> dict[str, object]:
        began = time.perf_counter()
        watch = monitor(lake, registry)
        scored = lake.scan("scores").select(pl.len()).collect().item()
        return {"units": len(watch.decisions), "scored": scored, "seconds": round(time.perf_counter() - began, 1)}

    return work


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.bench.loop.unit_portfolio", description=__doc__)
    parser.add_argument("folder", type=Path, help="where homes are kept between runs, and units.json goes")
    parser.add_argument("--segments", type=int, default=80)
    parser.add_argument("--stores", type=int, default=160)
    parser.add_argument("--watched-stores", type=int, default=2000)
    parser.add_argument("--days", type=int, default=440)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    # As the command line has it: LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    report: dict[str, object] = {}
    if "listing" in arguments.only:
        report["listing"] = listing(folder, arguments.segments)
    if "watching" in arguments.only:
        report["watching"] = watching(folder, arguments.segments, arguments.watched_stores)
    if "tiers" in arguments.only:
        for report["tiers"] in tiers(arguments.segments, arguments.stores, arguments.days, arguments.seed):
            write_text(folder / "units.json", json.dumps(report, indent=1) + "\n")
    write_text(folder / "units.json", json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
