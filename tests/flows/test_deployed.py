"""A real server and worker, begun by the command line, take a chain from a model that slipped to a better one."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from features.simulator import simulate
from flows.adapters.audit import Audit
from flows.adapters.lake import Lake
from flows.adapters.server import ENDED, connected
from flows.deploy import deploy
from flows.deployments import deployments
from flows.forecast import publish
from tests.flows.running import HASTE, RECIPE, SPEC, ZONE, Running, degraded, ended

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def running(tmp_path_factory: Any, process: Any) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("deployed")
    degraded(folder / "home", simulate(SPEC))
    before = dict(os.environ)
    os.environ |= HASTE
    made = Running(folder / "home", process)
    made.start()
    yield made
    os.environ.clear()
    os.environ.update(before)
    if made.child.poll() is None:
        made.child.send_signal(signal.SIGTERM)
        made.child.wait(60)


def test_a_slip_leads_to_a_promoted_challenger_without_a_hand(running: Running) -> None:
    """Decision, event, trigger, retrain, gate, promotion; the next night is the challenger's."""
    assert running.champions() == {"orders": 1, "sales": 1}
    night = running.until("nightly", ended, [running.run("nightly")])
    assert night.state.is_completed(), night.state.message
    retrained = running.until("retrain", ended)
    assert retrained.state.is_completed(), retrained.state.message
    assert retrained.parameters["units"] == ["orders", "sales"]
    announced = Lake(running.home / "lake").scan("announced").collect().sort("unit")
    assert announced["unit"].to_list() == ["orders", "sales"]
    told = [f"{unit}: {reason}" for unit, reason in announced.select("unit", "reason").iter_rows()]
    assert retrained.parameters["reason"] == "; ".join(told)
    assert running.champions() == {"orders": 2, "sales": 2}
    records = Audit(Lake(running.home / "lake"), running.registry).records().filter(pl.col("activity") == "retrain")
    assert [json.loads(details).get("asked") for details in records["details"].tail(2)] == ["; ".join(told)] * 2
    assert publish(Lake(running.home / "lake"), running.registry) == SPEC.end
    forecasts = Lake(running.home / "lake").scan("forecasts").filter(pl.col("origin_date") == SPEC.end).collect()
    assert set(forecasts["model_version"]) == {"orders-v2", "sales-v2"}


def test_declared_by_command_or_by_file_deployments_are_the_same_and_there_once(running: Running) -> None:
    """Deploying what is there already leaves even a paused schedule alone."""
    home = str(running.home)
    ours, others = (deployments(home, zone, "daypart") for zone in (ZONE, "Europe/Paris"))
    with connected(running.api_url, running.store) as client:
        nightly = client.read_deployment_by_name("nightly/daypart")
        client.update_deployment_schedule(nightly.id, nightly.schedules[0].id, active=False)
        assert {each.change for each in deploy(client, ours)} == {"unchanged"}
        assert client.read_deployment_by_name("nightly/daypart").schedules[0].active is False
        command = declared_on(client)
        assert [each.change for each in deploy(client, others)] == ["changed", "changed", "unchanged", "changed"]
        assert declared_on(client) != command
    asked = ["deploy", "--all", "--prefect-file", "infra/prefect.yaml"]
    subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *asked],
        cwd=ROOT, check=True, capture_output=True,
        env={**os.environ, "PREFECT_API_URL": running.api_url, "DAYPART_HOME": home},
    )  # fmt: skip
    with connected(running.api_url, running.store) as client:
        assert declared_on(client) == command
        deploy(client, ours)
        assert declared_on(client) == command


def declared_on(client: Any) -> list[object]:
    """What the server knows of each deployment and its triggers, but for what it made up itself."""
    found = []
    for flow in ("nightly", "monitor", "retrain", "tuning"):
        each = client.read_deployment_by_name(f"{flow}/daypart")
        automations = client.read_resource_related_automations(f"prefect.deployment.{each.id}")
        triggers = [(one.name, one.trigger.model_dump(exclude={"id"}), one.actions) for one in automations]
        limit = each.global_concurrency_limit.limit, each.concurrency_options.collision_strategy
        when = [(one.schedule.cron, one.schedule.timezone) for one in each.schedules]
        pool = each.work_pool_name, each.job_variables, each.pull_steps or None
        found.append((each.entrypoint, each.description, each.parameters, each.tags, limit, when, pool, triggers))
    return found


def test_of_two_retrains_one_waits_and_one_killed_half_way_is_done_over(running: Running) -> None:
    """The worker dies too: all stops, in words. Begun again it frees the place of the dead, and the other takes it."""
    (running.home / "recipes.toml").write_text(RECIPE.replace("rounds = 10", "rounds = 11"))
    versions, champions = running.versions(), running.champions()
    asked = [running.run("retrain", reason="other settings") for _ in range(2)]
    one = running.until("retrain", lambda run: run.state.is_running() and run.id in asked, asked)
    killed, waiting = sorted(asked, key=lambda each: each != one.id)
    waits = running.until("retrain", lambda run: run.state.name == "AwaitingConcurrencySlot", [waiting])
    assert waits.start_time is None
    worker = running.worker()
    for each in [worker, *worker.children(recursive=True)]:
        each.kill()
    assert running.child.wait(60) == 1
    assert "Prefect's worker ended" in running.child.stderr.read()
    assert (running.versions(), running.champions()) == (versions, champions)
    running.start()
    assert {each["change"] for each in running.told["deployments"]} == {"unchanged"}
    crashed = running.until("retrain", ended, [killed])
    assert (crashed.state.is_crashed(), crashed.state.message) == (True, ENDED)
    assert running.until("retrain", ended, [waiting]).state.is_completed()
    assert running.versions() == versions + 2


def test_a_signal_stops_worker_and_server_and_what_they_are_at(running: Running) -> None:
    asked = running.run("monitor")
    running.until("monitor", lambda run: run.state.is_running(), [asked])
    offspring = running.offspring()
    assert len(offspring) >= 3
    running.child.send_signal(signal.SIGTERM)
    assert running.child.wait(60) == 0
    assert not [each for each in offspring if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", running.port))
