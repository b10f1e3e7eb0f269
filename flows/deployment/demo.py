"""Demo: a simulated chain through every flow, under Prefect, with its oracle beside the scores."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from daypart.features.errors import InputError
from daypart.features.simulator import Chain, ChainSpec, simulate
from daypart.features.tables.schemas import TARGETS
from daypart.flows.deployment.login import new_login
from daypart.flows.deployment.server import login_environment, store_environment
from daypart.flows.files.atomic_files import atomic_write
from daypart.flows.home import Home
from daypart.flows.jobs import explain, forecast
from daypart.flows.jobs.backtest import BacktestRequest, BacktestResult, Span, backtest
from daypart.flows.jobs.explain import ExplainQuery, ForecastExplanation
from daypart.flows.jobs.train import TrainingOutcome, TrainRequest
from daypart.flows.monitoring.monitor import Watch
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.progress import Progress, part, silent

DAYS_A_YEAR, WATCHED_DAYS = 365, 14
LEAST_YEARS, MOST_YEARS = 0.5, 19.9
ISSUES_DAYS = 420
QUICK_STORE_YEARS = 20.0
"""Chains up to this size get the quick recipe and the short backtest."""
RECIPE = Recipe(members=("ratio", "linear", "statistical"), rounds=125, leaves=31, folds=1)
"""What pays on this chain: with many stores, a mean beside the median and last year's days add nothing."""
QUICK_RECIPE = RECIPE.model_copy(update={"max_rows": 60_000})
BACKTEST_WEEKS, QUICK_BACKTEST_WEEKS = 8, 4
FILE_STORES = 8
"""Stores a file of a table. A file is checked as a whole, so that its size decides how much memory an ingest takes."""


@dataclass(frozen=True)
class DemoSize:
    """The size of the demo's chain; two weeks follow on its years, in which its forecast is watched.

    Raises InputError for a size that is too small or too big to train on.
    """

    stores: int = 8
    years: float = 1.0
    seed: int = 7

    def __post_init__(self) -> None:
        if not LEAST_YEARS <= self.years <= MOST_YEARS:
            raise InputError(f"--years is {self.years:g}: expected {LEAST_YEARS} to {MOST_YEARS}")

    def __str__(self) -> str:
        """Return the size in words."""
        return f"{self.stores} stores and {self.years:g} years, seed {self.seed}"

    @property
    def spec(self) -> ChainSpec:
        """The chain. Raises InputError for stores or a seed that cannot be."""
        days = round(self.years * DAYS_A_YEAR) + WATCHED_DAYS
        return ChainSpec(stores=self.stores, days=days, seed=self.seed, issues_days=min(ISSUES_DAYS, days))

    @property
    def is_quick(self) -> bool:
        """Whether the chain is small enough for a first look of a minute."""
        return self.stores * self.years <= QUICK_STORE_YEARS


@dataclass(frozen=True)
class Demo:
    """What the demo did: the models, the backtest, the watch over two weeks, and the forecast that came after them.

    `day` has the dayparts of one store's first day of that forecast, `explanation` says why, `excel` is its file.
    """

    size: DemoSize
    trained: list[TrainingOutcome]
    backtested: BacktestResult
    watch: Watch
    day: pl.DataFrame
    explanation: ForecastExplanation
    excel: Path


