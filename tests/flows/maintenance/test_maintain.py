import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.features.errors import InputError, NotKnownError
from daypart.flows.audit.audit_log import Audit
from daypart.flows.config.settings import Settings
from daypart.flows.governance.promotion import promote, rollback
from daypart.flows.governance.signoff import Signoff
from daypart.flows.home import Home
from daypart.flows.jobs.explain import ExplainQuery, explain
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.rebuild import rebuild
from daypart.flows.jobs.status import at
from daypart.flows.lake.lake import Lake
from daypart.flows.maintenance.maintain import maintain, rebuildable_since
from daypart.flows.monitoring.monitor import monitor
from daypart.flows.registry.night_runs import NightFigures
from daypart.flows.registry.registry import Registry
from daypart.flows.registry.runs import RunRecord
from tests.flows.aging import age

ROOT = Path(__file__).resolve().parents[3]
AGO, YEAR = timedelta(days=100), timedelta(days=380)
KILLED = """
import os, signal, sys
from datetime import datetime, UTC
from pathlib import Path
from daypart.flows.lake import table_upkeep as upkeep
from daypart.flows.audit.audit_log import Audit
from daypart.flows.home import Home
from daypart.flows.registry.night_runs import NightFigures
from daypart.flows.registry.registry import Registry
from daypart.flows.config.settings import Settings
from daypart.flows.maintenance.maintain import maintain

home, last = sys.argv[1], int(sys.argv[2])
calls = 0

def killing(work):
    def call(*given, **named):
        global calls
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*given, **named)
    return call

for place, name in ((Audit, "append"), (upkeep, "delete"), (upkeep, "compact"), (upkeep, "forget_removals"),
                    (upkeep, "write_checkpoint"), (Registry, "delete_version"), (Registry, "delete_run"),
                    (Path, "unlink"), (Path, "rmdir")):
    setattr(place, name, killing(getattr(place, name)))
settings = Settings(home=home, forecasts_days=90, scores_days=90)
maintain(Home(settings), datetime.now(UTC))
print(calls)
"""


def now() -> datetime:
    return datetime.now(UTC)


def by_day(world: Any, first: int, last: int) -> Iterator[date]:
    """Nights: a day's demand, a forecast, the scores of what is known."""
    later, day = pl.read_parquet(world.files / "later.parquet"), pl.col("hour_local").dt.date()
    for number in range(first, last):
        on = world.origin + timedelta(days=number)
        world.lake.upsert("demand", later.filter(day == on))
        publish(world.as_home)
        monitor(world.as_home)
        yield on + timedelta(days=1)


def contents(home: Path) -> dict[str, bytes]:
    """What the tables that people and jobs read hold, whatever the files."""
    lake = Lake(home / "lake")
    rows = {name: lake.scan_or_empty(name).collect() for name in ("demand", "forecasts", "scores", "tallies")}
    return {name: frame.sort(frame.columns).write_ipc(None).getvalue() for name, frame in rows.items()}


def test_nights_after_maintenance_are_those_without_it_and_those_inside_the_retention_are_rebuilt(
    world: Any, daypart: Any, tmp_path: Path
) -> None:
    early = list(by_day(world, 0, 2))
    age(world.home, AGO)
    late = list(by_day(world, 2, 4))
    plain = replace(world, home=shutil.copytree(world.home, tmp_path / "plain"))
    audit = {path.name: path.read_bytes() for path in (world.home / "lake" / "audit").rglob("*") if path.is_file()}
    output = daypart(world.home, "maintain", "--json").json
    assert output["compacted"]["demand"] > 1
    removed = {table["table"]: table for table in output["removed"]["tables"]}
    assert removed["demand"]["log_entries"] == removed["demand"]["keep_from"] == 2
    # The models were trained on the first version of everything.
    assert removed["demand"]["pinned"] == [0]
    assert contents(world.home) == contents(plain.home)
    for home in (world, plain):
        list(by_day(home, 4, 5))
    assert contents(world.home) == contents(plain.home)
    for origin in (*late, late[-1] + timedelta(days=1)):
        assert rebuild(world.as_home, origin).same
    with pytest.raises(NotKnownError, match="demand has no version 1: choose one from 2 to"):
        rebuild(world.as_home, early[0])
    since = rebuildable_since(world.lake)
    assert since is not None
    assert since.date() == (now() - AGO).date()
    day_status = at(world.as_home, early[0])
    assert (day_status.rebuildable_since, day_status.rebuilt) == (since, None)
    assert f"published since {since:%Y-%m-%d %H:%M} UTC" in daypart(world.home, "status", "--at", early[0]).out
    notices = explain(world.as_home, ExplainQuery("S0001", early[0], origin=early[0])).notices
    assert any("maintain" in notice for notice in notices)
    # The audit's commits are the same, and one record more says what went.
    assert {
        name: (world.home / "lake" / "audit" / "_delta_log" / name).read_bytes()
        for name in audit
        if name.endswith(".json")
    } == {name: content for name, content in audit.items() if name.endswith(".json")}
    records = Audit(world.lake, world.registry).records().filter(pl.col("activity") == "maintain")
    assert json.loads(records["details"].item())["removed"] == output["removed"]
    assert records["sequence"].item() == output["record"]
    assert daypart(world.home, "audit", "--verify").status == 0


