"""Shares of sub-jobs add up to those of the whole, whoever reports them."""

from datetime import timedelta

import pytest

from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.lifecycle.policy import BUILT_IN
from daypart.forecasting.lifecycle.replay import ReplayPlan, replay
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.progress import part, silent, split, track
from daypart.forecasting.serving.backtest import backtest

SPEC = ChainSpec(stores=3, days=120, seed=3, issues_days=28)
RECIPE = Recipe(members=("ratio", "linear"), rounds=5, max_rows=2000, folds=1, horizon_days=7)


class Steps:
    """Notes every step and its share."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.shares: list[float] = []

    def __call__(self, step: str, share: float) -> None:
        self.names.append(step)
        self.shares.append(share)


@pytest.fixture(scope="module")
def records() -> ChainData:
    return ChainData.from_tables(simulate(SPEC).tables)


def test_a_sub_job_reports_shares_of_the_whole() -> None:
    steps = Steps()
    halves = split(part(steps, 0.2, 1.0, "orders"), ["a", "b"])
    for name, progress in halves:
        assert list(track(progress, [1, 2], lambda number, name=name: f"{name}{number}")) == [1, 2]  # type: ignore[misc]
    assert steps.names == ["orders: a1", "orders: a2", "orders: b1", "orders: b2"]
    assert steps.shares == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_nothing_is_wrapped_around_silence() -> None:
    assert part(silent, 0.2, 0.4) is silent
    assert list(split(silent, [])) == []


def test_a_training_reports_every_member_and_gives_the_same_model(records: ChainData) -> None:
    steps, as_of = Steps(), SPEC.end
    data = TrainingData(records, "orders", as_of)
    model = ModelTrainer(data, RECIPE).train(as_of, progress=steps)
    assert [name for name in steps.names if name.endswith(f"as of {as_of}")] == [
        f"fit ratio of orders as of {as_of}", f"fit linear of orders as of {as_of}", f"weigh the members of orders as of {as_of}",
    ]  # fmt: skip
    assert_rises(steps)
    assert model.files() == ModelTrainer(data, RECIPE).train(as_of).files()


def test_a_backtest_reports_every_origin(records: ChainData) -> None:
    steps = Steps()
    origins = [SPEC.end - timedelta(days=days) for days in (14, 7)]
    backtest(ModelTrainer(TrainingData(records, "orders", origins[-1]), RECIPE), origins, 28, steps)
    assert [name for name in steps.names if "forecast orders from" in name] == [
        f"forecast orders from {origin} on" for origin in origins
    ]
    assert_rises(steps)


def test_a_replay_reports_every_night(records: ChainData) -> None:
    steps = Steps()
    plan = ReplayPlan({"never": BUILT_IN["never"]}, SPEC.end - timedelta(days=3), SPEC.end - timedelta(days=1))
    nights = plan.nights
    replay(records, "orders", RECIPE, plan, steps)
    assert [name for name in steps.names if "night of" in name] == [f"orders, night of {night}" for night in nights]
    assert_rises(steps)


def assert_rises(steps: Steps) -> None:
    assert steps.shares == sorted(steps.shares)
    assert steps.shares[0] == 0.0
    assert steps.shares[-1] < 1.0
