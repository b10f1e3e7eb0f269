import json
import signal
import sqlite3
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

TRIALS = 6
TUNE = ("tune", "--targets", "orders", "--trials", TRIALS, "--json")
KILL = """
import os, signal
from forecasting.tuning import Judge
judged, count = Judge.excess_bps, 0
def struck(self, *arguments):
    global count
    count += 1
    if count == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return judged(self, *arguments)
Judge.excess_bps = struck
"""


def runs(home: Path) -> list[tuple[str, str]]:
    """Ids and states of the home's tuning runs."""
    if not (home / "mlflow.db").exists():
        return []
    query = "select r.run_uuid, r.status from runs r join tags t on t.run_uuid = r.run_uuid where t.value = 'tune'"
    with sqlite3.connect(home / "mlflow.db") as database:
        return list(database.execute(query))


def artifacts(home: Path) -> tuple[str, pl.DataFrame]:
    """The proposal and the trials that the one run keeps."""
    ((run, status),) = runs(home)
    assert status == "FINISHED"
    folder = home / "artifacts" / run / "artifacts"
    trials = pl.read_parquet(folder / "tables" / "trials.parquet").drop("seconds")
    return (folder / "model" / "recipes.toml").read_text(), trials


def without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("#")).strip()


def test_a_proposal_put_in_the_home_is_what_models_are_made_by(untrained: Any, daypart: Any, tmp_path: Path) -> None:
    out = tmp_path / "proposed.toml"
    found = daypart(untrained.home, *TUNE, "--out", out).json
    assert found["out"] == str(out)
    (told,) = found["tuned"]
    assert (told["target"], told["tier"], told["as_of"]) == ("orders", "standard", str(untrained.origin))
    assert (told["trials"], told["stores"], len(told["origins"])) == (TRIALS, 4, 8)
    assert told["gain_bps"] == pytest.approx(told["before_bps"]["mean"] - told["best_bps"]["mean"])
    assert told["settings"], told["reason"]
    assert tomllib.loads(out.read_text()) == {"recipe": {"standard": {"orders": told["settings"]}}}
    text, trials = artifacts(untrained.home)
    assert without_comments(text) == without_comments(out.read_text())
    assert trials.height == TRIALS
    assert (trials["state"] == "pruned").sum() == told["pruned"]
    assert all(str(round(told[n][k])) in out.read_text() for n in ("before_bps", "best_bps") for k in ("hour", "day"))
    out.rename(untrained.home / "recipes.toml")
    assert daypart(untrained.home, "train").status == 0
    made = {target: untrained.registry.load(target, 1)["model.json"] for target in ("orders", "sales")}
    orders, sales = (json.loads(made[target])["recipe"] for target in ("orders", "sales"))
    assert {n: v for n, v in orders.items() if v != sales[n]} == told["settings"]
    span = ("--start", "2024-02-19", "--end", "2024-03-04", "--out", tmp_path / "b.parquet")
    report = daypart(untrained.home, "backtest", *span, "--json").json["report"]
    assert all(json.dumps(value)[:8] in Path(report).read_text() for value in told["settings"].values())


def test_a_search_that_was_killed_goes_on_where_it_was(
    world: Any, untrained: Any, daypart: Any, process: Callable[..., subprocess.Popen[str]]
) -> None:
    whole = daypart(world.home, *TUNE).json["tuned"]
    for at in (1, 8):
        dying = process(untrained.home, *TUNE, before=KILL.format(at=at))
        _, told = dying.communicate(timeout=100)
        assert dying.returncode == -signal.SIGKILL, told
        assert not (untrained.home / "tune" / "recipes.toml").exists()
        assert runs(untrained.home) == []
    (study,) = (untrained.home / "tune").glob("*.db")
    with sqlite3.connect(study) as database:
        done = database.execute("select count(*) from trials where state in ('COMPLETE', 'PRUNED')").fetchone()[0]
    assert done == 2
    found = daypart(untrained.home, *TUNE).json
    assert found["tuned"] == whole
    (text, trials), (same, alike) = artifacts(untrained.home), artifacts(world.home)
    assert text == same
    assert_frame_equal(trials, alike, check_exact=True)
    assert Path(found["out"]) == untrained.home / "tune" / "recipes.toml"
    before = runs(untrained.home)
    assert daypart(untrained.home, *TUNE).json == found
    assert runs(untrained.home) == before


def test_what_came_after_as_of_changes_nothing(world: Any, untrained: Any, daypart: Any) -> None:
    short = ("tune", "--targets", "orders", "--trials", 2, "--json")
    before = daypart(untrained.home, *short).json["tuned"]
    assert daypart(world.home, "ingest", "demand", world.files / "later.parquet").status == 0
    assert daypart(world.home, *short, "--as-of", world.origin).json["tuned"] == before


def test_the_least_budget_says_that_the_present_settings_stand(
    world: Any, daypart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = world.home / "recipes.toml"
    file.write_text("[recipe.quick]\nmembers = ['ratio']\nrounds = 5\n")
    versions = world.versions()
    said = daypart(world.home, "tune", "--trials", 5, "--minutes", 0, "--tier", "quick")
    assert said.status == 0, said.err
    assert said.err == ""
    proposed = world.home / "tune" / "recipes.toml"
    lines = said.out.splitlines()
    assert lines[0].split()[:5] == ["target", "tier", "trials", "pruned", "best"]
    assert [line.split()[:5] for line in lines[1:3]] == [[t, "quick", "1", "0", "0"] for t in ("orders", "sales")]
    assert "no trial is better than the present settings: they stand" in said.out
    assert str(proposed) in lines[-1]
    assert tomllib.loads(proposed.read_text()) == tomllib.loads(file.read_text())
    assert "they stand" in proposed.read_text()
    assert world.versions() == versions
    more = daypart(world.home, "tune", "--trials", 2, "--tier", "quick", "--json").json["tuned"]
    assert [each["trials"] for each in more] == [2, 2]
    assert len(runs(world.home)) == 4
