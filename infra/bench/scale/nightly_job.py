"""The nightly job and what leads to it: ingest, training, a night of all stores, and how it grows with them."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from daypart.flows.config.settings import Settings
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.train import train
from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring.monitor import monitor
from daypart.flows.registry.registry import Registry
from daypart.forecasting.models.recipe import Recipe
from infra.bench.harness.isolated_job import Took, Work, apart, measured
from infra.bench.harness.stored_chain import SimulatedChain
from infra.bench.scale.comparison_row import Limit, Row, beside

EXPONENT, GROWTH = 1.05, 1.3
MODELS = ("mlflow.db", "artifacts")


def ingest_rows(chain: SimulatedChain) -> list[Row]:
    with chain.scratch() as home:
        first = measured(_first_ingest, home, chain.files())
    with chain.copied() as home:
        upsert = measured(_upsert, home, chain.arrivals())
    what = "all demand from Parquet into an empty lake that knows the stores"
    return [
        beside("first ingest", what, Limit(seconds=90, gib=3), first, found=f"{first.told['rows']:,} rows"),
        beside("upsert of a day", "the demand of one day of all stores", Limit(seconds=4), upsert,
               found=f"{upsert.told['rows']:,} rows"),
    ]  # fmt: skip


def train_rows(chain: SimulatedChain) -> list[Row]:
    """Trains anew; the models are those of the night."""
    path, draft = chain.folder / "trained", chain.folder / ".trained"
    shutil.rmtree(draft, ignore_errors=True)
    took = measured(_train, draft, chain.home())
    shutil.rmtree(path, ignore_errors=True)
    draft.rename(path)
    what = "both targets by the default recipe, gate and registry included"
    row_counts = "; ".join(f"{target} {rows:,.0f} rows" for target, rows in took.told.items())
    return [beside("training", what, Limit(seconds=1200, gib=8), took, found=row_counts)]


def night_rows(chain: SimulatedChain) -> list[Row]:
    took = nightly(chain, chain)
    what = "ingest a day, forecast 14 days of both targets and publish them, score yesterday; in one process"
    step_times = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in took.told.items())
    return [beside("nightly job", what, Limit(seconds=90, gib=3), took, found=step_times)]


def scaling_rows(chain: SimulatedChain) -> list[Row]:
    """Nights of an eighth to twice the stores, with the models of the chain."""
    sizes = [max(1, chain.stores * eighths // 8) for eighths in (1, 2, 4, 8, 16)]
    nights = {size: nightly(chain.of(size), chain) for size in sizes}
    exponent = slope([(size, took.seconds) for size, took in nights.items()])
    growth = nights[sizes[4]].peak_gib / nights[sizes[2]].peak_gib
    costs = ", ".join(f"{size:,}: {took.seconds:.1f} s {took.peak_gib:.2f} GiB" for size, took in nights.items())
    return [
        Row(
            work="scaling of the night",
            what=f"exponent of seconds over stores; peak at {sizes[4]:,} stores over that at {sizes[2]:,}",
            must_reach=f"exponent at most {EXPONENT}, peak at most {GROWTH} times",
            reached="yes" if exponent <= EXPONENT and growth <= GROWTH else "no",
            found=f"exponent {exponent:.3f}, peak {growth:.2f} times ({costs})",
        )
    ]


def slope(points: list[tuple[float, float]]) -> float:
    """The exponent of seconds over stores, by least squares in logarithms."""
    x, y = (np.log(values) for values in zip(*points, strict=True))
    return float(np.polyfit(x, y, 1)[0])


@cache
def nightly(chain: SimulatedChain, trained: SimulatedChain) -> Took:
    """One night after one that published, with the models of a chain; measured once in a run."""
    with with_models(chain, models(trained)) as home:
        apart(_yesterday, home)
        return measured(_night, home, chain.arrivals())


def models(chain: SimulatedChain) -> Path:
    """A home that holds the models of the default recipe, and no lake."""
    return chain.made("trained", _trained, chain.home())


@contextmanager
def with_models(chain: SimulatedChain, trained: Path) -> Iterator[Path]:
    """A copy of the chain's home that has the models of another."""
    with chain.copied() as home:
        shutil.copy2(trained / MODELS[0], home)
        shutil.copytree(trained / MODELS[1], home / MODELS[1])
        yield home


def place(home: Path, models: Path | None = None) -> tuple[Lake, Registry]:
    """The lake of a home and its models, or those of another."""
    return Lake(home / "lake"), Registry(Settings(home=models or home))


def _first_ingest(home: Path, files: Path) -> Work:
    lake = Lake(home / "lake")
    ingest_table(lake, "stores", [files / "stores"])
    return lambda: {"rows": ingest_table(lake, "demand", [files / "demand"]).rows_taken}


def _upsert(home: Path, arrivals: Path) -> Work:
    return lambda: {"rows": ingest_table(Lake(home / "lake"), "demand", [arrivals]).rows_taken}


def _train(out: Path, home: Path) -> Work:
    return lambda: {trained.target: trained.figures["rows"] for trained in train(*place(home, out), Recipe())}


def _trained(out: Path, home: Path) -> None:
    _train(out, home)()


def _yesterday(home: Path) -> None:
    publish(*place(home))


def _night(home: Path, arrivals: Path) -> Work:
    lake, registry = place(home)
    steps = {
        "ingest": lambda: ingest_table(lake, "demand", [arrivals]),
        "forecast": lambda: publish(lake, registry),
        "score": lambda: monitor(lake, registry),
    }

    def work() -> dict[str, float]:
        took = {}
        for step, call in steps.items():
            began = time.perf_counter()
            call()
            took[step] = time.perf_counter() - began
        return took

    return work
