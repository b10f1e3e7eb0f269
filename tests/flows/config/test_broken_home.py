"""A registry or a file of settings that cannot be read: one line with the remedy, and the rest is shown all the same."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from daypart.flows.governance.promotion import promote
from daypart.flows.governance.signoff import Signoff
from daypart.flows.registry import mlflow_connection
from tests.flows.conftest import House, World

NOW = datetime(2025, 3, 1, 4)
REMEDY = "restore it from a copy, or move it out of the home and run `daypart train`"
TOMLS = ("governance.toml", "portfolio.toml", "policy.toml", "recipes.toml", "settings.toml")


def emptied(database: Path) -> None:
    database.write_bytes(b"")


def overwritten(database: Path) -> None:
    database.write_bytes(b"no database " * 1000)


def cut(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def replaced(database: Path) -> None:
    database.unlink()
    with closing(sqlite3.connect(database)) as other:
        other.execute("create table notes (text)")


def folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


HARMS: dict[str, tuple[Callable[[Path], None], str]] = {
    "emptied": (emptied, "is empty"),
    "overwritten": (overwritten, "is no SQLite database"),
    "cut": (cut, "is damaged (malformed)"),
    "replaced": (replaced, "is damaged (no such table)"),
    "a folder": (folder, "is a folder"),
}
COMMANDS: tuple[tuple[str, ...], ...] = (
    *(("promote", "orders", "--role", "lead"), ("rollback", "orders", "--role", "lead")),
    *(("approve", "orders", "--role", "lead"), ("reject", "orders", "--role", "lead")),
    *(("audit", "--verify"), ("audit", "--repair", "--role", "lead", "--reason", "lost"), ("card", "orders")),
)


def one_line(result: Any, status: int, *texts: str) -> None:
    assert (result.status, result.err.count("\n")) == (status, 1), result.err
    for text in texts:
        assert text in result.err + result.out


@pytest.mark.parametrize("harm", HARMS)
def test_a_registry_that_is_none_is_one_line_with_the_remedy(house: House, daypart: Any, harm: str) -> None:
    house.add(tier="top", count=2)
    promote(house.as_home, "orders", 1, Signoff("automation", NOW))
    apply, message = HARMS[harm]
    apply(house.home / "mlflow.db")
    size = (house.home / "mlflow.db").stat().st_size
    for command in COMMANDS:
        one_line(daypart(house.home, *command), 1, f"mlflow.db {message}", REMEDY)
    report = daypart(house.home, "status", "--json").json
    assert [notice for notice in report["notices"] if f"mlflow.db {message}" in notice] == report["notices"]
    assert [table["table"] for table in report["tables"]] == ["audit"]
    assert [(request["request"], request["version"]) for request in report["pending"]] == [(1, 1)]
    assert daypart(house.home, "audit").status == 0
    assert (house.home / "mlflow.db").stat().st_size == size


def test_a_home_with_models_is_trained_anew_where_its_registry_is_lost(world: World, daypart: Any) -> None:
    overwritten(world.home / "mlflow.db")
    for command in (("forecast", "--refresh"), ("train",), ("portfolio",), ("monitor",)):
        one_line(daypart(world.home, *command), 1, "mlflow.db is no SQLite database", REMEDY)
    report = daypart(world.home, "status", "--json").json
    assert len(report["tables"]) > 4
    assert report["published"]["stores"] == 4
    assert daypart(world.home, "forecast").status == 0
    (world.home / "mlflow.db").unlink()
    assert daypart(world.home, "train", "--targets", "orders").status == 0
    assert daypart(world.home, "status", "--json").json["models"][0]["serves"] == 1


def test_a_registry_that_another_process_holds_is_waited_for_once(
    house: House, daypart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.add(count=1)
    promote(house.as_home, "orders", 1, Signoff("lead", NOW))
    monkeypatch.setattr(mlflow_connection, "BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(house.home / "mlflow.db")) as other:
        other.execute("begin exclusive")
        one_line(daypart(house.home, "promote", "orders", "--role", "lead"), 1, "is held by another process: end it")
        report = daypart(house.home, "status", "--json").json
        assert report["notices"] == [f"{house.home / 'mlflow.db'} is held by another process: end it and run again"]
        one_line(daypart(house.home, "audit", "--verify"), 1, "is held by another process")
    assert daypart(house.home, "audit", "--verify").status == 0


@pytest.mark.parametrize("name", TOMLS)
@pytest.mark.parametrize(
    "text", [b"[raci\n", b"\xff\xfe", b"nonsense = true\n"], ids=["no TOML", "no UTF-8", "unknown"]
)
def test_a_file_of_settings_that_cannot_be_read_hides_nothing_else(
    house: House, daypart: Any, name: str, text: bytes
) -> None:
    house.add(tier="top", count=2)
    promote(house.as_home, "orders", 1, Signoff("automation", NOW))
    (house.home / name).write_bytes(text)
    report = daypart(house.home, "status", "--json").json
    assert len(report["notices"]) == 1
    assert f"{house.home / name}" in report["notices"][0]
    assert "expected" in report["notices"][0]
    assert [request["request"] for request in report["pending"]] == [1]
    assert [row["file"] for row in report["undeclared"]] == [name]
    assert daypart(house.home, "audit").status == daypart(house.home, "audit", "--verify").status == 0
    if name in ("governance.toml", "settings.toml"):
        one_line(daypart(house.home, "promote", "orders", "--version", 2, "--role", "lead"), 2, name, "expected")
