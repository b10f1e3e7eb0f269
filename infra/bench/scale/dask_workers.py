"""Speed-up of the Dask engine: the same blocks of stores on one worker of one thread and on two.

Each worker is bound to a processor of its own, because Polars reads files in more threads than it is allowed.
"""

import os
import time
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from daypart.features.chain_data import days
from daypart.features.matrix import View
from daypart.features.tables.schemas import TARGETS
from daypart.flows.compute.dask_engine import DaskEngine
from daypart.flows.compute.engine import open_engine
from daypart.flows.compute.meter import Meter
from daypart.flows.config.portfolio import DEFAULT_PORTFOLIO
from daypart.flows.config.settings import Settings
from daypart.flows.governance import units
from daypart.flows.governance.champions import champions
from daypart.flows.jobs.forecast import NightPlan, block_forecast
from daypart.flows.jobs.snapshot import Chain
from daypart.forecasting.models.engine import Engine
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.training_data import BlockBuilder, in_blocks, read_sample
from daypart.forecasting.serving.night import chain_holiday_sums
from daypart.forecasting.stages import unmeasured
from infra.bench.harness.isolated_job import JobCost, run_isolated
from infra.bench.harness.stored_chain import StoredChain
from infra.bench.scale.comparison_row import Alternative, Limit, Row, Task, compare
from infra.bench.scale.nightly_job import default_models, open_home

SAMPLED_TARGET = "orders"
MEASURED_BLOCKS = 20
"""Blocks of stores: enough that two workers end together."""


def rows(chain: StoredChain) -> list[Row]:
    """Measure features and forecasts on one and two workers. Memory is not measured: this process only waits."""
    home, trained = chain.home(), default_models(chain)
    one, two = (run_isolated(_measure_workers, home, trained, chain.today, workers) for workers in (1, 2))
    what = {
        "features": "the sample of training rows, read and made",
        "forecasting": "read, matrix, predict, all targets",
    }
    return [
        compare(Task(f"two workers: {work}", f"{what[work]}, {MEASURED_BLOCKS} blocks of stores; theirs is one worker"),
                Limit(times=1.6), two[work], Alternative("one worker", one[work]))
        for work in what
    ]  # fmt: skip


def _measure_workers(home: Path, trained: Path, origin: date, workers: int) -> dict[str, JobCost]:
    opened = open_home(trained, lake_of=home)
    chain = Chain.newest(opened.lake)
    ids, recipe, first = sorted(chain.stores["store_id"]), Recipe(), chain.first_demand_on(SAMPLED_TARGET)
    assert first is not None
    sample_origins = days(first + timedelta(days=14), origin)
    sums = chain_holiday_sums(chain, TARGETS, origin)
    builder = BlockBuilder(chain, View(SAMPLED_TARGET), origin, sums[SAMPLED_TARGET])
    members = units.members(chain, DEFAULT_PORTFOLIO, dict.fromkeys(TARGETS, origin))
    serving = [champion.served for champion in champions(opened, members)]
    work = {
        "features": partial(read_sample, builder, sample_origins, recipe.one_in(len(ids))),
        "forecasting": partial(block_forecast, NightPlan(chain, serving, origin, sums)),
    }
    with open_engine(Settings(home=home, engine="dask", workers=workers)) as make_engine:
        engine, blocks = make_engine(Meter()), in_blocks(ids)[:MEASURED_BLOCKS]
        assert isinstance(engine, DaskEngine)
        for processor, worker in enumerate(engine.client.ncores()):
            engine.client.run(_bind_to_processor, processor, workers=[worker])
            for task in work.values():  # imports what the work needs
                engine.client.submit(task, ids[:2], unmeasured, workers=[worker], pure=False).result()
        return {name: _cost(engine, task, blocks) for name, task in work.items()}


def _bind_to_processor(processor: int) -> None:
    """Bind every thread of this process, and those that they start, to one processor."""
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {processor})


def _cost(engine: Engine, work: Callable[..., Any], blocks: list[Any]) -> JobCost:
    began = time.perf_counter()
    for _ in engine.map(work, blocks):
        pass
    return JobCost(time.perf_counter() - began, 0.0, 0.0)
