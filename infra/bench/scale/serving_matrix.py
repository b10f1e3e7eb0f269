"""What a night makes of the lake before it predicts: the states and the matrix of 14 days."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from daypart.features import matrix
from daypart.features.chain_data import Records, Source
from daypart.features.history import demand_history, read_window
from daypart.features.signals import weather
from daypart.features.signals.covariates import Outside
from daypart.features.tables.schemas import TARGETS
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake
from daypart.forecasting.models.engine import WORKERS
from daypart.forecasting.models.trainer import in_blocks
from daypart.forecasting.serving.publication import holiday_sums, night_states
from infra.bench.harness.isolated_job import Work, measured
from infra.bench.harness.stored_chain import SimulatedChain
from infra.bench.scale.comparison_row import Limit, Row, beside

Made = tuple[Records, demand_history.Past]
Read = Callable[[Sequence[str]], Records]


def rows(chain: SimulatedChain) -> list[Row]:
    what = "read, states and matrix of 14 days of both targets, from the lake"
    took = measured(all_stores, chain.home(), chain.today)
    size_text = f"{took.told['rows']:,} rows of {took.told['columns']} columns"
    return [beside("serving matrix", what, Limit(seconds=5, gib=1.5), took, found=size_text)]


def all_stores(home: Path, origin: date) -> Work:
    """Both targets, block by block and two at once as a night has it; rows are let go."""

    def work() -> dict[str, int]:
        chain = Chain.of(Lake(home / "lake"))
        sums = holiday_sums(chain, TARGETS, origin)
        with ThreadPoolExecutor(WORKERS) as pool:
            shapes = list(pool.map(lambda ids: _shape(chain, ids, origin, sums), blocks(chain)))
        return {"rows": sum(height for height, _ in shapes), "columns": max(width for _, width in shapes)}

    return work


def blocks(chain: Chain) -> list[Sequence[str]]:
    """All stores, as a night takes them."""
    return in_blocks(sorted(chain.stores["store_id"]))


def _shape(chain: Chain, ids: Sequence[str], origin: date, sums: Mapping[str, pl.DataFrame]) -> tuple[int, int]:
    window = chain.block(ids, read_window.since(origin))
    window = replace(window, weather=weather.before(window.weather, window.stores, origin))
    world = Outside.of(window, "issued", origin + timedelta(days=matrix.HORIZON_DAYS))
    height = width = 0
    for target in TARGETS:
        view = matrix.View(target)
        rows = matrix_of(states(window, chain.block, chain, view, origin, world, sums[target]), view, origin)
        height, width = height + rows.height, rows.width
    return height, width


def states(
    window: Records, read_block: Read, chain: Source, view: matrix.View, origin: date, world: Outside | None = None,
    sums: pl.DataFrame | None = None,
) -> list[Made]:  # fmt: skip
    """Records and states of those stores that the window is enough for, and of those that look further."""
    world = world or Outside.of(window, view.weather, origin + timedelta(days=view.horizon_days))
    block_states = night_states(window, world, read_block, chain, view, origin, sums=sums)
    return [block_state for block_state in block_states if _known(block_state, origin)]


def _known(block_state: Made, origin: date) -> bool:
    block, past = block_state
    return block.stores.join(past.totals.filter(pl.col("date") < origin), on="store_id", how="semi").height > 0


def matrix_of(block_states: Sequence[Made], view: matrix.View, origin: date) -> pl.DataFrame:
    """The matrix of the origin."""
    matrices = [matrix.build(block, view, [origin], past) for block, past in block_states]
    return pl.concat(matrices, how="diagonal").sort(matrix.KEY)
