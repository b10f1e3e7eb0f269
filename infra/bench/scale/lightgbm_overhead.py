"""Overhead of fit and predict of the boosted members over LightGBM called by hand on the same arrays."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl

from daypart.features.chain_data import days
from daypart.features.matrix import feature_names
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake
from daypart.forecasting.models.members import BOOSTED, Learned, fit
from daypart.forecasting.models.recipe import USUAL_HOURS, Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import BLOCK_STORES, TrainingData
from infra.bench.harness.isolated_job import Work, measure_job
from infra.bench.harness.stored_chain import StoredChain
from infra.bench.scale.comparison_row import Row, Task, short

MEASURED_TARGET, DEFAULT_RECIPE = "orders", Recipe()
REPEATS = 5
MAX_FIT_OVERHEAD, MAX_PREDICT_OVERHEAD = 0.10, 0.25
Call = Callable[[], object]


def fit_rows(chain: StoredChain) -> list[Row]:
    """Measure the fit of the boosted members."""
    what = "the boosted members on the default recipe's number of rows; the Dataset is made in both"
    seconds = measure_job(_fits, _matrices(chain)).figures
    return [_row(Task("fit of the members", what), "lightgbm.train", MAX_FIT_OVERHEAD, seconds)]


def predict_rows(chain: StoredChain) -> list[Row]:
    """Measure the predictions of the boosted members."""
    what = "the boosted members on 14 days of a block of stores; ours reads the model's text and the matrix"
    seconds = measure_job(_predictions, _matrices(chain)).figures
    return [_row(Task("predict of the members", what), "Booster.predict", MAX_PREDICT_OVERHEAD, seconds)]


def _row(task: Task, name: str, max_overhead: float, seconds: Mapping[str, float]) -> Row:
    ours, direct = seconds["ours"], seconds["direct"]
    return Row(
        task.work, f"{task.what}; in turn in one process, best of {REPEATS}", f"at most {max_overhead:.0%} over",
        "yes" if ours <= (1 + max_overhead) * direct else "no", f"{ours / direct - 1:+.1%} over",
        ours_seconds=short(ours), theirs=name, theirs_seconds=short(direct), ratio=short(direct / ours),
    )  # fmt: skip


def _matrices(chain: StoredChain) -> Path:
    """Return a folder of two matrices: `train`, the most rows that a recipe takes, with `y`, and `serve`, the last origin."""
    return chain.build_once("matrices", _write, chain)


def _write(out: Path, chain: StoredChain) -> None:
    out.mkdir()
    lake = Chain.newest(Lake(chain.home() / "lake"))
    block = lake.block(sorted(lake.stores["store_id"])[:BLOCK_STORES])
    trainer = ModelTrainer(TrainingData(block, MEASURED_TARGET, chain.today), DEFAULT_RECIPE)
    weeks = DEFAULT_RECIPE.max_rows // (block.stores.height * USUAL_HOURS * DEFAULT_RECIPE.horizon_days) + 1
    origins = days(chain.spec.start, chain.today)[-15::-7][:weeks]
    rows = trainer.with_demand(trainer.rows(origins)).head(DEFAULT_RECIPE.max_rows)
    rows.cast(dict.fromkeys(feature_names(rows), pl.Float32)).write_parquet(out / "train")
    trainer.rows([chain.today]).write_parquet(out / "serve")


def _fits(matrices: Path) -> Work:
    rows, y = _train(matrices)
    direct = [_direct_fit(member, rows, y) for member in BOOSTED]
    return lambda: _best(
        lambda: [fit(member, rows, y, DEFAULT_RECIPE) for member in BOOSTED], lambda: [call() for call in direct]
    )


def _train(matrices: Path) -> tuple[pl.DataFrame, Any]:
    rows = pl.read_parquet(matrices / "train")
    return rows.drop("y"), rows["y"].to_numpy()


def _direct_fit(member: str, rows: pl.DataFrame, y: Any) -> Call:
    """Return the call to LightGBM that a member makes when it is fitted."""
    import lightgbm

    with (
        patch("lightgbm.Dataset", wraps=lightgbm.Dataset) as data,
        patch("lightgbm.train", wraps=lightgbm.train) as trained,
    ):
        fit(member, rows, y, DEFAULT_RECIPE)
    settings = trained.call_args.args[0]

    def call() -> object:
        dataset = lightgbm.Dataset(*data.call_args.args, **data.call_args.kwargs)
        return lightgbm.train(settings, dataset, **trained.call_args.kwargs)

    return call


def _predictions(matrices: Path) -> Work:
    rows, y = _train(matrices)
    members = [member for name in BOOSTED if isinstance(member := fit(name, rows, y, DEFAULT_RECIPE), Learned)]
    served = pl.read_parquet(matrices / "serve")
    direct = [_direct_predict(member, served) for member in members]
    return lambda: _best(lambda: [member.predict(served) for member in members], lambda: [call() for call in direct])


def _direct_predict(member: Learned, rows: pl.DataFrame) -> Call:
    """Return the call that a member makes when it predicts, with a booster that is loaded."""
    import lightgbm

    booster = lightgbm.Booster(model_str=member.booster)
    with patch.object(lightgbm.Booster, "predict", autospec=True, side_effect=lightgbm.Booster.predict) as predicted:
        member.predict(rows)
    _, *call_args = predicted.call_args.args
    return lambda: booster.predict(*call_args, **predicted.call_args.kwargs)


def _best(ours: Call, direct: Call) -> dict[str, float]:
    """Return the least seconds of each side, measured in turn."""
    timings = [(_seconds(ours), _seconds(direct)) for _ in range(REPEATS)]
    return {
        "ours": min(our_seconds for our_seconds, _ in timings),
        "direct": min(direct_seconds for _, direct_seconds in timings),
    }


def _seconds(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
