"""A real server and worker, begun by the command line, take a chain from a model that slipped to a better one."""

import base64
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import urlopen

import polars as pl
import psutil
import pytest

from daypart.features.errors import InputError
from daypart.features.simulator import simulate
from daypart.flows.audit.audit_log import Audit
from daypart.flows.deployment.local_server import CRASH_MESSAGE
from daypart.flows.deployment.login import read_login
from daypart.flows.deployment.registration import deploy
from daypart.flows.deployment.schedule import deployments
from daypart.flows.deployment.server import connect
from daypart.flows.home import Home
from daypart.flows.jobs.forecast import publish
from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring.retrain_event import EVENT
from tests.flows.running import HASTE, RECIPE, SPEC, ZONE, Running, degraded, ended
from tests.flows.strangers import EVIL, REFUSED, SOCKETS, event, strangers

pytestmark = pytest.mark.in_order
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def running(tmp_path_factory: Any, process: Any) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("deployed")
    degraded(folder / "home", simulate(SPEC))
    before = dict(os.environ)
    os.environ |= HASTE
    deployment = Running(folder / "home", process)
    deployment.start()
    yield deployment
    os.environ.clear()
    os.environ.update(before)
    if deployment.child.poll() is None:
        deployment.child.send_signal(signal.SIGTERM)
        deployment.child.wait(60)


def test_strangers_neither_command_the_server_nor_read_from_it(running: Running) -> None:
    """Not even beside each other's faults; what is sent last, with the login, shows that all before it was refused."""
    for sender in strangers(running.port):
        for content in ("application/json", None, "application/x-www-form-urlencoded", "text/plain"):
            assert sender.request("POST", "/api/flows/", '{"name": "forged"}', content) in REFUSED, (sender, content)
            assert sender.request("POST", "/api/flows/filter", None, content) in REFUSED, (sender, content)
        assert sender.request("GET", "/api/work_pools/daypart") in REFUSED, sender
        assert sender.request("GET", "/api/csrf-token?client=forged") in REFUSED, sender
        for path in SOCKETS:
            for handshake in (True, False):
                assert not sender.let_in(path, event(str(running.home)), handshake), (sender, path, handshake)
    insider = running.authorized_sender()
    assert insider.request("GET", "/api/work_pools/daypart") == 200
    assert insider.request("POST", "/api/flows/", '{"name": "forged"}', "application/json") == 403  # no CSRF token
    for foreign in (replace(insider, host=f"evil.example:{running.port}"), replace(insider, origin=EVIL)):
        assert foreign.request("GET", "/api/work_pools/daypart") in REFUSED
        assert not foreign.let_in("/api/events/in", event(str(running.home)))
    assert insider.let_in("/api/events/in", event("another home", "daypart.known"))
    running.until_stored("SELECT 1 FROM events WHERE event = 'daypart.known'")
    assert running.stored(f"SELECT event FROM events WHERE event = '{EVENT}'") == []
    assert running.stored("SELECT name FROM flow WHERE name = 'forged'") == []
    assert running.stored("SELECT client FROM csrf_token WHERE client = 'forged'") == []
    assert running.runs_stored("retrain") == 0


def test_the_server_schedules_what_is_to_run_by_itself(running: Running) -> None:
    """Every night, noon and week ahead that Prefect looks at, without anybody asking for a run."""
    scheduled = "SELECT COUNT(DISTINCT deployment_id) FROM flow_run WHERE state_type = 'SCHEDULED' AND auto_scheduled"
    running.until_stored(f"SELECT 1 WHERE ({scheduled}) >= 4")
    flows = {"nightly": True, "monitor": True, "tuning": True, "maintain": True, "retrain": False}
    assert {flow: running.runs_stored(flow) > 0 for flow in flows} == flows


