"""The engine past one machine: the same blocks on one worker of one thread and on two.

Each worker is held to a processor of its own: Polars reads files in threads besides the one that it is allowed.
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
from daypart.flows.compute.cluster import Dask
from daypart.flows.compute.engine import opened
from daypart.flows.compute.meter import Meter
from daypart.flows.config.portfolio import ONE
from daypart.flows.config.settings import Settings
from daypart.flows.governance import units
from daypart.flows.governance.champions import champions
from daypart.flows.jobs.forecast import block_forecast
from daypart.flows.jobs.snapshot import Chain
from daypart.forecasting.models.engine import Engine
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import in_blocks, sampled_from
from daypart.forecasting.serving.publication import holiday_sums
from daypart.forecasting.stages import unmeasured
from infra.bench.harness.isolated_job import Took, apart
from infra.bench.harness.stored_chain import SimulatedChain
from infra.bench.scale.comparison_row import Limit, Row, beside
from infra.bench.scale.nightly_job import models, place

TARGET = "orders"
BLOCKS = 20
"""Of stores: enough that two workers end together."""


def rows(chain: SimulatedChain) -> list[Row]:
    """Memory is of this process, which only waits."""
    home, trained = chain.home(), models(chain)
    one, two = (apart(_both, home, trained, chain.today, workers) for workers in (1, 2))
    what = {
        "features": "the sample of training rows, read and made",
        "forecasting": "read, matrix, predict, all targets",
    }
    return [
        beside(f"two workers: {work}", f"{what[work]}, {BLOCKS} blocks of stores; theirs is one worker",
               Limit(times=1.6), two[work], "one worker", one[work])
        for work in what
    ]  # fmt: skip


def _both(home: Path, trained: Path, origin: date, workers: int) -> dict[str, Took]:
    lake, registry = place(home, trained)
    chain = Chain.of(lake)
    ids, recipe, first = sorted(chain.stores["store_id"]), Recipe(), chain.first_demand_on(TARGET)
    assert first is not None
    sample = (days(first + timedelta(days=14), origin), recipe.one_in(len(ids)))
    sums = holiday_sums(chain, ("orders", "sales"), origin)
    members = units.members(chain, ONE, dict.fromkeys(TARGETS, origin))
    serving = [champion.served for champion in champions(lake, registry, members)]
    work = {
        "features": partial(sampled_from, chain, origin, View(TARGET), sums[TARGET], *sample),
        "forecasting": partial(block_forecast, chain, serving, origin, sums),
    }
    with opened(Settings(home=home, engine="dask", workers=workers)) as make_engine:
        engine, blocks = make_engine(Meter()), in_blocks(ids)[:BLOCKS]
        assert isinstance(engine, Dask)
        for processor, worker in enumerate(engine.client.ncores()):
            engine.client.run(_hold, processor, workers=[worker])
            for task in work.values():  # imports what the work needs
                engine.client.submit(task, ids[:2], unmeasured, workers=[worker], pure=False).result()
        return {name: _spent(engine, task, blocks) for name, task in work.items()}


def _hold(processor: int) -> None:
    """Holds every thread of this process, and those that they start, to one processor."""
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {processor})


def _spent(engine: Engine, work: Callable[..., Any], blocks: list[Any]) -> Took:
    began = time.perf_counter()
    for _ in engine.map(work, blocks):
        pass
    return Took(time.perf_counter() - began, 0.0, 0.0)
