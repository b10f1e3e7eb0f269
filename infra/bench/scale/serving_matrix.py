"""Cost of what a night computes before it predicts: the states of stores and the matrix of 14 days."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import polars as pl

from daypart.features import matrix
from daypart.features.history import read_window
from daypart.features.signals.covariates import Covariates
from daypart.features.tables.schemas import TARGETS
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake
from daypart.forecasting.models.engine import WORKERS
from daypart.forecasting.models.training_data import StoreBlock, in_blocks
from daypart.forecasting.serving.night import NightInputs, chain_holiday_sums, night_blocks
from infra.bench.harness.isolated_job import Work, measure_job
from infra.bench.harness.stored_chain import StoredChain
from infra.bench.scale.comparison_row import Limit, Row, Task, compare


def rows(chain: StoredChain) -> list[Row]:
    """Measure states and matrix of all stores and both targets."""
    what = "read, states and matrix of 14 days of both targets, from the lake"
    cost = measure_job(all_stores, chain.home(), chain.today)
    size_text = f"{cost.figures['rows']:,} rows of {cost.figures['columns']} columns"
    return [compare(Task("serving matrix", what, size_text), Limit(seconds=5, gib=1.5), cost)]


def all_stores(home: Path, origin: date) -> Work:
    """Return the work on both targets, two blocks of stores at a time as in a night; rows are not kept."""

    def work() -> dict[str, int]:
        chain = Chain.newest(Lake(home / "lake"))
        sums = chain_holiday_sums(chain, TARGETS, origin)
        with ThreadPoolExecutor(WORKERS) as pool:
            shapes = list(pool.map(lambda ids: _shape(chain, ids, origin, sums), blocks(chain)))
        return {"rows": sum(height for height, _ in shapes), "columns": max(width for _, width in shapes)}

    return work


def blocks(chain: Chain) -> list[Sequence[str]]:
    """Return the blocks of stores of a night."""
    return in_blocks(sorted(chain.stores["store_id"]))


def night_inputs(chain: Chain, ids: Sequence[str], origin: date) -> NightInputs:
    """Read what a night needs of a block of stores."""
    return NightInputs(chain.block(ids, read_window.window_starts(origin)), chain.block, chain, origin)


def _shape(chain: Chain, ids: Sequence[str], origin: date, sums: Mapping[str, pl.DataFrame]) -> tuple[int, int]:
    inputs = night_inputs(chain, ids, origin)
    covariates = inputs.covariates("issued")
    height = width = 0
    for target in TARGETS:
        view = matrix.View(target)
        rows = matrix_of(store_blocks(inputs, view, covariates, sums[target]), view, origin)
        height, width = height + rows.height, rows.width
    return height, width


def store_blocks(
    inputs: NightInputs,
    view: matrix.View,
    covariates: Covariates | None = None,
    holiday_sums: pl.DataFrame | None = None,
) -> list[StoreBlock]:
    """Return states of the stores for which the window suffices, and of those that need older records.

    Covariates and holiday sums are computed where they are null. Stores without history are left out.
    """
    if covariates is None:
        covariates = inputs.covariates(view.weather)
    if holiday_sums is None:
        holiday_sums = chain_holiday_sums(inputs.chain, [view.target], inputs.origin)[view.target]
    blocks_of_night = night_blocks(inputs, view, covariates, holiday_sums)
    return [block for block in blocks_of_night if _has_history(block, inputs.origin)]


def _has_history(block: StoreBlock, origin: date) -> bool:
    totals = block.history.totals.filter(pl.col("date") < origin)
    return block.records.stores.join(totals, on="store_id", how="semi").height > 0


def matrix_of(blocks_of_night: Sequence[StoreBlock], view: matrix.View, origin: date) -> pl.DataFrame:
    """Return the matrix of the origin."""
    matrices = [block.build_matrix(view, [origin]) for block in blocks_of_night]
    return pl.concat(matrices, how="diagonal").sort(matrix.ROW_KEY)
