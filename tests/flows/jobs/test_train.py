import json
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.flows.lake.lake import Lake

KILL = """
import os, signal
import daypart.flows.registry.registry as registry
reached, count = registry.Registry.{method}, 0
def struck(self, *arguments):
    global count
    count += 1
    if count == {at} and {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    found = reached(self, *arguments)
    if count == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
registry.Registry.{method} = struck
"""


def champions(world: Any) -> dict[str, dict[str, bytes]]:
    registry = world.registry
    return {t: registry.load(t, registry.version_of(t, "champion")) for t in ("orders", "sales")}


def counted(world: Any, table: str) -> int:
    with sqlite3.connect(world.home / "mlflow.db") as database:
        return int(database.execute(f"select count(*) from {table}").fetchone()[0])


def test_training_again_registers_nothing(world: Any, daypart: Any) -> None:
    before = counted(world, "model_versions"), counted(world, "runs"), world.versions()
    trained_models = daypart(world.home, "train", "--json").json["trained"]
    assert [(row["target"], row["version"], row["promoted"]) for row in trained_models] == [
        ("orders", 1, True),
        ("sales", 1, True),
    ]
    assert (counted(world, "model_versions"), counted(world, "runs"), world.versions()) == before


def test_a_challenger_that_was_held_back_is_not_registered_twice(
    world: Any, daypart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daypart.forecasting.lifecycle import gate

    monkeypatch.setattr(gate, "gate", lambda *_: gate.Verdict(False, "held back", {}))
    first = daypart(world.home, "train", "--targets", "orders", "--as-of", "2024-02-20")
    assert first.status == 0, first.err
    assert "no" in first.out.split()
    assert "held back" in first.out
    assert counted(world, "model_versions") == 3
    again = daypart(world.home, "train", "--targets", "orders", "--as-of", "2024-02-20", "--json").json["trained"]
    assert [(row["version"], row["promoted"]) for row in again] == [(2, False)]
    assert counted(world, "model_versions") == 3
    assert world.registry.version_of("orders", "champion") == 1
    assert world.registry.version_of("orders", "challenger") == 2


ORDERS = ("train", "--targets", "orders", "--json")


def set_verdict(monkeypatch: pytest.MonkeyPatch, promote: bool) -> None:
    """The gate says the same of every challenger."""
    from daypart.forecasting.lifecycle import gate

    monkeypatch.setattr(gate, "gate", lambda *_: gate.Verdict(promote, "judged", {}))


def test_a_model_that_an_older_version_holds_is_not_registered_again(
    world: Any, daypart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither champion nor challenger, but this very model: it is the challenger again, and the output says so."""
    set_verdict(monkeypatch, promote=False)
    days = ("2024-02-20", "2024-02-24")
    versions = [daypart(world.home, *ORDERS, "--as-of", day).json["trained"][0]["version"] for day in days]
    assert versions == [2, 3]
    before = counted(world, "model_versions"), counted(world, "runs")
    (again,) = daypart(world.home, *ORDERS, "--as-of", days[0]).json["trained"]
    assert (again["version"], again["promoted"]) == (2, False)
    assert again["reason"] == "judged; v2 is this very model: nothing new is registered"
    assert world.registry.version_of("orders", "challenger") == 2
    assert (counted(world, "model_versions"), counted(world, "runs")) == before


def test_a_damaged_version_is_registered_again(world: Any, daypart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    set_verdict(monkeypatch, promote=False)
    arguments = (*ORDERS, "--as-of", "2024-02-20")
    assert daypart(world.home, *arguments).json["trained"][0]["version"] == 2
    run = world.registry.describe("orders", 2)["run_id"]
    (world.registry._folder(run) / "model.json").write_text("{}")
    assert daypart(world.home, *arguments).json["trained"][0]["version"] == 3


def test_training_again_does_not_undo_a_rollback_or_a_rejection(
    world: Any, daypart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_verdict(monkeypatch, promote=True)
    arguments = (*ORDERS, "--as-of", "2024-02-20")
    (first,) = daypart(world.home, *arguments).json["trained"]
    assert (first["version"], first["promoted"]) == (2, True)
    assert daypart(world.home, "rollback", "orders", "--role", "lead").status == 0
    (again,) = daypart(world.home, *arguments).json["trained"]
    assert (again["version"], again["promoted"]) == (2, False)
    assert "v2 served before: `daypart promote orders --version 2` lets it serve again" in again["reason"]
    rule = "[raci.default.promote]\nresponsible = ['automation']\naccountable = 'lead'\napproval = true\n"
    (world.home / "governance.toml").write_text(rule)
    later = (*ORDERS, "--as-of", "2024-02-24")
    assert "is asked for" in daypart(world.home, *later).json["trained"][0]["reason"]
    assert daypart(world.home, "reject", "orders", "--role", "lead").status == 0
    before = counted(world, "model_versions"), world.lake.version("audit")
    (again,) = daypart(world.home, *later).json["trained"]
    assert (again["version"], again["promoted"]) == (3, False)
    assert "a request for v3 was rejected" in again["reason"]
    assert (counted(world, "model_versions"), world.lake.version("audit")) == before
    assert world.registry.version_of("orders", "champion") == 1


@pytest.mark.faults
def test_two_trainings_at_once_register_one_version(
    untrained: Any, process: Callable[..., subprocess.Popen[str]]
) -> None:
    both = [process(untrained.home, *ORDERS) for _ in range(2)]
    outputs = [child.communicate(timeout=200) for child in both]
    assert [child.returncode for child in both] == [0, 0], outputs
    assert {json.loads(out)["trained"][0]["version"] for out, _ in outputs} == {1}
    assert untrained.registry.versions("orders").height == 1


def test_two_weeks_more_of_the_same_do_not_replace_the_champion(world: Any, daypart: Any) -> None:
    assert daypart(world.home, "ingest", "demand", world.files / "later.parquet").status == 0
    trained_models = daypart(world.home, "train", "--targets", "orders", "--json").json["trained"]
    assert [(row["version"], row["promoted"]) for row in trained_models] == [(2, False)]
    assert "2 weeks of 4 stores" in trained_models[0]["reason"]
    assert world.registry.version_of("orders", "champion") == 1


def test_a_policy_that_cannot_be_read_stops_training_before_it_begins(world: Any, daypart: Any) -> None:
    (world.home / "policy.toml").write_text("[policy]\ngain = 3\n")
    before = counted(world, "model_versions"), counted(world, "runs")
    refused = daypart(world.home, "train")
    assert refused.status == 2
    assert "policy.toml line 2: gain is 3: expected one of retrain," in refused.err
    assert (counted(world, "model_versions"), counted(world, "runs")) == before


def test_the_table_shows_the_whole_reason(world: Any, daypart: Any) -> None:
    trained_models = daypart(world.home, "train", "--json").json["trained"]
    human = daypart(world.home, "train").out
    assert all(row["reason"] in human and row["as_of"] == str(world.origin) for row in trained_models)
    assert "…" not in human


def test_a_run_knows_what_it_read(published_world: Any) -> None:
    description = published_world.registry.describe("orders", 1)
    reads = {name.removeprefix("read."): int(v) for name, v in description["tags"].items() if name.startswith("read.")}
    versions = published_world.lake.versions()
    assert reads == {name: versions[name] for name in reads}
    assert {"stores", "demand", "hours", "closures", "weather", "macro", "events"} <= set(reads)


def test_only_one_target_may_be_trained_and_then_forecast(untrained: Any, daypart: Any) -> None:
    trained_models = daypart(untrained.home, "train", "--targets", "orders", "--json").json["trained"]
    assert [row["target"] for row in trained_models] == ["orders"]
    rows = daypart(untrained.home, "forecast", "--json").json["forecasts"]
    assert {row["target"] for row in rows} == {"orders"}


def test_what_came_after_as_of_changes_nothing(world: Any, untrained: Any, daypart: Any) -> None:
    later = untrained.files / "later.parquet"
    assert daypart(untrained.home, "ingest", "demand", later).status == 0
    assert daypart(untrained.home, "train", "--as-of", world.origin).status == 0
    assert champions(untrained) == champions(world)


@pytest.mark.parametrize(
    ("method", "at", "before"),
    [
        pytest.param("record", 1, True, marks=pytest.mark.faults),
        pytest.param("set_alias", 1, False, marks=pytest.mark.faults),
        ("set_alias", 4, True),
    ],
)
def test_a_killed_training_can_be_done_again(
    world: Any,
    untrained: Any,
    daypart: Any,
    process: Callable[..., subprocess.Popen[str]],
    method: str,
    at: int,
    before: bool,
) -> None:
    dying = process(untrained.home, "train", before=KILL.format(method=method, at=at, before=before))
    _, stderr = dying.communicate(timeout=100)
    assert dying.returncode == -signal.SIGKILL, stderr
    written = {"forecasts", "audit"}
    before = {name: version for name, version in world.lake.versions().items() if name not in written}
    assert {name: v for name, v in untrained.lake.versions().items() if name != "audit"} == before
    assert daypart(untrained.home, "train").status == 0
    with sqlite3.connect(untrained.home / "mlflow.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        assert database.execute("select count(*) from runs where status = 'RUNNING'").fetchone() == (0,)
    assert champions(untrained) == champions(world)
    assert daypart(untrained.home, "forecast").status == 0
    same = untrained.forecasts().drop("model_version")
    assert same.equals(world.forecasts().drop("model_version"))


def test_a_promotion_that_wants_an_approval_is_asked_for(
    world: Any, daypart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from daypart.forecasting.lifecycle import gate

    monkeypatch.setattr(gate, "gate", lambda *_: gate.Verdict(True, "better", {}))
    rule = "[raci.default.promote]\nresponsible = ['automation']\naccountable = 'lead'\napproval = true\n"
    (world.home / "governance.toml").write_text(rule)
    arguments = ("train", "--targets", "orders", "--as-of", "2024-02-20", "--json")
    for _ in range(2):
        (trained_model,) = daypart(world.home, *arguments).json["trained"]
        assert (trained_model["version"], trained_model["promoted"]) == (2, False)
        assert trained_model["reason"].startswith("better; v2 of orders is asked for")
    assert world.registry.version_of("orders", "champion") == 1
    before = world.lake.version("audit")
    refused = daypart(world.home, *arguments, "--role", "planner")
    assert (refused.status, "planner may not retrain orders" in refused.err) == (2, True)
    result = daypart(world.home, "approve", "orders", "--role", "lead", "--reason", "seen")
    assert result.out == "v2 of orders serves, after v1\n"
    assert daypart(world.home, "audit", "--verify", "--json").json["faults"] == []
    records = daypart(world.home, "audit", "--unit", "orders", "--json").json["records"]
    assert [row["activity"] for row in records] == [
        *("retrain", "promote", "promote"), *("retrain", "promote"), *("approve", "promote"),
    ]  # fmt: skip
    assert world.lake.version("audit") == before + 2


def test_a_schedule_that_ends_at_the_origin_forecasts_as_if_there_were_none(
    untrained: Any, daypart: Any, tmp_path: Path
) -> None:
    """As every real one does: what nobody entered yet is absent, not zero hours, in training as in serving."""
    rows, forecasts = untrained.lake.scan("labor").collect(), []
    for name, condition in (("ends", pl.col("hour_local").dt.date() < untrained.origin), ("none", None)):
        home = tmp_path / name
        shutil.copytree(untrained.home, home, ignore=shutil.ignore_patterns("labor"))
        if condition is not None:
            Lake(home / "lake").upsert("labor", rows.filter(condition))
        assert daypart(home, "train", "--targets", "orders").status == 0
        assert daypart(home, "forecast").status == 0
        forecasts.append(Lake(home / "lake").scan("forecasts").collect().sort("store_id", "target", "hour_utc"))
    assert_frame_equal(*forecasts, check_exact=True)
    assert forecasts[0]["forecast"].sum() > 0
