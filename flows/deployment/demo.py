"""Demo: a simulated chain through every flow, under Prefect, with its oracle beside the scores."""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from daypart.features.simulator import Chain, ChainSpec, simulate
from daypart.features.tables.schemas import TARGETS
from daypart.flows.deployment.login import new_login
from daypart.flows.deployment.server import login_environment, store_environment
from daypart.flows.files.atomic_files import atomic_write
from daypart.flows.home import Home
from daypart.flows.jobs.backtest import BacktestRequest, BacktestResult, Span, backtest
from daypart.flows.jobs.train import TrainingOutcome, TrainRequest
from daypart.flows.monitoring.monitor import Watch
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.progress import Progress, part, silent

STORES, DAYS, SEED = 48, 744, 7
BACKTEST_WEEKS = 8
RECIPE = Recipe(members=("ratio", "linear", "statistical"), rounds=125, leaves=31, folds=1)
"""What pays on this chain: with many stores, a mean beside the median and last year's days add nothing."""


@dataclass(frozen=True)
class Demo:
    """What the demo did: the models, the backtest, the published forecast and the watch over it."""

    trained: list[TrainingOutcome]
    backtested: BacktestResult
    watch: Watch


def demo(home: Home, now: datetime, progress: Progress = silent) -> Demo:
    """Simulate two years, train, backtest eight weeks, forecast, let 14 days pass and monitor.

    Everything lies in the home and is the same for every run.
    """
    _quiet_prefect(home.settings.prefect)
    from daypart.flows.deployment import tasks as flows

    spec = ChainSpec(stores=STORES, days=DAYS, seed=SEED)
    progress(f"simulate {STORES} stores, {DAYS} days", 0.0)
    chain = simulate(spec)
    origin = spec.end - timedelta(days=14)
    before, after = _write(chain, home.path / "simulated", origin)
    progress("ingest", 0.05)
    flows.ingest(home, before)
    progress("train", 0.15)
    trained = flows.train(home, RECIPE, TrainRequest(as_of=origin), now)
    span = Span(origin - timedelta(days=7 * BACKTEST_WEEKS), origin - timedelta(days=1))
    request = BacktestRequest(span, home.path / "report.html", oracle=_oracle(chain))
    backtested = backtest(home, RECIPE, request, now, part(progress, 0.4, 0.85))
    progress("forecast", 0.85)
    flows.forecast(home)
    progress("two weeks pass; monitor", 0.9)
    flows.ingest(home, after)
    return Demo(trained, backtested, flows.monitor(home, now))


def _quiet_prefect(store: Path) -> None:
    """Prefect keeps its own store there, says little and sends nothing; set before it is imported.

    Where no other server is named, the one that Prefect starts for the demo serves the demo alone.
    """
    if not os.environ.keys() & {"PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE"}:
        os.environ |= login_environment(new_login())
    silent = {
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
    }
    for name, value in {**store_environment(store), **silent}.items():
        os.environ.setdefault(name, value)


def _write(chain: Chain, folder: Path, origin: object) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """The chain's tables as Parquet files: what is known at the origin, and the demand that comes after."""
    folder.mkdir(parents=True, exist_ok=True)
    is_past = pl.col("hour_local").dt.date() < pl.lit(origin)
    frames = {name: frame for name, frame in chain.tables.items() if frame.height}
    demand = frames.pop("demand")
    before: dict[str, list[Path]] = {}
    for name, frame in {**frames, "demand": demand.filter(is_past), "later": demand.filter(~is_past)}.items():
        path = folder / f"{name}.parquet"
        with atomic_write(path) as draft:
            frame.write_parquet(draft)
        before[name] = [path]
    return before, {"demand": before.pop("later")}


def _oracle(chain: Chain) -> pl.DataFrame:
    """The true mean of every store-hour, one row per store, target and hour."""
    return pl.concat(
        chain.truth.select("store_id", "hour_utc", pl.lit(target).alias("target"), oracle=f"{target}_mean")
        for target in TARGETS
    )