def test_the_page_talks_to_its_own_server_and_asks_for_the_login(running: Running) -> None:
    with urlopen(f"http://127.0.0.1:{running.port}/ui-settings", timeout=30) as answer:
        settings = json.load(answer)
    with urlopen(f"http://127.0.0.1:{running.port}/v2/", timeout=30) as answer:
        assert b"<html" in answer.read()
        assert answer.headers["Content-Security-Policy"] == "connect-src 'self'; frame-ancestors 'none'"
    assert (settings["api_url"], settings["auth"], settings["csrf_enabled"]) == (running.api_url, "BASIC", True)
    assert running.deploy_output["ui"] == f"http://127.0.0.1:{running.port}"
    assert running.deploy_output["login"] == str(running.store / "login")


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
    reasons = [f"{unit}: {reason}" for unit, reason in announced.select("unit", "reason").iter_rows()]
    assert retrained.parameters["reason"] == "; ".join(reasons)
    assert running.champions() == {"orders": 2, "sales": 2}
    records = Audit(Lake(running.home / "lake"), running.registry).records().filter(pl.col("activity") == "retrain")
    assert [json.loads(details).get("asked") for details in records["details"].tail(2)] == ["; ".join(reasons)] * 2
    assert publish(Home(running.registry.settings)) == SPEC.end
    forecasts = Lake(running.home / "lake").scan("forecasts").filter(pl.col("origin_date") == SPEC.end).collect()
    assert set(forecasts["model_version"]) == {"orders-v2", "sales-v2"}


def test_declared_by_command_or_by_file_deployments_are_the_same_and_there_once(running: Running) -> None:
    """Deploying what is there already leaves even a paused schedule alone."""
    home = str(running.home)
    ours, other_deployments = (deployments(home, zone, "daypart") for zone in (ZONE, "Europe/Paris"))
    with connect(running.api_url, running.store) as client:
        nightly = client.read_deployment_by_name("nightly/daypart")
        client.update_deployment_schedule(nightly.id, nightly.schedules[0].id, active=False)
        assert {outcome.change for outcome in deploy(client, ours)} == {"unchanged"}
        assert client.read_deployment_by_name("nightly/daypart").schedules[0].active is False
        command = declared_on(client)
        assert [outcome.change for outcome in deploy(client, other_deployments)] == [
            "changed",
            "changed",
            "unchanged",
            "changed",
            "changed",
        ]
        assert declared_on(client) != command
    arguments = ["deploy", "--all", "--prefect-file", "infra/prefect.yaml"]
    subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=ROOT, check=True, capture_output=True,
        env={
            **os.environ,
            "DAYPART_HOME": home,
            "PREFECT_API_URL": running.api_url,
            "PREFECT_API_AUTH_STRING": read_login(running.store / "login"),
        },
    )  # fmt: skip
    with connect(running.api_url, running.store) as client:
        assert declared_on(client) == command
        deploy(client, ours)
        assert declared_on(client) == command


def declared_on(client: Any) -> list[object]:
    """What the server knows of each deployment and its triggers, but for what it made up itself."""
    specs = []
    for flow in ("nightly", "monitor", "retrain", "tuning", "maintain"):
        entry = client.read_deployment_by_name(f"{flow}/daypart")
        automations = client.read_resource_related_automations(f"prefect.deployment.{entry.id}")
        triggers = [(one.name, one.trigger.model_dump(exclude={"id"}), one.actions) for one in automations]
        limit = entry.global_concurrency_limit.limit, entry.concurrency_options.collision_strategy
        when = [(one.schedule.cron, one.schedule.timezone) for one in entry.schedules]
        pool = entry.work_pool_name, entry.job_variables, entry.pull_steps or None
        specs.append((entry.entrypoint, entry.description, entry.parameters, entry.tags, limit, when, pool, triggers))
    return specs


def test_of_two_retrains_one_waits_and_one_killed_half_way_is_done_over(running: Running) -> None:
    """The worker dies too: all stops, in words. Begun again it frees the place of the dead, and the other takes it."""
    (running.home / "recipes.toml").write_text(RECIPE.replace("rounds = 10", "rounds = 11"))
    versions, champions = running.versions(), running.champions()
    run_ids = [running.run("retrain", reason="other settings") for _ in range(2)]
    one = running.until("retrain", lambda run: run.state.is_running() and run.id in run_ids, run_ids)
    killed, waiting = sorted(run_ids, key=lambda run_id: run_id != one.id)
    waits = running.until("retrain", lambda run: run.state.name == "AwaitingConcurrencySlot", [waiting])
    assert waits.start_time is None
    worker = running.worker()
    for process in [worker, *worker.children(recursive=True)]:
        process.kill()
    assert running.child.wait(60) == 1
    assert "Prefect's worker ended" in running.child.stderr.read()
    assert (running.versions(), running.champions()) == (versions, champions)
    running.start()
    assert {deployment["change"] for deployment in running.deploy_output["deployments"]} == {"unchanged"}
    crashed = running.until("retrain", ended, [killed])
    assert (crashed.state.is_crashed(), crashed.state.message) == (True, CRASH_MESSAGE)
    assert running.until("retrain", ended, [waiting]).state.is_completed()
    assert running.versions() == versions + 2


