"""The engine that is asked for does the work, or one line says why it cannot."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, LocalCluster

from daypart.features.errors import InputError
from daypart.flows.compute.cluster import Dask
from daypart.flows.compute.engine import opened
from daypart.flows.compute.meter import Meter
from daypart.flows.config.settings import Settings
from daypart.flows.jobs import forecast


def by_store(ids: list[str]) -> list[list[str]]:
    return [[store_id] for store_id in ids]


def champions(world: Any) -> dict[str, dict[str, bytes]]:
    return {target: world.registry.load(target, "champion") for target in ("orders", "sales")}


def test_a_cluster_started_for_the_run_trains_what_this_process_does(
    world: Any, untrained: Any, process: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAYPART_WORKERS", "1")
    output, error_text = process(untrained.home, "train", "--engine", "dask", "--json").communicate(timeout=100)
    assert error_text == ""
    assert [(row["target"], row["promoted"]) for row in json.loads(output)["trained"]] == [
        ("orders", True),
        ("sales", True),
    ]
    assert champions(untrained) == champions(world)


def test_a_cluster_started_for_the_run_answers_on_this_machine_only(tmp_path: Path) -> None:
    before = listening()
    with opened(Settings(home=tmp_path, engine="dask", workers=1)):
        addresses = listening() - before
    assert len(addresses) >= 3
    assert {address for address, _ in addresses} == {"127.0.0.1"}


def listening() -> set[tuple[str, int]]:
    """Where this process and its children answer."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    sockets = [one for process in processes for one in process.net_connections("tcp")]
    return {(one.laddr.ip, one.laddr.port) for one in sockets if one.status == psutil.CONN_LISTEN}


@pytest.mark.faults
def test_a_cluster_that_is_there_publishes_what_this_process_does(
    world: Any, client: Client, daypart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, version = world.forecasts(), world.lake.version("forecasts")
    monkeypatch.setattr(forecast, "in_blocks", by_store)
    monkeypatch.setenv("DAYPART_ENGINE", "dask")
    monkeypatch.setenv("DAYPART_SCHEDULER", client.scheduler.address)
    assert daypart(world.home, "forecast", "--refresh").status == 0
    assert world.lake.version("forecasts") == version
    assert world.forecasts().equals(rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine", "dask", "--scheduler", "tcp://127.0.0.1:9"), "no Dask scheduler answers at 'tcp://127.0.0.1:9'"),
        (("--engine", "dask", "--scheduler", "nowhere"), "no Dask scheduler answers at 'nowhere'"),
        (("--scheduler", "tcp://127.0.0.1:9"), "add --engine dask"),
        (("--engine", "ray"), "'local' or 'dask'"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(
    untrained: Any, daypart: Any, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daypart.flows.compute.cluster.ANSWER_SECONDS", 1)
    for command in ("train", "forecast"):
        result = daypart(untrained.home, command, *arguments)
        assert (result.status, result.err.count("\n")) == (2, 1)
        assert message in result.err


def test_without_the_extra_one_line_says_which(untrained: Any, process: Callable[..., subprocess.Popen[str]]) -> None:
    bare = "import sys; sys.modules['dask'] = None"
    dying = process(untrained.home, "train", "--engine", "dask", before=bare)
    _, error_text = dying.communicate(timeout=100)
    assert (dying.returncode, error_text.count("\n")) == (2, 1)
    assert "pip install 'daypart[cluster]'" in error_text


def refused(home: Path, address: str) -> str:
    with pytest.raises(InputError) as failed, opened(Settings(home=home, engine="dask", scheduler=address)):
        pass
    return str(failed.value)


@pytest.fixture
def empty() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as local_cluster:
        yield local_cluster


def test_a_scheduler_without_workers_is_refused(
    untrained: Any, empty: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daypart.flows.compute.cluster.ANSWER_SECONDS", 1)
    assert "has no worker" in refused(untrained.home, empty.scheduler_address)


def test_a_worker_of_another_version_is_refused(untrained: Any, empty: LocalCluster, tmp_path: Path) -> None:
    dist_info = tmp_path / "daypart-0.0.9.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: daypart\nVersion: 0.0.9\n")
    start = [
        sys.executable,
        "-m",
        "distributed.cli.dask_worker",
        empty.scheduler_address,
        "--no-nanny",
        "--no-dashboard",
    ]
    worker = subprocess.Popen(
        start, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, stderr=subprocess.DEVNULL
    )
    try:
        assert "has daypart 0.0.9, expected" in refused(untrained.home, empty.scheduler_address)
    finally:
        worker.kill()
        worker.wait()


def test_workers_that_do_not_see_the_lake_are_refused(
    untrained: Any, cluster: LocalCluster, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers look at the path they are told; here the lake is moved away under them, as on a disk of their own."""
    with opened(Settings(home=untrained.home, engine="dask", scheduler=cluster.scheduler_address)) as engine:
        assert isinstance(engine(Meter()), Dask)
    hidden = untrained.home / "elsewhere"
    (untrained.home / "lake").rename(hidden)
    monkeypatch.setattr(Path, "is_dir", lambda path: path == untrained.home / "lake" or os.path.isdir(path))
    assert f"does not see the lake at {untrained.home / 'lake'}" in refused(untrained.home, cluster.scheduler_address)
