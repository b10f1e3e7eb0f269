import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.features.errors import DaypartError, InputError, NotKnownError
from daypart.flows.config.settings import Settings
from daypart.flows.files.process import identity
from daypart.flows.registry import mlflow_connection
from daypart.flows.registry.night_runs import NightFigures
from daypart.flows.registry.registry import Registry
from daypart.flows.registry.runs import RunRecord

FILES = {"model.json": b'{"a": 1}', "members/one.txt": b"\x00\xff\r\n" * 100, "empty": b""}


@pytest.fixture
def registry(database: Path, tmp_path: Path) -> Registry:
    home = tmp_path / "a home, é #1"
    home.mkdir()
    shutil.copy(database, home / "mlflow.db")
    return Registry(Settings(home=home))


def train(registry: Registry, target: str = "orders", files: dict[str, bytes] = FILES) -> int:
    run = registry.record(RunRecord("train", target, {"as_of": "2025-01-01"}, {"bps": 1}, {"demand": 3}, files))
    return registry.register(target, run, {"gate": "first"})


def run_of(registry: Registry, run_id: str) -> Any:
    return registry._call("get_run", run_id)


def test_a_run_keeps_params_metrics_versions_files_and_tables(registry: Registry) -> None:
    params = {"as_of": "2025-01-01", "recipe": {"members": ["a", "b"]}, "seed": 7, "none": None}
    metrics = {"wape_bps": 1493, "excess": 0.1, "undefined": None}
    table = pl.DataFrame({"lead_days": [0, 1]})
    run = registry.record(
        RunRecord("train", "orders", params, metrics, {"demand": 3, "stores": 0}, FILES, {"by_lead": table})
    )
    version = registry.register("orders", run, {"gate": "better", "job": "again"})
    description = registry.describe("orders", version)
    assert description["params"] == {
        "as_of": "2025-01-01", "recipe": '{"members": ["a", "b"]}', "seed": "7", "none": "null",
    }  # fmt: skip
    assert description["metrics"] == {"wape_bps": 1493.0, "excess": 0.1}
    expected = {"read.demand": "3", "read.stores": "0", "target": "orders", "gate": "better", "job": "again"}
    assert expected.items() <= description["tags"].items()
    assert (description["version"], description["run_id"]) == (1, run)
    assert run_of(registry, run).info.status == "FINISHED"
    table_file = registry.settings.artifacts / run / "artifacts" / "tables" / "by_lead.parquet"
    assert pl.read_parquet(table_file).equals(table)


def test_more_params_and_metrics_than_one_call_takes(registry: Registry) -> None:
    many = {f"n{number}": number for number in range(250)}
    run = registry.record(RunRecord("backtest", "orders", many, many, {}, {}))
    assert len(run_of(registry, run).data.params) == len(run_of(registry, run).data.metrics) == 250


def test_files_come_back_as_they_were(registry: Registry) -> None:
    assert train(registry) == 1
    other = {**FILES, "model.json": b"{}"}
    assert train(registry, files=other) == 2
    assert train(registry, "sales", files=other) == 1
    assert registry.load("orders", 1) == FILES
    assert registry.load("orders", 2) == registry.load("sales", 1) == other


def test_aliases_move_and_are_of_one_target(registry: Registry) -> None:
    for _ in range(2):
        train(registry)
    train(registry, "sales")
    assert registry.version_of("orders", "champion") is None
    registry.set_alias("orders", "champion", 1)
    registry.set_alias("orders", "challenger", 2)
    assert registry.version_of("orders", "champion") == 1
    registry.set_alias("orders", "champion", 2)
    assert (registry.version_of("orders", "champion"), registry.version_of("sales", "champion")) == (2, None)
    assert registry.load("orders", "champion") == FILES
    listed = registry.versions("orders")
    assert listed["version"].to_list() == [1, 2]
    assert listed["aliases"].to_list() == [[], ["challenger", "champion"]]
    assert listed["tags"].to_list() == ['{"gate": "first"}'] * 2
    assert registry.versions("guests").schema == listed.schema
    with pytest.raises(NotKnownError, match="no version 3 of orders: it has 1, 2"):
        registry.set_alias("orders", "champion", 3)
    with pytest.raises(InputError, match="unknown alias 'chief'"):
        registry.set_alias("orders", "chief", 1)
    assert registry.version_of("orders", "champion") == 2


