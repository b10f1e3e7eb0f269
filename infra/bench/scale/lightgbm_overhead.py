"""What the members cost beside LightGBM itself, called by hand on the finished arrays."""

import time
from collections.abc import Callable
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
from daypart.forecasting.models.trainer import BLOCK_STORES, Workshop
from infra.bench.harness.isolated_job import Work, measured
from infra.bench.harness.stored_chain import SimulatedChain
from infra.bench.scale.comparison_row import Row, short

TARGET, RECIPE = "orders", Recipe()
TIMES = 5
FIT_OVER, PREDICT_OVER = 0.10, 0.25
Call = Callable[[], object]


def fit_rows(chain: SimulatedChain) -> list[Row]:
    what = "the boosted members on the default recipe's number of rows; the Dataset is made in both"
    seconds = measured(_fits, _matrices(chain)).told
    return [_row("fit of the members", what, "lightgbm.train", FIT_OVER, seconds["ours"], seconds["bare"])]


def predict_rows(chain: SimulatedChain) -> list[Row]:
    what = "the boosted members on 14 days of a block of stores; ours reads the model's text and the matrix"
    seconds = measured(_predictions, _matrices(chain)).told
    return [_row("predict of the members", what, "Booster.predict", PREDICT_OVER, seconds["ours"], seconds["bare"])]


def _row(work: str, what: str, name: str, over: float, ours: float, bare: float) -> Row:
    return Row(
        work, f"{what}; in turn in one process, best of {TIMES}", f"at most {over:.0%} over",
        "yes" if ours <= (1 + over) * bare else "no", f"{ours / bare - 1:+.1%} over",
        ours_seconds=short(ours), theirs=name, theirs_seconds=short(bare), ratio=short(bare / ours),
    )  # fmt: skip


def _matrices(chain: SimulatedChain) -> Path:
    """A folder of two: `train`, as many rows with `y` as a recipe takes at most, and `serve`, the last origin."""
    return chain.made("matrices", _write, chain)


def _write(out: Path, chain: SimulatedChain) -> None:
    out.mkdir()
    lake = Chain.of(Lake(chain.home() / "lake"))
    block = lake.block(sorted(lake.stores["store_id"])[:BLOCK_STORES])
    workshop = Workshop(block, TARGET, RECIPE, chain.today)
    weeks = RECIPE.max_rows // (block.stores.height * USUAL_HOURS * RECIPE.horizon_days) + 1
    origins = days(chain.spec.start, chain.today)[-15::-7][:weeks]
    rows = workshop.with_demand(workshop.rows(origins)).head(RECIPE.max_rows)
    rows.cast(dict.fromkeys(feature_names(rows), pl.Float32)).write_parquet(out / "train")
    workshop.rows([chain.today]).write_parquet(out / "serve")


def _fits(matrices: Path) -> Work:
    rows, y = _train(matrices)
    bare = [_bare_fit(member, rows, y) for member in BOOSTED]
    return lambda: _best(
        lambda: [fit(member, rows, y, RECIPE) for member in BOOSTED], lambda: [call() for call in bare]
    )


def _train(matrices: Path) -> tuple[pl.DataFrame, Any]:
    rows = pl.read_parquet(matrices / "train")
    return rows.drop("y"), rows["y"].to_numpy()


def _bare_fit(member: str, rows: pl.DataFrame, y: Any) -> Call:
    """The very calls that a member makes."""
    import lightgbm

    with (
        patch("lightgbm.Dataset", wraps=lightgbm.Dataset) as data,
        patch("lightgbm.train", wraps=lightgbm.train) as trained,
    ):
        fit(member, rows, y, RECIPE)
    settings = trained.call_args.args[0]

    def call() -> object:
        dataset = lightgbm.Dataset(*data.call_args.args, **data.call_args.kwargs)
        return lightgbm.train(settings, dataset, **trained.call_args.kwargs)

    return call


def _predictions(matrices: Path) -> Work:
    rows, y = _train(matrices)
    members = [member for name in BOOSTED if isinstance(member := fit(name, rows, y, RECIPE), Learned)]
    served = pl.read_parquet(matrices / "serve")
    bare = [_bare_predict(member, served) for member in members]
    return lambda: _best(lambda: [member.predict(served) for member in members], lambda: [call() for call in bare])


def _bare_predict(member: Learned, rows: pl.DataFrame) -> Call:
    """The very call that a member makes, of a booster that is ready."""
    import lightgbm

    booster = lightgbm.Booster(model_str=member.booster)
    with patch.object(lightgbm.Booster, "predict", autospec=True, side_effect=lightgbm.Booster.predict) as predicted:
        member.predict(rows)
    _, *call_args = predicted.call_args.args
    return lambda: booster.predict(*call_args, **predicted.call_args.kwargs)


def _best(ours: Call, bare: Call) -> dict[str, float]:
    """The least seconds of each, measured in turn."""
    took = [(_seconds(ours), _seconds(bare)) for _ in range(TIMES)]
    return {"ours": min(our_seconds for our_seconds, _ in took), "bare": min(other for _, other in took)}


def _seconds(call: Call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
