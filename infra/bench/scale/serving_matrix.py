"""Cost of what a night computes before it predicts: the states of stores and the matrix of 14 days."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from daypart.features import matrix
from daypart.features.chain_data import Records
from daypart.features.history import demand_history, read_window
from daypart.features.signals import weather
from daypart.features.signals.covariates import Outside
from daypart.features.tables.schemas import TARGETS
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake
from daypart.forecasting.models.engine import WORKERS
from daypart.forecasting.models.trainer import in_blocks
from daypart.forecasting.serving.publication import holiday_sums, night_states
from infra.bench.harness.isolated_job import Work, measure_job
from infra.bench.harness.stored_chain import StoredChain
from infra.bench.scale.comparison_row import Limit, Row, Task, compare

StoreStates = tuple[Records, demand_history.Past]


@dataclass(frozen=True)
class BlockWindow:
    """The recent records of a block of stores. Covariates and holiday sums are computed where they are null."""

    records: Records
    covariates: Outside | None = None
    holiday_sums: pl.DataFrame | None = None


def rows(chain: StoredChain) -> list[Row]:
    """Measure states and matrix of all stores and both targets."""
    what = "read, states and matrix of 14 days of both targets, from the lake"
    cost = measure_job(all_stores, chain.home(), chain.today)
    size_text = f"{cost.figures['rows']:,} rows of {cost.figures['columns']} columns"
    return [compare(Task("serving matrix", what, size_text), Limit(seconds=5, gib=1.5), cost)]


def all_stores(home: Path, origin: date) -> Work:
    """Return the work on both targets, two blocks of stores at a time as in a night; rows are not kept."""

    def work() -> dict[str, int]:
        chain = Chain.of(Lake(home / "lake"))
        sums = holiday_sums(chain, TARGETS, origin)
        with ThreadPoolExecutor(WORKERS) as pool:
            shapes = list(pool.map(lambda ids: _shape(chain, ids, origin, sums), blocks(chain)))
        return {"rows": sum(height for height, _ in shapes), "columns": max(width for _, width in shapes)}

    return work


def blocks(chain: Chain) -> list[Sequence[str]]:
    """Return the blocks of stores of a night."""
    return in_blocks(sorted(chain.stores["store_id"]))


def _shape(chain: Chain, ids: Sequence[str], origin: date, sums: Mapping[str, pl.DataFrame]) -> tuple[int, int]:
    window = chain.block(ids, read_window.since(origin))
    window = replace(window, weather=weather.before(window.weather, window.stores, origin))
    covariates = Outside.of(window, "issued", origin + timedelta(days=matrix.HORIZON_DAYS))
    height = width = 0
    for target in TARGETS:
        view = matrix.View(target)
        block = BlockWindow(window, covariates, sums[target])
        rows = matrix_of(states(block, chain, view, origin), view, origin)
        height, width = height + rows.height, rows.width
    return height, width


def states(block: BlockWindow, chain: Chain | Records, view: matrix.View, origin: date) -> list[StoreStates]:
    """Return records and states of the stores for which the window suffices, and of those that need older records."""
    horizon_end = origin + timedelta(days=view.horizon_days)
    covariates = block.covariates or Outside.of(block.records, view.weather, horizon_end)
    block_states = night_states(block.records, covariates, chain.block, chain, view, origin, sums=block.holiday_sums)
    return [store_states for store_states in block_states if _has_history(store_states, origin)]


def _has_history(store_states: StoreStates, origin: date) -> bool:
    block, past = store_states
    return block.stores.join(past.totals.filter(pl.col("date") < origin), on="store_id", how="semi").height > 0


def matrix_of(block_states: Sequence[StoreStates], view: matrix.View, origin: date) -> pl.DataFrame:
    """Return the matrix of the origin."""
    matrices = [matrix.build(block, view, [origin], past) for block, past in block_states]
    return pl.concat(matrices, how="diagonal").sort(matrix.KEY)
