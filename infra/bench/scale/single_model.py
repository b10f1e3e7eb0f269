"""The forecast by one LightGBM of 300 trees, as a night makes and publishes it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import polars as pl

from daypart.features.history.read_window import since
from daypart.features.matrix import View
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.snapshot import Chain
from daypart.forecasting.models.engine import WORKERS
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import Workshop
from daypart.forecasting.serving.publication import of_block
from infra.bench.harness.isolated_job import Work
from infra.bench.harness.stored_chain import SimulatedChain
from infra.bench.scale.nightly_job import place
from infra.bench.scale.serving_matrix import blocks, states

TARGET = "orders"
TREES, LEAVES = 300, 31
FITTED_ROWS = 20_000
"""Enough for whole trees; how well they forecast is not asked here."""

RECIPE = Recipe(members=("ratio",), rounds=TREES, leaves=LEAVES, max_rows=FITTED_ROWS, folds=1)
FEW_STORES = 10


def model(chain: SimulatedChain) -> Path:
    """A home that holds the model as champion, and no lake."""
    return chain.made("one-member", _train, chain.home(), chain.today)


def _train(out: Path, home: Path, today: date) -> None:
    lake, registry = place(home, out)
    chain = Chain.of(lake)
    few = chain.block(sorted(chain.stores["store_id"])[:FEW_STORES])
    files = Workshop(few, TARGET, RECIPE, today).train(today).files()
    version = registry.register(TARGET, registry.record("train", TARGET, {}, {}, chain.versions, files), {})
    registry.set_alias(TARGET, "champion", version)


def from_lake(home: Path) -> Work:
    """Read, states, matrix, predict and publish, of all stores."""
    lake, registry = place(home)

    def work() -> dict[str, int]:
        origin = publish(lake, registry)
        forecasts = lake.scan("forecasts").filter(pl.col("origin_date") == origin)
        return {"rows": forecasts.select(pl.len()).collect().item()}

    return work


def from_states(home: Path, models: Path, origin: date) -> Work:
    """Matrix, predict and the published rows, of all stores, from their states in memory; rows are let go."""
    lake, registry = place(home, models)
    chain, version = Chain.of(lake), registry.version_of(TARGET, "champion")
    assert version is not None
    champion = Model.from_files(registry.load(TARGET, version))
    view = View(TARGET, champion.recipe.weather, champion.recipe.horizon_days)
    windows = (chain.block(ids, since(origin)) for ids in blocks(chain))
    pairs = [pair for window in windows for pair in states(window, chain.block, chain, view, origin)]

    def work() -> dict[str, int]:
        with ThreadPoolExecutor(WORKERS) as pool:
            return {"rows": sum(pool.map(lambda pair: of_block(*pair, champion, origin, str(version)).height, pairs))}

    return work