def test_a_command_of_the_same_home_has_the_login_and_one_of_another_does_not(
    running: Running, daypart: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    report = daypart(running.home, "deploy", "--api-url", running.api_url, "--json").json
    assert {deployment["change"] for deployment in report["deployments"]} == {"unchanged"}
    assert (report["ui"], report["login"]) == (None, None)
    refused = daypart(tmp_path / "home", "deploy", "--api-url", running.api_url)
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "answers 401: expected a Prefect API that lets us in" in refused.err


def test_a_login_is_given_to_nobody_but_the_homes_own_server(running: Running) -> None:
    """Not to one that answers elsewhere on this machine, whatever a home's server once answered at."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(60)

        def listen() -> None:
            with other.accept()[0] as peer:
                heard.append(peer.recv(65536))
                peer.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        listener = Thread(target=listen)
        listener.start()
        url = f"http://127.0.0.1:{other.getsockname()[1]}/api"
        with pytest.raises(InputError, match="answers 401"), connect(url, running.store):
            pass
        listener.join()
    assert b"GET" in heard[0] or b"POST" in heard[0]
    assert b"authorization" not in heard[0].lower()


def test_the_password_is_in_one_file_and_in_no_command_line(running: Running) -> None:
    """After runs, crashes and refusals: not in a log, a database or what was printed."""
    login = (running.store / "login").read_text("utf-8").strip()
    traces = [login.partition(":")[2].encode(), base64.b64encode(login.encode())]
    files = [path for path in running.home.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if any(trace in path.read_bytes() for trace in traces)] == [running.store / "login"]
    lines = [" ".join(one.cmdline()).encode() for one in [psutil.Process(running.child.pid), *running.offspring()]]
    assert len(lines) >= 3
    assert not [line for line in lines if any(trace in line for trace in traces)]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (running.store, running.store / "login")]
    assert modes == [0o700, 0o600]


def test_a_signal_stops_worker_and_server_and_what_they_are_at(running: Running) -> None:
    run_id = running.run("monitor")
    running.until("monitor", lambda run: run.state.is_running(), [run_id])
    offspring = running.offspring()
    assert len(offspring) >= 3
    running.child.send_signal(signal.SIGTERM)
    assert running.child.wait(60) == 0
    assert not [process for process in offspring if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", running.port))


@pytest.mark.faults
def test_what_a_killed_start_leaves_is_named_with_how_to_end_it(running: Running, process: Any) -> None:
    running.ensure()
    second = process(running.home, "deploy", "--local", "--port", running.port)
    assert f"runs already, started by process {running.child.pid}" in second.communicate(timeout=60)[1]
    offspring = running.offspring()
    running.child.kill()
    running.child.wait()
    third = process(running.home, "deploy", "--local", "--port", running.port)
    error_text = third.communicate(timeout=60)[1]
    assert (third.returncode, error_text.count("\n")) == (1, 1), error_text
    assert all(str(child.pid) in error_text for child in offspring if child.is_running())
    remedy = next(part for part in error_text.split("`") if part.startswith("kill "))
    subprocess.run(remedy.split(), check=True)
    psutil.wait_procs(offspring, 60)
    running.start()
    running.child.send_signal(signal.SIGTERM)
    assert running.child.wait(60) == 0


@pytest.mark.faults
def test_a_server_whose_home_is_deleted_stops_and_makes_nothing_again(running: Running) -> None:
    running.ensure()
    offspring = running.offspring()
    shutil.rmtree(running.home)
    assert running.child.wait(120) == 1
    error_text = running.child.stderr.read()
    assert (error_text.count("\n"), "was moved or deleted" in error_text) == (1, True), error_text
    assert not running.home.exists()
    assert not [process for process in offspring if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