def test_what_is_not_there_says_to_train(registry: Registry, tmp_path: Path) -> None:
    nowhere = Registry(Settings(home=tmp_path / "none"))
    assert nowhere.version_of("orders", "champion") is None
    assert nowhere.versions("orders").is_empty()
    for empty in (nowhere, registry):
        with pytest.raises(NotKnownError, match="no model for orders in .*run `daypart train`"):
            empty.load("orders", "champion")
    assert not (tmp_path / "none").exists()
    train(registry)
    with pytest.raises(NotKnownError, match="no champion for orders: run `daypart train`"):
        registry.load("orders", "champion")
    with pytest.raises(NotKnownError, match="no version 9 of orders: it has 1"):
        registry.describe("orders", 9)
    with pytest.raises(NotKnownError, match="run 0000 has no model files"):
        registry.register("orders", "0000", {})


@pytest.mark.parametrize("harm", ["lose one", "lose all", "change one"])
def test_files_that_are_gone_or_changed_are_told(registry: Registry, harm: str) -> None:
    version = train(registry)
    folder = registry._folder(registry.describe("orders", version)["run_id"])
    if harm == "lose one":
        (folder / "empty").unlink()
    elif harm == "lose all":
        shutil.rmtree(registry.settings.artifacts)
    else:
        (folder / "model.json").write_bytes(b'{"a": 2}')
    with pytest.raises(DaypartError, match="version 1 of orders is damaged.*daypart train"):
        registry.load("orders", version)


def test_a_home_may_be_moved(registry: Registry, tmp_path: Path) -> None:
    train(registry)
    home = registry.settings.home.rename(tmp_path / "moved")
    moved = Registry(Settings(home=home))
    assert moved.load("orders", 1) == FILES
    assert train(moved) == 2
    assert moved.load("orders", 2) == FILES
    assert not registry.settings.home.exists()


def test_mlflow_finds_the_files_of_a_home_that_was_moved_once_it_records_again(
    registry: Registry, tmp_path: Path
) -> None:
    train(registry)
    moved = Registry(Settings(home=registry.settings.home.rename(tmp_path / "a home, é #1 moved")))
    assert train(moved) == 2
    folders = {version: moved._folder(moved.describe("orders", version)["run_id"]) for version in (1, 2)}
    for version, folder in folders.items():
        uri = moved._call("get_model_version_download_uri", "daypart-orders", str(version))
        assert uri == folder.as_uri()
        run = run_of(moved, moved.describe("orders", version)["run_id"])
        assert run.info.artifact_uri == folder.parent.as_uri()
    assert "model.json" in {
        file.path.rpartition("/")[2] for file in moved._call("list_artifacts", run.info.run_id, "model")
    }


def test_each_job_has_its_experiment_and_runs_are_named_by_unit_and_date(registry: Registry) -> None:
    for job in ("train", "forecast", "tune"):
        day = {"origin" if job == "forecast" else "as_of": "2025-01-01"}
        registry.record(RunRecord(job, "orders", day, {}, {"demand": 3, "hours": 0}))
    names = {"train": "daypart-trainings", "forecast": "daypart-forecasts", "tune": "daypart-tuning"}
    for job, name in names.items():
        experiment = registry._call("get_experiment_by_name", name)
        run = registry._call("search_runs", [experiment.experiment_id], f"tags.job = '{job}'")[0]
        assert run.info.run_name == "orders 2025-01-01"
        datasets = {entry.dataset.name: entry.dataset for entry in run.inputs.dataset_inputs}
        assert {name: dataset.digest for name, dataset in datasets.items()} == {
            "demand": "version 3", "hours": "version 0",
        }  # fmt: skip
        assert 'delta_table_version": 3' in datasets["demand"].source
        assert "orders" in datasets["demand"].schema
    assert registry.runs("forecast", "orders", {"origin": "2025-01-01"}).height == 1


def test_nights_are_logged_once_and_go_on_where_they_were_left(registry: Registry) -> None:
    first, days = date(2025, 1, 1), [timedelta(days=n) for n in range(3)]

    def log(version: str, values: list[float], decision: str = "") -> None:
        by_night = {first + day: value for day, value in zip(days, values, strict=False)}
        registry.log_nights([NightFigures(version, {"accuracy_bps/first_day": by_night}, decision)])

    log("orders-v1", [8000.0, 8100.0])
    log("orders-v1", [8000.0, 8111.0, 8200.0], "no retrain: all is well")
    log("orders-v2", [8300.0])
    log("orders-v2", [8300.0])
    listed = registry._call("search_runs", [registry._experiment_id("monitor")])
    runs = {run.info.run_name: run for run in listed}
    assert set(runs) == {"orders-v1 2025-01-01", "orders-v2 2025-01-01"}
    run = runs["orders-v1 2025-01-01"]
    history = registry._call("get_metric_history", run.info.run_id, "accuracy_bps/first_day")
    assert [(metric.step, metric.value) for metric in history] == [(20089, 8000), (20090, 8100), (20091, 8200)]
    assert datetime.fromtimestamp(history[0].timestamp / 1000, UTC).date() == first
    assert run.data.tags["decision"] == "no retrain: all is well"


