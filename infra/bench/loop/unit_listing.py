"""Time to list and load a portfolio of many units, each with a champion in the registry."""

import shutil
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from daypart.features.dayparts import daypart
from daypart.features.simulator import ChainSpec, simulate
from daypart.features.tables.schemas import TARGETS
from daypart.flows.config.settings import Settings
from daypart.flows.governance import units
from daypart.flows.governance.champions import champions
from daypart.flows.home import Home
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.jobs.train import train
from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring.portfolio import portfolio
from daypart.flows.registry.runs import RunRecord
from daypart.forecasting.metrics import score_tallies
from daypart.forecasting.models.recipe import Recipe
from infra.bench.harness.isolated_job import Work, measure_job, run_isolated


def listing_seconds(folder: Path, segments: int) -> dict[str, object]:
    """Return seconds of each read that a night makes of a registry with many champions, and of `daypart portfolio`."""
    return dict(measure_job(_list_units, portfolio_home(folder, segments)).figures)


def portfolio_home(folder: Path, segments: int) -> Path:
    """Return a home of `2 * segments` units, built when it is first needed."""
    home = folder / f"{2 * segments}-units"
    if not home.exists():
        run_isolated(_build_home, home, segments)
    return home


def _build_home(home: Path, segments: int) -> None:
    """Build a home whose units all have the same small model, with tallies of four weeks. It appears when complete."""
    draft = home.with_name(f".{home.name}")
    shutil.rmtree(draft, ignore_errors=True)
    spec = ChainSpec(2 * segments, days=134, seed=7, issues_days=0, observed_days=0)
    opened = Home(Settings(home=draft))
    lake, registry = opened.lake, opened.registry
    tables = simulate(spec).tables
    for name in ("stores", "demand"):
        lake.upsert(name, tables[name].filter(pl.col("hour_local") < spec.end) if name == "demand" else tables[name])
    train(opened, Recipe(weather="none", rounds=100, max_rows=30_000, folds=1))
    (draft / "portfolio.toml").write_text(f'[segments]\nby = "volume"\nclasses = {segments}\n')
    chain = Chain.newest(lake)
    members = units.members(chain, opened.portfolio, dict.fromkeys(TARGETS, spec.end))
    for unit in members:
        files, description = registry.load(unit.target, "champion"), registry.describe(unit.target, "champion")
        params, metrics = description["params"], description["metrics"]
        run_id = registry.record(RunRecord("train", unit.name, params, metrics, chain.versions, files))
        version = registry.register(unit.name, run_id, {"tier": unit.tier})
        for alias in ("challenger", "champion"):
            registry.set_alias(unit.name, alias, version)
    for day in range(28):
        _add_tallies(lake, spec.end - timedelta(days=42 - day))
    draft.rename(home)


def _add_tallies(lake: Lake, origin: date) -> None:
    """Add tallies of all stores from an origin on, of forecasts that are 5% too high."""
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


def _list_units(home: Path) -> Work:
    opened = Home(Settings(home=home))
    lake, registry = opened.lake, opened.registry
    registry.version_of("orders", "champion")

    def work() -> dict[str, object]:
        seconds: dict[str, object] = {}

        def time_step(name: str, action: Callable[[], Any]) -> Any:
            began = time.perf_counter()
            value = action()
            seconds[name] = round(time.perf_counter() - began, 2)
            return value

        aliases = time_step("aliases", registry.aliases)
        versions = {unit: unit_aliases["champion"] for unit, unit_aliases in aliases.items() if "." in unit}
        time_step("describe all", lambda: registry.describe_all(versions))
        time_step("load all", lambda: list(registry.stored_models(versions)))
        chain, declared = Chain.newest(lake), opened.portfolio
        last_day = chain.last_day()
        assert last_day is not None
        day = last_day + timedelta(days=1)
        members = time_step("members", lambda: units.members(chain, declared, dict.fromkeys(TARGETS, day)))
        time_step("champions", lambda: champions(opened, members))
        listed = time_step("portfolio", lambda: portfolio(opened))
        time_step("publish", lambda: publish(opened))
        tally_count = lake.scan("tallies").select(pl.len()).collect().item()
        return {"units": len(listed.units), "tallies": tally_count, "seconds": seconds}

    return work