def test_maintaining_again_changes_nothing(world: Any, daypart: Any) -> None:
    list(by_day(world, 0, 2))
    age(world.home, AGO)
    first = daypart(world.home, "maintain", "--json").json
    assert first["record"] is not None
    before = world.versions()
    again = daypart(world.home, "maintain", "--json").json
    assert (again["compacted"], again["record"], again["removed"]["bytes"]) == ({}, None, 0)
    assert world.versions() == before
    assert "nothing to remove" in daypart(world.home, "maintain").out


def test_an_origin_that_is_published_anew_is_scored_though_its_home_was_maintained_in_between(world: Any) -> None:
    list(by_day(world, 0, 3))
    forecasts = world.forecasts().filter(pl.col("origin_date") == world.origin).with_columns(pl.col("forecast") * 2)
    world.lake.replace("forecasts", forecasts, world.origin)
    assert maintain(world.as_home, now()).compacted["scores"] > 1
    monitor(world.as_home)
    rows = world.lake.scan("scores").filter(pl.col("origin_date") == world.origin).collect()
    key = ["store_id", "target", "origin_date", "hour_utc"]
    both = rows.join(forecasts, on=key, suffix="_published")
    assert both.height == rows.height > 0
    assert both["forecast"].equals(both["forecast_published"].alias("forecast"))


def test_young_state_stays_whatever_the_settings(world: Any) -> None:
    list(by_day(world, 0, 2))
    before = {path for path in (world.home / "lake").rglob("*") if path.is_file()}
    maintenance = maintain(world.as_home, now())
    assert (maintenance.record, maintenance.rebuildable_since) == (None, None)
    assert before <= {path for path in (world.home / "lake").rglob("*") if path.is_file()}


def test_old_origins_go_with_their_scores_and_are_not_scored_again(world: Any) -> None:
    list(by_day(world, 0, 2))
    registry = Registry(Settings(home=world.home, forecasts_days=90, scores_days=120))
    forecasts = world.forecasts().filter(pl.col("origin_date") == world.origin)
    for days in (-130, -100):
        origin = world.origin + timedelta(days=days)
        moved = forecasts.with_columns(
            pl.lit(origin).alias("origin_date"), pl.col("hour_local", "hour_utc").dt.offset_by(f"{days}d")
        )
        world.lake.replace("forecasts", moved, origin)
    monitor(Home(registry.settings))
    removed = {table.table: table.origins for table in maintain(Home(registry.settings), now()).removed.tables}
    assert removed == {"forecasts": 2, "scores": 1, "tallies": 1}
    origins = world.lake.scan("scores").select(pl.col("origin_date").unique()).collect().to_series().sort()
    assert origins[0] == world.origin - timedelta(days=100)
    before = world.versions()
    monitor(Home(registry.settings))
    assert world.versions() == before


def test_runs_and_versions_that_nothing_needs_go(house: Any) -> None:
    house.add(count=5)
    folders = {n: house.registry.run_folder(house.registry.describe("orders", n)["run_id"]) for n in range(1, 6)}
    for version in (2, 4):
        promote(house.as_home, "orders", version, Signoff("engineer", now()))
    rollback(house.as_home, "orders", Signoff("engineer", now()))
    house.registry.record(RunRecord("forecast", "orders", {"origin": "2024-01-01"}, {}, {"demand": 0}, {}))
    age(house.home, YEAR)
    orphan = house.registry.settings.artifacts / "0123"
    (orphan / "artifacts").mkdir(parents=True)
    os.utime(orphan, (time.time() - 3 * 86_400,) * 2)
    house.registry.record(RunRecord("forecast", "orders", {"origin": "2025-01-01"}, {}, {"demand": 0}, {}))
    settings = Settings(home=house.home, runs_days=365)
    removed = maintain(Home(settings), now()).removed
    # Versions 2 and 4 served, 5 is the challenger; the first run is the fixture's, of no version.
    assert (removed.versions, removed.leftovers) == (["orders-v1", "orders-v3"], 1)
    assert house.registry.versions("orders")["version"].to_list() == [2, 4, 5]
    assert {n for n, folder in folders.items() if folder.exists()} == {2, 4, 5}
    assert not orphan.exists()
    assert removed.runs == 4
    assert len(house.registry.runs_before(None)) == 4
    assert house.registry.load("orders", 4)
    assert house.audit.verify().faults == []
    assert maintain(Home(settings), now()).record is None