def demo(home: Home, now: datetime, size: DemoSize = DemoSize(), progress: Progress = silent) -> Demo:  # noqa: B008 - frozen
    """Simulate a chain, train, backtest the last weeks, forecast, let 14 days pass, monitor and forecast again.

    Everything lies in the home and is the same for every run. Raises InputError for a home that holds other data.
    """
    spec = size.spec
    _claim(home, size)
    _quiet_prefect(home.settings.prefect)
    progress(f"simulate {spec.stores} stores, {spec.days} days", 0.0)
    chain = simulate(spec)
    origin = spec.end - timedelta(days=WATCHED_DAYS)
    before, after = _write(chain, home.path / "simulated", origin)
    oracle = _oracle(chain)
    del chain  # Its tables are in the files now.
    progress("start Prefect", 0.05)
    from daypart.flows.deployment import tasks as flows

    progress("ingest the tables", 0.1)
    flows.ingest(home, before)
    recipe = QUICK_RECIPE if size.is_quick else RECIPE
    trained = flows.train(home, recipe, TrainRequest(as_of=origin), now, part(progress, 0.2, 0.5))
    weeks = QUICK_BACKTEST_WEEKS if size.is_quick else BACKTEST_WEEKS
    span = Span(origin - timedelta(days=7 * weeks), origin - timedelta(days=1))
    request = BacktestRequest(span, home.path / "report.html", oracle=oracle)
    backtested = backtest(home, recipe, request, now, part(progress, 0.5, 0.85))
    progress("forecast", 0.85)
    flows.forecast(home)
    progress("two weeks pass: ingest their demand and monitor", 0.9)
    flows.ingest(home, after)
    watch = flows.monitor(home, now)
    progress("forecast the next two weeks", 0.95)
    return Demo(size, trained, backtested, watch, *_newest(home, flows.forecast(home)))


def _claim(home: Home, size: DemoSize) -> None:
    """Note in the home which chain it gets. Raises InputError where it holds other data, which this would mix with."""
    path = home.path / "simulated" / "demo.json"
    if path.exists():
        earlier = DemoSize(**json.loads(path.read_text()))
        if earlier != size:
            raise InputError(
                f"{home.path} holds the demo of {earlier}, and this is one of {size}: "
                "name another home, such as `daypart --home demo demo`"
            )
        return
    if home.lake.exists("stores"):
        raise InputError(
            f"{home.path} holds data of its own, and the demo would add its stores to it: "
            "name another home, such as `daypart --home demo demo`"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(asdict(size)))


def _newest(home: Home, origin: date) -> tuple[pl.DataFrame, ForecastExplanation, Path]:
    """Return one store's first day of orders by daypart, why it is so, and the Excel file of all stores."""
    rows = forecast.published(home, origin)
    assert rows is not None
    dayparts = forecast.at_level(home, rows, "daypart")
    excel = home.path / "forecast.xlsx"
    forecast.write_out(dayparts, excel)
    orders = dayparts.filter(pl.col("target") == "orders", pl.col("forecast") > 0)
    store, day = orders.sort("business_date", "store_id").select("store_id", "business_date").row(0)
    shown = orders.filter(pl.col("store_id") == store, pl.col("business_date") == day)
    return shown, explain.explain(home, ExplainQuery(store, day, target="orders", origin=origin)), excel


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


def _write(chain: Chain, folder: Path, origin: date) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """The chain's tables as folders of Parquet files: what is known at the origin, and the demand that comes after."""
    is_past = pl.col("hour_local").dt.date() < pl.lit(origin)
    frames = {name: frame for name, frame in chain.tables.items() if frame.height}
    demand = frames.pop("demand")
    before: dict[str, list[Path]] = {}
    for name, frame in {**frames, "demand": demand.filter(is_past), "later": demand.filter(~is_past)}.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        before[name] = []
        for number, rows in enumerate(_by_stores(frame, chain.tables["stores"]["store_id"].to_list())):
            path = folder / name / f"part-{number:04d}.parquet"
            with atomic_write(path) as draft:
                rows.write_parquet(draft)
            before[name].append(path)
    return before, {"demand": before.pop("later")}


def _by_stores(frame: pl.DataFrame, store_ids: list[str]) -> list[pl.DataFrame]:
    """Return a table's rows in parts of FILE_STORES stores, whole where they are of no store."""
    if "store_id" not in frame.columns or frame["store_id"].has_nulls():
        return [frame]
    groups = [store_ids[first : first + FILE_STORES] for first in range(0, len(store_ids), FILE_STORES)]
    parts = (frame.filter(pl.col("store_id").is_in(pl.Series(ids).implode())) for ids in groups)
    return [rows for rows in parts if rows.height]


def _oracle(chain: Chain) -> pl.DataFrame:
    """The true mean of every store-hour, one row per store, target and hour."""
    return pl.concat(
        chain.truth.select("store_id", "hour_utc", pl.lit(target).alias("target"), oracle=f"{target}_mean")
        for target in TARGETS
    )
