import os
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import yaml

from daypart.flows.config.settings import Settings
from daypart.flows.deployment.login import ensure_login
from daypart.flows.deployment.schedule import deployments, zone
from daypart.flows.deployment.server import is_unencrypted
from daypart.flows.display.deploy import show_deploy
from daypart.flows.lake.lake import Lake

FILE = Path(__file__).resolve().parents[3] / "infra" / "prefect.yaml"
CHANGES = {
    "America/New_York": (datetime(2025, 3, 9), datetime(2025, 11, 2)),
    "Europe/Paris": (datetime(2025, 3, 30), datetime(2025, 10, 26)),
    "Australia/Sydney": (datetime(2025, 10, 5), datetime(2026, 4, 5)),
    "America/Santiago": (datetime(2025, 9, 7), datetime(2025, 4, 5)),
}
"""Days on which clocks change."""


def test_the_file_declares_what_the_command_does() -> None:
    declared = yaml.safe_load(FILE.read_text("utf-8"))
    assert declared["deployments"] == deployments("{{ $DAYPART_HOME }}", "America/New_York", "daypart")
    assert declared["pull"] == []


@pytest.mark.parametrize("name", CHANGES)
def test_schedules_keep_the_local_hour_when_clocks_change(name: str) -> None:
    """Once a day, or a week, at the same time of the clock, by Prefect's own reckoning."""
    import anyio
    from prefect.server.schemas.schedules import CronSchedule

    for change in CHANGES[name]:
        start = (change - timedelta(days=3)).replace(tzinfo=ZoneInfo(name))
        for deployment in deployments("home", name, "pool"):
            for when in deployment["schedules"]:
                minute, hour, _, _, weekday = when["cron"].split()
                schedule = CronSchedule(cron=when["cron"], timezone=when["timezone"])
                runs = [at.astimezone(ZoneInfo(name)) for at in anyio.run(schedule.get_dates, 6, start)]
                assert {(at.hour, at.minute) for at in runs} == {(int(hour), int(minute))}
                apart = {(later.date() - at.date()).days for at, later in zip(runs, runs[1:], strict=False)}
                assert apart == {1 if weekday == "*" else 7}


def test_the_zone_is_that_of_most_stores_unless_the_settings_say(tmp_path: Path) -> None:
    lake, settings = Lake(tmp_path / "lake"), Settings(home=tmp_path)
    assert zone(settings, lake) == "America/New_York"
    zones = ["Europe/Rome", "Europe/Paris", "Europe/Paris", "Asia/Tokyo"]
    stores = pl.DataFrame({"store_id": list("abcd"), "timezone": zones, "country": ["FR"] * 4})
    lake.upsert("stores", stores)
    assert zone(settings, lake) == "Europe/Paris"
    lake.upsert("stores", stores.head(1).with_columns(store_id=pl.lit("e")))
    assert zone(settings, lake) == "Europe/Paris"
    assert zone(Settings(home=tmp_path, timezone="Asia/Tokyo"), lake) == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timezone", "Paris"], "timezone is 'Paris': no such time zone"),
        (["--local", "--api-url", "http://x/api"], "leave one of them out"),
        (["--api-url", "http://127.0.0.1:{closed}/api"], "no Prefect server answers at http://127.0.0.1"),
        (["--api-url", "nowhere"], "no Prefect server answers at nowhere"),
        (["--local", "--port", "{taken}"], "else give another --port"),
        ([], "no Prefect server is named: set PREFECT_API_URL"),
    ],
)
def test_what_cannot_be_deployed_is_told_in_words(
    daypart: Any, tmp_path: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    with socket.socket() as busy_socket, socket.socket() as closed:
        busy_socket.bind(("127.0.0.1", 0))
        busy_socket.listen()
        closed.bind(("127.0.0.1", 0))
        ports = {"taken": busy_socket.getsockname()[1], "closed": closed.getsockname()[1]}
        result = daypart(tmp_path / "home", "deploy", *(argument.format(**ports) for argument in arguments))
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert message in result.err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://prefect.example/api", True),
        ("HTTP://10.1.2.3:4200/api", True),
        ("http://[2001:db8::1]/api", True),
        ("http://localhost.example/api", True),
        ("http://127.0.0.1.example/api", True),
        ("https://prefect.example/api", False),
        ("http://127.0.0.1:4200/api", False),
        ("http://127.8.9.10/api", False),
        ("http://localhost:4200/api", False),
        ("http://[::1]:4200/api", False),
        ("nowhere", False),
    ],
)
def test_what_others_on_the_way_can_read_is_known_by_its_address(url: str, plain: bool) -> None:
    assert is_unencrypted(url) is plain


def test_a_server_of_another_host_without_encryption_is_warned_of_before_anything_is_sent(
    daypart: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address of no host in particular reaches this machine, but is none of those that stay on it."""
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://someone:hidden@0.0.0.0:{closed.getsockname()[1]}/api"
        outcome = daypart(tmp_path / "home", "deploy", "--api-url", url)
    warning, error = outcome.err.splitlines()
    assert warning.startswith("daypart: warning: http://0.0.0.0 is not encrypted: anyone between here and there")
    assert "hidden" not in warning
    assert error.startswith("daypart: no Prefect server answers at")
    assert (outcome.status, outcome.out) == (2, "")


def test_neither_commands_nor_deployed_runs_send_telemetry(
    daypart: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert daypart(tmp_path / "home", "deploy").status == 2
    assert names.items() <= os.environ.items()
    for deployment in deployments("home", "Europe/Paris", "pool"):
        assert names.items() <= deployment["work_pool"]["job_variables"]["env"].items()


def test_who_deploys_reads_where_to_log_in_but_not_the_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    login = ensure_login(tmp_path / "login")
    show_deploy([], "daypart", "http://127.0.0.1:4200", tmp_path / "login", as_json=False)
    printed = capsys.readouterr().out
    assert f"open http://127.0.0.1:4200, log in with the line daypart:PASSWORD of {tmp_path / 'login'}" in printed
    assert login.partition(":")[2] not in printed