def test_the_nights_of_a_version_stay_as_long_as_it_does(house: Any) -> None:
    house.add(count=3)
    promote(house.as_home, "orders", 2, Signoff("engineer", now()))
    for version in (1, 2):
        nights = {"accuracy_bps/first_day": {date(2024, 1, 1): 8000.0}}
        house.registry.log_nights([NightFigures(f"orders-v{version}", nights)])
    age(house.home, timedelta(days=500))
    assert maintain(house.as_home, now()).removed.versions == ["orders-v1"]
    left = [run for run in house.registry.runs_before(None) if run.tags["job"] == "monitor"]
    assert [run.params["model_version"] for run in left] == ["orders-v2"]


def test_a_version_that_waits_for_an_approval_stays(house: Any) -> None:
    house.add(tier="top", count=3)
    promote(house.as_home, "orders", 1, Signoff("analyst", now(), "please"))
    age(house.home, timedelta(days=500))
    removed = maintain(house.as_home, now()).removed
    assert removed.versions == ["orders-v2"]


def test_old_lists_of_refused_rows_and_drafts_of_dead_processes_go(world: Any) -> None:
    folder, days = world.home / "refused", {"old.csv": 91, "new.csv": 89, "dead.tmp": 3, "live.tmp": 0}
    folder.mkdir()
    for name, ago in days.items():
        (folder / name).write_text("x")
        os.utime(folder / name, (time.time() - ago * 86_400,) * 2)
    removed = maintain(world.as_home, now()).removed
    assert (removed.refusals, removed.leftovers) == (1, 1)
    assert {path.name for path in folder.iterdir()} == {"new.csv", "live.tmp"}


@pytest.fixture(scope="module")
def aged(published_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home with something of every kind to remove, and what it is after maintenance."""
    home = tmp_path_factory.mktemp("aged") / "home"
    shutil.copytree(published_world.home, home)
    world = replace(published_world, home=home)
    list(by_day(world, 0, 3))
    forecasts = world.forecasts().filter(pl.col("origin_date") == world.origin)
    old = world.origin - timedelta(days=100)
    world.lake.replace("forecasts", forecasts.with_columns(origin_date=pl.lit(old)), old)
    registry = world.registry
    run = registry.record(RunRecord("train", "orders", {}, {}, {"demand": 0}, {"model.json": b"{}"}))
    registry.register("orders", run, {})
    (home / "refused").mkdir()
    (home / "refused" / "old.csv").write_text("x")
    age(home, timedelta(days=500))
    return world


def killed(home: Path, call: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(home), str(call)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def check_killed(aged: Any, folder: Path, call: int) -> None:
    world = replace(aged, home=shutil.copytree(aged.home, folder / f"home{call}"))
    before = world.forecasts().filter(pl.col("origin_date") >= world.origin)
    assert killed(world.home, call).returncode == -signal.SIGKILL
    origin = before["origin_date"].max()
    assert rebuild(world.as_home, origin).same
    registry = Registry(Settings(home=world.home, forecasts_days=90, scores_days=90))
    maintain(Home(registry.settings), now())
    assert maintain(Home(registry.settings), now()).record is None
    assert world.forecasts().equals(before)
    assert world.registry.versions("orders")["version"].to_list() == [1]
    assert rebuild(world.as_home, origin).same
    assert Audit(world.lake, world.registry).verify().faults == []
    shutil.rmtree(world.home)


@pytest.mark.faults
def test_maintenance_that_is_killed_while_it_removes_is_completed_by_the_next(aged: Any, tmp_path: Path) -> None:
    check_killed(aged, tmp_path, 40)


@pytest.mark.faults
def test_maintenance_that_is_killed_anywhere_is_completed_by_the_next(aged: Any, tmp_path: Path) -> None:
    steps = int(killed(shutil.copytree(aged.home, tmp_path / "whole"), 0).stdout)
    assert steps > 40
    for call in range(1, steps + 1, steps // 12):
        check_killed(aged, tmp_path, call)


def test_two_at_once_do_the_work_once(aged: Any, tmp_path: Path) -> None:
    world = replace(aged, home=shutil.copytree(aged.home, tmp_path / "home"))
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: maintain(Home(world.registry.settings), now()), range(2)))
    assert sorted(result.record is None for result in results) == [False, True]
    records = Audit(world.lake, world.registry).records()
    assert records.filter(pl.col("activity") == "maintain").height == 1


@pytest.mark.parametrize(
    ("retention", "message"),
    [
        ({"versions_days": 1}, "greater than or equal to 2"),
        ({"scores_days": 100, "forecasts_days": 200}, "expected at least forecasts_days, which is 200"),
        ({"runs_days": "soon"}, "runs_days is 'soon'"),
        ({"refusals_days": 2.5}, "expected a whole number"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, retention: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(home=tmp_path, **retention)
