"""A process killed after it committed a forecast and before its runs were recorded."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from daypart.flows.jobs import lineage
from daypart.flows.jobs.explain import ExplainQuery, explain
from daypart.flows.jobs.lineage import publications
from daypart.flows.jobs.rebuild import rebuild
from daypart.flows.monitoring.monitor import monitor
from tests.flows.conftest import World

TARGETS = ("orders", "sales")
BEFORE_RUNS = """
import os, signal
from daypart.flows.jobs import lineage
lineage.record = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
"""
AT_CALL = """
import os, signal
from daypart.flows.lake.lake import Lake
from daypart.flows.registry.registry import Registry
replace, call, left = Lake.replace, Registry._call, []
def replaced(self, *given, **named):
    version = replace(self, *given, **named)
    left.extend(range({number}))
    return version
def called(self, *given, **named):
    if left and left.pop() == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(self, *given, **named)
Lake.replace, Registry._call = replaced, called
"""
CALLS = 12
"""Of two runs: find the experiment and dead runs, create the run, log it and what it read, and end it."""


def runs(world: World, target: str) -> list[dict[str, Any]]:
    """Finished runs of the publication of the second origin, each with its params and tags."""
    run_rows = world.registry.runs("forecast", target, {"origin": str(world.origin + timedelta(days=1))})
    return [json.loads(row["params"]) | json.loads(row["tags"]) for row in run_rows.to_dicts()]


def check_lineage(world: World) -> None:
    """The publication can be rebuilt and explained, with or without runs."""
    origin = world.origin + timedelta(days=1)
    version, publication = next(publications(world.lake))
    assert (version, publication.origin) == (world.lake.version("forecasts"), origin)
    rebuilt = rebuild(world.as_home, origin)
    assert (rebuilt.same, rebuilt.reads, rebuilt.models) == (True, publication.reads, ["orders-v1", "sales-v1"])
    assert explain(world.as_home, ExplainQuery("S0001", origin, origin=origin)).notices == []


def check_repaired(world: World) -> None:
    """There is one run a target, which says what the commit says."""
    version, publication = next(publications(world.lake))
    for target in TARGETS:
        (run,) = runs(world, target)
        assert run["published_version"] == str(version)
        assert {f"read.{table}": str(v) for table, v in publication.reads.items()}.items() <= run.items()
        assert run["model.sha256"] == publication.targets[target].models[f"{target}-v1"]


def killed(world: World, process: Callable[..., Any], before: str) -> None:
    day = world.origin + timedelta(days=1)
    started = process(world.home, "forecast", "--origin", day, before=before)
    started.communicate()
    assert started.returncode == -9
    assert world.lake.version("forecasts") == 1


def test_a_publication_without_runs_has_its_lineage_and_the_next_job_records_them(
    world: World, process: Callable[..., Any], daypart: Any
) -> None:
    killed(world, process, BEFORE_RUNS)
    assert [runs(world, target) for target in TARGETS] == [[], []]
    check_lineage(world)
    day = str(world.origin + timedelta(days=1))
    shown = daypart(world.home, "status", "--at", day, "--json").json
    assert (shown["rebuilt"]["origin"], shown["rebuilt"]["same"], shown["fault"]) == (day, True, "")
    monitor(world.as_home)
    check_repaired(world)
    lineage.repair(world.as_home)
    check_repaired(world)


@pytest.mark.faults
@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_killed_at_every_call_of_the_registry(
    world: World, process: Callable[..., Any], daypart: Any, number: int
) -> None:
    killed(world, process, AT_CALL.format(number=number))
    check_lineage(world)
    assert daypart(world.home, "forecast", "--origin", world.origin + timedelta(days=2), "--json").status == 0
    _, second = (publication for publication, _ in zip(publications(world.lake), range(2), strict=False))
    assert second[0] == 1
    for target in TARGETS:
        (run,) = runs(world, target)
        assert run["published_version"] == "1"


def test_a_publication_of_before_lineage_was_committed_is_known_by_its_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "publications", lambda lake: iter(()))
    lineage.repair(world.as_home)
    rebuilt = rebuild(world.as_home, world.origin)
    assert rebuilt.same
    assert rebuilt.reads["demand"] == world.lake.version("demand")


def test_status_verify_says_which_files_are_damaged(world: World, daypart: Any) -> None:
    output = daypart(world.home, "status", "--verify", "--json").json
    assert (output["damages"], output["unverified"]) == ([], 0)
    path = world.lake.root / "demand" / world.lake.files("demand")["path"][0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = daypart(world.home, "status", "--verify")
    assert (result.status, result.err.count("\n")) == (1, 1)
    version = world.lake.version("demand")
    message = f"table demand, version {version}: {path} holds other bytes than were written: restore it from a copy"
    assert result.out.splitlines()[1] == message
    again = daypart(world.home, "status", "--at", world.origin)
    assert f"not made again: {message}" in again.out


def test_a_last_entry_that_is_gone_is_noticed_once_a_publication_read_it(world: World, daypart: Any) -> None:
    version = world.lake.version("weather")
    entry = world.lake.root / "weather" / "_delta_log" / f"{version:020}.json"
    entry.rename(entry.with_suffix(".away"))
    result = daypart(world.home, "status", "--verify")
    assert result.status == 1
    assert f"table weather, version {version}: {entry} is missing" in result.out
    assert "Traceback" not in result.err


@pytest.mark.parametrize("command", [("forecast", "--refresh"), ("monitor",), ("train",)])
def test_every_command_says_in_a_line_which_entry_is_damaged(world: World, daypart: Any, command: Any) -> None:
    version = world.lake.version("demand")
    entry = world.lake.root / "demand" / "_delta_log" / f"{version:020}.json"
    entry.write_bytes(b"")
    result = daypart(world.home, *command)
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert f"table demand, version {version}: {entry} is empty" in result.err
    shown = daypart(world.home, "status")
    assert shown.status == 0, shown.err
    assert f"table demand, version {version}: {entry} is empty" in shown.out