def test_a_run_that_fails_is_failed_and_registers_nothing(registry: Registry) -> None:
    with pytest.raises(Exception, match="no good name"):
        registry.record(RunRecord("train", "orders", {"no good name *": 1}, {}, {}, FILES))
    runs = registry._call("search_runs", ["1"], "attributes.status = 'FAILED'")
    assert len(runs) == 1
    assert registry.versions("orders").is_empty()


def test_what_dead_processes_left_running_is_killed_and_what_lives_is_not(registry: Registry) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    ours = {**identity(), "job": "train"}
    run_tags = [{"pid": str(dead.pid)}, {"session": "another"}, {}, {"host": "elsewhere", "pid": str(dead.pid)}]
    run_tags.append({"pid": str(os.getppid()), "session": "another"})
    runs = [registry._call("create_run", "1", tags={**ours, **tags}).info.run_id for tags in run_tags]
    registry.record(RunRecord("train", "orders", {}, {}, {}, {}))
    states = [run_of(registry, run).info.status for run in runs]
    assert states == ["KILLED", "KILLED", "RUNNING", "RUNNING", "RUNNING"]


def hold(database: Path, seconds: float) -> threading.Thread:
    """Holds the database as a writer would that takes its time; returns once it is held."""
    locked = threading.Event()

    def holder() -> None:
        with sqlite3.connect(database, isolation_level=None) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            locked.set()
            time.sleep(seconds)
            connection.execute("ROLLBACK")

    thread = threading.Thread(target=holder)
    thread.start()
    assert locked.wait(10)
    return thread


def test_a_database_that_is_held_for_a_while_is_waited_for(registry: Registry) -> None:
    thread = hold(registry.settings.mlflow_database, 2.5)
    assert train(registry) == 1
    thread.join()
    assert registry.load("orders", 1) == FILES


def test_a_database_that_is_never_let_go_is_told_in_one_line(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mlflow_connection, "BUSY_SECONDS", 0.1)
    thread = hold(registry.settings.mlflow_database, 3)
    with pytest.raises(DaypartError, match="mlflow.db is held by another process: end it and run again"):
        registry.record(RunRecord("train", "orders", {}, {}, {}, {}))
    thread.join()
    assert capfd.readouterr() == ("", "")


def loop(home: str) -> None:
    """Makes challengers for ever."""
    registry = Registry(Settings(home=home))
    while True:
        registry.set_alias("orders", "challenger", train(registry))


def test_a_killed_trainer_leaves_the_champion_and_a_usable_registry(registry: Registry) -> None:
    registry.set_alias("orders", "champion", train(registry))
    for wait in (0.0, 0.02):
        before = registry.versions("orders").height
        trainer = subprocess.Popen([sys.executable, __file__, "loop", str(registry.settings.home)])
        while registry.versions("orders").height <= before:
            assert trainer.poll() is None
            time.sleep(0.002)
        time.sleep(wait)
        trainer.kill()
        trainer.wait()
        assert registry.version_of("orders", "champion") == 1
        for version in registry.versions("orders")["version"]:
            assert registry.load("orders", version) == FILES
    registry.set_alias("orders", "champion", train(registry))
    assert registry._call("search_runs", ["1"], "attributes.status = 'RUNNING'") == []


def first(home: str) -> None:
    """Records in a home that may not be there yet."""
    train(Registry(Settings(home=home)))


def test_a_home_that_several_processes_begin_is_one(tmp_path: Path) -> None:
    command = [sys.executable, __file__, "first", str(tmp_path / "home")]
    begun = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    outputs = [child.communicate()[0].decode() for child in begun]
    assert [child.returncode for child in begun] == [0, 0], outputs
    assert outputs == ["", ""]
    assert Registry(Settings(home=tmp_path / "home")).versions("orders")["version"].to_list() == [1, 2]
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["artifacts", "mlflow.db"]


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
