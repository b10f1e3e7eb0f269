"""The forecast of a night by one LightGBM model of 300 trees, for comparison with other libraries."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import polars as pl

from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.registry.runs import RunRecord
from daypart.forecasting.models.engine import WORKERS
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.night import chain_holiday_sums
from daypart.forecasting.serving.publication import ServedModel, forecast_block
from infra.bench.harness.isolated_job import Work
from infra.bench.harness.stored_chain import StoredChain
from infra.bench.scale.nightly_job import open_home
from infra.bench.scale.serving_matrix import blocks, night_inputs, store_blocks

MODEL_TARGET = "orders"
MODEL_TREES, MODEL_LEAVES = 300, 31
FITTED_ROWS = 20_000
"""Enough rows for full trees; the accuracy does not matter here."""

SINGLE_MODEL_RECIPE = Recipe(members=("ratio",), rounds=MODEL_TREES, leaves=MODEL_LEAVES, max_rows=FITTED_ROWS, folds=1)
FITTED_STORES = 10


def stored_model(chain: StoredChain) -> Path:
    """Return a home that holds the model as champion, and a copy of the chain's lake."""
    return chain.build_once("one-member", _train, chain.home(), chain.today)


def _train(out: Path, home: Path, today: date) -> None:
    opened = open_home(out, lake_of=home)
    chain, registry = Chain.newest(opened.lake), opened.registry
    fitted_block = chain.block(sorted(chain.stores["store_id"])[:FITTED_STORES])
    trainer = ModelTrainer(TrainingData(fitted_block, MODEL_TARGET, today), SINGLE_MODEL_RECIPE)
    run = RunRecord("train", MODEL_TARGET, {}, {}, chain.versions, trainer.train(today).files())
    version = registry.register(MODEL_TARGET, registry.record(run), {})
    registry.set_alias(MODEL_TARGET, "champion", version)


def from_lake(home: Path) -> Work:
    """Return the work from the lake to the published forecast of all stores."""
    opened = open_home(home)

    def work() -> dict[str, int]:
        origin = publish(opened)
        forecasts = opened.lake.scan("forecasts").filter(pl.col("origin_date") == origin)
        return {"rows": forecasts.select(pl.len()).collect().item()}

    return work


def from_states(home: Path, models: Path, origin: date) -> Work:
    """Return the work from states in memory to published rows of all stores; rows are not kept."""
    opened = open_home(models, lake_of=home)
    chain, version = Chain.newest(opened.lake), opened.registry.version_of(MODEL_TARGET, "champion")
    assert version is not None
    served = ServedModel(Model.from_files(opened.registry.load(MODEL_TARGET, version)), str(version))
    sums = chain_holiday_sums(chain, [MODEL_TARGET], origin)[MODEL_TARGET]
    nights = (night_inputs(chain, ids, origin) for ids in blocks(chain))
    in_memory = [block for inputs in nights for block in store_blocks(inputs, served.view, holiday_sums=sums)]

    def work() -> dict[str, int]:
        with ThreadPoolExecutor(WORKERS) as pool:
            heights = pool.map(lambda block: forecast_block(block, [served], origin).height, in_memory)
            return {"rows": sum(heights)}

    return work
