"""A real cluster of two processes says what this process says, also where one of them is killed on the way."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client
from lightgbm import Booster, DaskLGBMRegressor

from daypart.features.errors import DaypartError, InputError
from daypart.flows.compute.dask_engine import DaskEngine
from daypart.flows.compute.meter import Meter
from daypart.flows.jobs import forecast
from daypart.flows.jobs.execution import Execution
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.jobs.train import train
from daypart.forecasting.models import trainer
from daypart.forecasting.models.engine import Local, Sample
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.stages import Stages

SMALL = Recipe(rounds=10, max_rows=4000, folds=1)
SETTINGS = {"objective": "huber", "alpha": 0.3, "num_leaves": 7, "bagging_fraction": 0.8, "bagging_freq": 1,
            "deterministic": True, "force_row_wise": True, "seed": 7, "verbose": -1}  # fmt: skip


def striking(marker: Path | None = None) -> Callable[..., None]:
    """Kills the process in which it is first called, each one where there is no marker to tell the first by.

    What workers run is defined within functions, so that it goes to them by value: they cannot import tests.
    """

    def strike(*_: object) -> None:
        if marker is None or not marker.exists():
            if marker is not None:
                marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return strike


@dataclass(frozen=True)
class Struck(DaskEngine):
    """The engine, of which a worker is struck when it begins a block."""

    strike: Callable[..., None] = print

    def map(self, work: Callable[[Any, Stages], Any], blocks: Any) -> Iterator[Any]:
        strike = self.strike

        def struck(block: Any, stages: Stages) -> Any:
            strike()
            return work(block, stages)

        return super().map(struck, blocks)


def boosting(strike: Callable[..., None]) -> type[DaskLGBMRegressor]:
    """LightGBM's class, of which a worker is struck when it has grown a tree."""

    class Boosting(DaskLGBMRegressor):  # type: ignore[misc]
        def fit(self, *arguments: Any, **options: Any) -> Any:
            return super().fit(*arguments, callbacks=[strike], **options)

    return Boosting


def by_store(ids: list[str]) -> list[list[str]]:
    return [[store_id] for store_id in ids]


def sample(rows: int = 4000) -> Sample:
    chance = np.random.default_rng(5)
    features = chance.normal(size=(rows, 6)).astype(np.float32)
    features[:, 5] = chance.integers(0, 4, rows)
    label = np.exp(features[:, 0] / 2) + features[:, 5] + chance.uniform(size=rows)
    names = [f"f{k}" for k in range(6)]
    return Sample(features, names, ["f5"], label, chance.uniform(0.5, 2.0, rows))


def champions(world: Any) -> dict[str, dict[str, bytes]]:
    return {target: world.registry.load(target, "champion") for target in ("orders", "sales")}


@pytest.mark.faults
def test_a_worker_that_is_killed_while_forecasting_changes_nothing(
    world: Any, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "in_blocks", by_store)
    before = set(client.ncores())
    engine = partial(Struck, client, strike=striking(tmp_path / "struck"))
    rows = world.forecasts()
    world.lake.replace("forecasts", rows.clear(), world.origin)
    publish(world.as_home, execution=Execution(engine))
    assert before - set(client.ncores())
    assert world.forecasts().equals(rows)


def test_workers_that_are_killed_while_reading_and_while_boosting_change_nothing(
    world: Any, untrained: Any, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "in_blocks", by_store)
    monkeypatch.setattr("lightgbm.DaskLGBMRegressor", boosting(striking(tmp_path / "boosting")))
    engine = partial(Struck, client, strike=striking(tmp_path / "reading"))
    train(untrained.as_home, SMALL, execution=Execution(engine))
    assert {path.name for path in tmp_path.iterdir()} >= {"reading", "boosting"}
    assert champions(untrained) == champions(world)


def test_one_worker_boosts_to_the_last_bit_and_several_nearly_even_if_one_is_killed(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples, meter = sample(), Meter()
    here = Local().boost(examples, SETTINGS, 30)
    assert DaskEngine(client, meter).boost(examples, SETTINGS, 30) == here
    spread = DaskEngine(client, meter, fit_rows=2000)
    apart = spread.boost(examples, SETTINGS, 30)
    assert apart != here
    assert "[machines: ]" in apart
    monkeypatch.setattr("lightgbm.DaskLGBMRegressor", boosting(striking(tmp_path / "struck")))
    after = spread.boost(examples, SETTINGS, 30)
    assert (tmp_path / "struck").exists()
    expected, *predictions = (Booster(model_str=text).predict(examples.features) for text in (here, apart, after))
    for other in predictions:
        assert np.abs(expected - other).mean() < 0.05 * np.abs(expected - expected.mean()).mean()
    assert meter.usage()[0].stage == "fit"
    assert meter.usage()[0].cpu_seconds > 0


def test_workers_that_are_lost_each_time_end_the_training_in_one_line(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightgbm.DaskLGBMRegressor", boosting(striking()))
    with pytest.raises(DaypartError, match="lost its workers 3 times") as failed:
        DaskEngine(client, Meter()).boost(sample(), SETTINGS, 5)
    assert "\n" not in str(failed.value)


def test_daily_forecasts_are_the_same_however_many_share_them(
    published_world: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daypart.flows.compute.dask_engine.SERIES_STORES", 1)
    data = TrainingData(Chain.newest(published_world.lake), "orders", published_world.origin)
    shop = trainer.ModelTrainer(data, SMALL)
    origins = [published_world.origin, published_world.origin.replace(day=1)]
    here = Local().daily_forecasts(shop.totals, origins, 14)
    meter = Meter()
    assert here.height
    assert DaskEngine(client, meter).daily_forecasts(shop.totals, origins, 14).equals(here)
    assert meter.usage()[0].cpu_seconds > 0
    nobody = DaskEngine(client, meter).daily_forecasts(shop.totals.clear(), origins, 14)
    assert nobody.schema == here.schema
    assert nobody.is_empty()


def test_blocks_come_in_order_and_what_workers_took_is_added(client: Client) -> None:
    def square(number: int, stages: Stages) -> int:
        with stages("square") as count:
            count(number)
            began = time.process_time()
            while time.process_time() < began + 0.03:
                pass
            return number * number

    meter = Meter()
    assert list(DaskEngine(client, meter).map(square, range(9))) == [k * k for k in range(9)]
    stage, total = meter.usage()
    assert (stage.stage, stage.rows) == ("square", sum(range(9)))
    assert stage.cpu_seconds >= 9 * 0.03
    assert 0 < stage.wall_seconds <= total.wall_seconds
    assert total.cpu_seconds >= stage.cpu_seconds
    assert total.peak_gib > stage.peak_gib > 0


def test_an_error_of_the_work_comes_back_as_it_is(client: Client) -> None:
    def refuse(block: int, stages: Stages) -> None:
        raise InputError(f"block {block} is wrong")

    with pytest.raises(InputError, match="block 1 is wrong"):
        list(DaskEngine(client, Meter()).map(refuse, [1]))
