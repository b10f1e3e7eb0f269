import functools
import inspect
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.features.errors import DamagedError, DaypartError, InputError, NotKnownError
from daypart.flows.jobs.tune import Budget, TuneRequest
from daypart.forecasting.models.recipe import Recipe

SMALL = Recipe(rounds=10, max_rows=4000, folds=1)


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[None]:
    """A real Prefect server of this module's own; whatever it sets in the environment is put back."""
    before = dict(os.environ)
    os.environ |= {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
    }
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def flows(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    from daypart.flows.deployment import tasks

    monkeypatch.setattr(tasks, "RETRY_DELAYS_SECONDS", [0.01, 0.01, 0.01])
    return tasks


def test_flows_do_what_the_jobs_do(flows: Any, world: Any, untrained: Any) -> None:
    home = untrained.as_home
    trained = flows.train(home, SMALL)
    assert [(outcome.target, outcome.version, outcome.promoted) for outcome in trained] == [
        ("orders", 1, True),
        ("sales", 1, True),
    ]
    assert flows.forecast(home) == world.origin
    assert untrained.forecasts().equals(world.forecasts())
    flows.ingest(home, {"demand": [untrained.files / "later.parquet"]})
    tuned = flows.tune(home, SMALL, TuneRequest(Budget(trials=1)), datetime(2024, 3, 6))
    assert [(unit.target, unit.trials, unit.settings) for unit in tuned.tuned] == [("orders", 1, {}), ("sales", 1, {})]
    watch = flows.monitor(home)
    assert set(watch.decisions) == {"orders", "sales"}
    assert watch.scores.height == 6


def test_a_home_that_was_deleted_is_not_made_again_by_the_runs_of_a_server(flows: Any, tmp_path: Path) -> None:
    from daypart.flows.deployment import deployment_flows

    for run in (deployment_flows.nightly, deployment_flows.monitor, deployment_flows.retrain, deployment_flows.tuning):
        with pytest.raises(NotKnownError, match=r"no home .*gone: .* it may have been moved or deleted"):
            run(str(tmp_path / "gone"))
    assert not (tmp_path / "gone").exists()


def test_a_scheduled_retraining_on_the_same_data_registers_nothing(flows: Any, world: Any) -> None:
    from daypart.flows.deployment.deployment_flows import retrain

    (world.home / "recipes.toml").write_text("[recipe.standard]\nrounds = 10\nmax_rows = 4000\nfolds = 1\n")
    before = world.versions()
    retrain(str(world.home))
    assert world.versions() == before


def test_a_damaged_file_is_named_by_the_run_that_meets_it(flows: Any, world: Any) -> None:
    file = next((world.home / "lake" / "forecasts").rglob("origin_date=*/*.parquet"))
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(DamagedError, match=f"{file.name} .*: restore it from a copy"):
        flows.monitor(world.as_home)


def test_what_fails_in_passing_is_tried_again(flows: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, publish = [], flows.forecasts.publish

    @functools.wraps(publish)
    def once(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise OSError("the disk was away")
        return publish(*arguments)

    monkeypatch.setattr(flows.forecasts, "publish", once)
    before = world.versions()
    assert flows.forecast(world.as_home) == world.origin
    assert len(calls) == 2
    assert world.versions() == before


def test_wrong_input_is_not_tried_again(flows: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, publish = [], flows.forecasts.publish

    @functools.wraps(publish)
    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return publish(*arguments)

    monkeypatch.setattr(flows.forecasts, "publish", counted)
    with pytest.raises(NotKnownError, match="past"):
        flows.forecast(world.as_home, world.origin.replace(month=1))
    assert len(calls) == 1
    with pytest.raises(InputError, match="no such file"):
        flows.ingest(world.as_home, {"demand": ["nowhere.csv"]})


def test_a_retrain_does_what_it_can_and_says_what_failed(
    flows: Any, untrained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One unit's disk is away for once, another has no demand: only what may pass is tried again."""
    from daypart.flows.deployment import deployment_flows

    (untrained.home / "recipes.toml").write_text("[recipe.standard]\nrounds = 10\nmax_rows = 4000\nfolds = 1\n")
    calls, train = [], deployment_flows.trainings.train

    @functools.wraps(train)
    def once(*arguments: Any, **named: Any) -> Any:
        calls.append(inspect.signature(train).bind(*arguments, **named).arguments["request"].units)
        if calls == [("sales",)]:
            raise OSError("the disk was away")
        return train(*arguments, **named)

    monkeypatch.setattr(deployment_flows.trainings, "train", once)
    with pytest.raises(DaypartError, match="champions serve on: visits: "):
        deployment_flows.retrain(str(untrained.home), ["sales", "visits", "orders"], "a test")
    assert calls == [("sales",), ("sales",), ("visits",), ("orders",)]
    assert [untrained.registry.version_of(target, "champion") for target in ("orders", "sales")] == [1, 1]
    deployment_flows.tuning(str(untrained.home), trials=1)
    assert (untrained.home / "tune" / "recipes.toml").exists()
    deployment_flows.maintain(str(untrained.home))
    assert (untrained.home / "maintain.lock").exists()


def test_a_night_of_many_units_is_tens_of_tasks() -> None:
    from daypart.flows.deployment import deployment_flows

    names = [f"orders.s{k}" for k in range(160)]
    shares = deployment_flows._shares([*names, *names])
    assert len(shares) == 20
    assert [name for share in shares for name in share] == names
    assert deployment_flows._shares(None) == deployment_flows._shares([]) == [None]


def test_the_demo_runs_every_flow(
    prefect_server: None, daypart: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from daypart.flows.deployment import demo

    monkeypatch.setattr(demo, "QUICK_RECIPE", SMALL)
    small = ("demo", "--stores", "2", "--years", "0.5")
    run, runs = demo.demo, []
    monkeypatch.setattr(demo, "demo", lambda *arguments: runs[0] if runs else runs.append(run(*arguments)) or runs[0])
    report = daypart(tmp_path / "home", *small, "--json").json
    assert Path(report["report"]).read_text("utf-8").lstrip().lower().startswith("<!doctype html>")
    assert Path(report["forecasts"]).is_dir()
    scores = {(row["target"], row["level"]): row for row in report["scores"]}
    assert len(scores) == 6
    assert all(row["oracle_bps"] > row["accuracy_bps"] for row in scores.values())
    human = daypart(tmp_path / "home", *small)
    assert human.status == 0, human.err
    assert all(
        text in human.out
        for text in ("accuracy_bps", "oracle_bps", report["report"], "S0001", report["excel"], report["mlflow"])
    )
    assert pl.read_excel(report["excel"])["store_id"].n_unique() == 2
    assert sum(row["forecast"] for row in report["forecast"]) > 0
    assert all(sentence in human.out for sentence in report["reason"])
    other = daypart(tmp_path / "home", "demo", "--stores", "3")
    assert (other.status, other.out) == (2, "")
    assert "2 stores and 0.5 years, seed 7" in other.err
