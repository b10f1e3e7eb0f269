from datetime import date
from pathlib import Path

import pytest

from daypart.features import matrix
from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest, rolling_origins
from infra.bench.accuracy.ablation import FAMILY_PREFIXES, SIMULATED_SET, ablation_gains, variants
from infra.bench.accuracy.real_sets import RealSet

ABLATION_SPEC = ChainSpec(stores=2, start=date(2023, 6, 5), days=150, seed=3, issues_days=90)


def _records(_: Path) -> ChainData:
    return ChainData.from_tables(simulate(ABLATION_SPEC).tables)


@pytest.fixture(scope="module")
def features() -> list[str]:
    return matrix.feature_names(matrix.build(_records(Path()), matrix.View("orders"), [date(2023, 10, 2)]))


def test_every_feature_but_one_belongs_to_one_family(features: list[str]) -> None:
    homes = {
        name: [family for family, begins in FAMILY_PREFIXES.items() if name.startswith(begins)] for name in features
    }
    # `history_last` is how the names of others begin.
    assert {name: families for name, families in homes.items() if len(families) != 1} == {"history_last": []}


def test_a_family_is_left_out_and_one_that_was_is_taken_in(features: list[str]) -> None:
    recipe = Recipe(left_out=("macro_",))
    by_family = variants(recipe, features)
    used, without = by_family["weather"]
    assert used
    assert set(recipe.learns_from(features)) - set(without.learns_from(features)) == {
        name for name in features if name.startswith("weather_")
    }
    used, other = by_family["macro"]
    assert not used
    assert set(other.learns_from(features)) - set(recipe.learns_from(features)) == {
        name for name in features if name.startswith("macro_")
    }
    assert by_family["member: level"][1].members == tuple(name for name in recipe.members if name != "level")
    assert "labor" not in variants(recipe, [name for name in features if not name.startswith("labor_")])


def test_what_is_earned_is_the_loss_without_it(features: list[str]) -> None:
    chain = RealSet("chain", ("orders",), date(2023, 9, 25), date(2023, 10, 22), _records, SIMULATED_SET.views)
    recipe = Recipe(rounds=20, folds=1, members=("ratio", "level"))
    losses = {
        row.what: row for row in ablation_gains(chain, "orders", Path(), recipe, ["macro", "calendar: hour and lead"])
    }
    assert [(name, row.used) for name, row in losses.items()] == [("calendar: hour and lead", True), ("macro", False)]
    origins = rolling_origins(chain.start, chain.end, 7, 14)

    def wape(other: Recipe) -> float:
        training_data = TrainingData(_records(Path()).until(chain.end), "orders", origins[-1])
        rows = backtest(ModelTrainer(training_data, other), origins, 28)[0].drop_nulls("actual")
        return 1e4 * float((rows["forecast"] - rows["actual"]).abs().sum()) / float(rows["actual"].sum())

    without = variants(recipe.model_copy(update={"weather": SIMULATED_SET.views[0]}), features)[
        "calendar: hour and lead"
    ][1]
    loss = wape(without) - wape(recipe.model_copy(update={"weather": SIMULATED_SET.views[0]}))
    assert losses["calendar: hour and lead"].hour_bps == pytest.approx(loss, abs=0.06)
