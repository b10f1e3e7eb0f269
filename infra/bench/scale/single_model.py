"""The forecast of a night by one LightGBM model of 300 trees, for comparison with other libraries."""

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
from infra.bench.harness.stored_chain import StoredChain
from infra.bench.scale.nightly_job import open_home
from infra.bench.scale.serving_matrix import BlockWindow, blocks, states

MODEL_TARGET = "orders"
MODEL_TREES, MODEL_LEAVES = 300, 31
FITTED_ROWS = 20_000
"""Enough rows for full trees; the accuracy does not matter here."""

SINGLE_MODEL_RECIPE = Recipe(members=("ratio",), rounds=MODEL_TREES, leaves=MODEL_LEAVES, max_rows=FITTED_ROWS, folds=1)
FITTED_STORES = 10


def stored_model(chain: StoredChain) -> Path:
    """Return a home that holds the model as champion, and no lake."""
    return chain.build_once("one-member", _train, chain.home(), chain.today)


def _train(out: Path, home: Path, today: date) -> None:
    lake, registry = open_home(home, out)
    chain = Chain.of(lake)
    fitted_block = chain.block(sorted(chain.stores["store_id"])[:FITTED_STORES])
    files = Workshop(fitted_block, MODEL_TARGET, SINGLE_MODEL_RECIPE, today).train(today).files()
    version = registry.register(MODEL_TARGET, registry.record("train", MODEL_TARGET, {}, {}, chain.versions, files), {})
    registry.set_alias(MODEL_TARGET, "champion", version)


def from_lake(home: Path) -> Work:
    """Return the work from the lake to the published forecast of all stores."""
    lake, registry = open_home(home)

    def work() -> dict[str, int]:
        origin = publish(lake, registry)
        forecasts = lake.scan("forecasts").filter(pl.col("origin_date") == origin)
        return {"rows": forecasts.select(pl.len()).collect().item()}

    return work


def from_states(home: Path, models: Path, origin: date) -> Work:
    """Return the work from states in memory to published rows of all stores; rows are not kept."""
    lake, registry = open_home(home, models)
    chain, version = Chain.of(lake), registry.version_of(MODEL_TARGET, "champion")
    assert version is not None
    champion = Model.from_files(registry.load(MODEL_TARGET, version))
    view = View(MODEL_TARGET, champion.recipe.weather, champion.recipe.horizon_days)
    windows = (chain.block(ids, since(origin)) for ids in blocks(chain))
    pairs = [pair for window in windows for pair in states(BlockWindow(window), chain, view, origin)]

    def work() -> dict[str, int]:
        with ThreadPoolExecutor(WORKERS) as pool:
            return {"rows": sum(pool.map(lambda pair: of_block(*pair, champion, origin, str(version)).height, pairs))}

    return work
