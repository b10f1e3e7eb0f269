"""Cost of the nightly job and of what precedes it: ingest, training, a night of all stores, and its growth."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from daypart.flows.config.settings import Settings
from daypart.flows.home import Home
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.train import train
from daypart.flows.monitoring.monitor import monitor
from daypart.forecasting.models.recipe import Recipe
from infra.bench.harness.isolated_job import JobCost, Work, measure_job, run_isolated
from infra.bench.harness.stored_chain import StoredChain, copy_or_link
from infra.bench.scale.comparison_row import Limit, Row, Task, compare

MAX_EXPONENT, MAX_MEMORY_GROWTH = 1.05, 1.3
REGISTRY_FILES = ("mlflow.db", "artifacts")


def ingest_rows(chain: StoredChain) -> list[Row]:
    """Measure the first ingest of all demand, and the upsert of one day."""
    with chain.scratch() as home:
        first = measure_job(_first_ingest, home, chain.files())
    with chain.copy_of_home() as home:
        upsert = measure_job(_upsert, home, chain.arrivals())
    what = "all demand from Parquet into an empty lake that knows the stores"
    return [
        compare(Task("first ingest", what, f"{first.figures['rows']:,} rows"), Limit(seconds=90, gib=3), first),
        compare(Task("upsert of a day", "the demand of one day of all stores", f"{upsert.figures['rows']:,} rows"),
                Limit(seconds=4), upsert),
    ]  # fmt: skip


def train_rows(chain: StoredChain) -> list[Row]:
    """Measure training. It replaces the models that `night_rows` uses."""
    path, draft = chain.folder / "trained", chain.folder / ".trained"
    shutil.rmtree(draft, ignore_errors=True)
    cost = measure_job(_train, draft, chain.home())
    shutil.rmtree(path, ignore_errors=True)
    draft.rename(path)
    what = "both targets by the default recipe, gate and registry included"
    row_counts = "; ".join(f"{target} {rows:,.0f} rows" for target, rows in cost.figures.items())
    return [compare(Task("training", what, row_counts), Limit(seconds=1200, gib=8), cost)]


def night_rows(chain: StoredChain) -> list[Row]:
    """Measure one night of the chain."""
    cost = measure_night(chain, chain)
    what = "ingest a day, forecast 14 days of both targets and publish them, score yesterday; in one process"
    step_times = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in cost.figures.items())
    return [compare(Task("nightly job", what, step_times), Limit(seconds=90, gib=3), cost)]


def scaling_rows(chain: StoredChain) -> list[Row]:
    """Measure nights of an eighth to twice the stores, with the models of the chain."""
    sizes = [max(1, chain.stores * eighths // 8) for eighths in (1, 2, 4, 8, 16)]
    nights = {size: measure_night(chain.with_stores(size), chain) for size in sizes}
    exponent = growth_exponent([(size, cost.seconds) for size, cost in nights.items()])
    growth = nights[sizes[4]].peak_gib / nights[sizes[2]].peak_gib
    costs = ", ".join(f"{size:,}: {cost.seconds:.1f} s {cost.peak_gib:.2f} GiB" for size, cost in nights.items())
    return [
        Row(
            work="scaling of the night",
            what=f"exponent of seconds over stores; peak at {sizes[4]:,} stores over that at {sizes[2]:,}",
            must_reach=f"exponent at most {MAX_EXPONENT}, peak at most {MAX_MEMORY_GROWTH} times",
            reached="yes" if exponent <= MAX_EXPONENT and growth <= MAX_MEMORY_GROWTH else "no",
            found=f"exponent {exponent:.3f}, peak {growth:.2f} times ({costs})",
        )
    ]


def growth_exponent(points: list[tuple[float, float]]) -> float:
    """Return the exponent of seconds over stores, by least squares in logarithms."""
    x, y = (np.log(values) for values in zip(*points, strict=True))
    return float(np.polyfit(x, y, 1)[0])


@cache
def measure_night(chain: StoredChain, trained: StoredChain) -> JobCost:
    """Return the cost of one night after a night that published, with the models of a chain; cached within a run."""
    with home_with_models(chain, default_models(trained)) as home:
        run_isolated(_publish_yesterday, home)
        return measure_job(_night, home, chain.arrivals())


def default_models(chain: StoredChain) -> Path:
    """Return a home that holds the models of the default recipe, and a copy of the chain's lake."""
    return chain.build_once("trained", _train_models, chain.home())


@contextmanager
def home_with_models(chain: StoredChain, trained: Path) -> Iterator[Path]:
    """Return a copy of the chain's home with the models and audit of another home; it is removed afterwards."""
    with chain.copy_of_home() as home:
        shutil.copy2(trained / REGISTRY_FILES[0], home)
        shutil.copytree(trained / REGISTRY_FILES[1], home / REGISTRY_FILES[1])
        if (audit := trained / "lake" / "audit").exists():  # the registry knows how long it is
            shutil.copytree(audit, home / "lake" / "audit", copy_function=copy_or_link)
        yield home


def open_home(path: Path, lake_of: Path | None = None) -> Home:
    """Return the home at a path. Where it has no lake yet, it gets a copy of that of the home `lake_of`.

    What is trained there is audited in the copy: an audit names models of one registry.
    """
    if lake_of is not None and not (path / "lake").exists():
        shutil.copytree(lake_of / "lake", path / "lake", copy_function=copy_or_link)
    return Home(Settings(home=path))


def _first_ingest(home: Path, files: Path) -> Work:
    opened = open_home(home)
    ingest_table(opened, "stores", [files / "stores"])
    return lambda: {"rows": ingest_table(opened, "demand", [files / "demand"]).rows_taken}


def _upsert(home: Path, arrivals: Path) -> Work:
    return lambda: {"rows": ingest_table(open_home(home), "demand", [arrivals]).rows_taken}


def _train(out: Path, home: Path) -> Work:
    opened = open_home(out, lake_of=home)
    return lambda: {trained.target: trained.figures["rows"] for trained in train(opened, Recipe())}


def _train_models(out: Path, home: Path) -> None:
    _train(out, home)()


def _publish_yesterday(home: Path) -> None:
    publish(open_home(home))


def _night(home: Path, arrivals: Path) -> Work:
    opened = open_home(home)
    steps = {
        "ingest": lambda: ingest_table(opened, "demand", [arrivals]),
        "forecast": lambda: publish(opened),
        "score": lambda: monitor(opened),
    }

    def work() -> dict[str, float]:
        seconds = {}
        for step, call in steps.items():
            began = time.perf_counter()
            call()
            seconds[step] = time.perf_counter() - began
        return seconds

    return work
