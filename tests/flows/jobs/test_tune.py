import json
import shutil
import signal
import sqlite3
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.flows.jobs.snapshot import read_records
from daypart.flows.jobs.tune import Budget, TuneRequest, TuningResult, tune
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest
from tests.flows.conftest import SMALL, World

TRIALS = 4
TUNE = ("tune", "--targets", "orders", "--trials", TRIALS, "--json")
KILL = """
import os, signal
from daypart.forecasting.models.tuning import Judge
judged, count = Judge.excess_bps, 0
def struck(self, *arguments):
    global count
    count += 1
    if count == 8:
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


def without_dates(text: str) -> list[str]:
    """A proposal without the line that says when it was made."""
    return text.splitlines()[1:]


@pytest.fixture(scope="module")
def finished_search(published_world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TuningResult]:
    """A home and what came of a search in it that was never cut off."""
    home = tmp_path_factory.mktemp("whole") / "home"
    shutil.copytree(published_world.home, home, ignore=shutil.ignore_patterns("forecasts", "mlflow.db", "artifacts"))
    place = World(home, published_world.files, published_world.chain)
    now, budget = datetime(2024, 3, 6), Budget(TRIALS)
    return home, tune(place.as_home, Recipe(**SMALL), TuneRequest(budget, targets=("orders",)), now)


def test_a_proposal_put_in_the_home_is_what_models_are_made_by(untrained: Any, daypart: Any, tmp_path: Path) -> None:
    settings = untrained.home / "recipes.toml"
    settings.write_text("[recipe.standard]\nmembers = ['level']\n[recipe.standard.orders]\nrounds = 3\n")
    out = tmp_path / "proposed.toml"
    output = daypart(untrained.home, *TUNE, "--out", out).json
    assert output["out"] == str(out)
    (tuned,) = output["tuned"]
    assert (tuned["target"], tuned["tier"], tuned["as_of"]) == ("orders", "standard", str(untrained.origin))
    assert (tuned["trials"], tuned["stores"], len(tuned["origins"])) == (TRIALS, 4, 8)
    assert tuned["gain_bps"] == pytest.approx(tuned["before_bps"]["mean"] - tuned["best_bps"]["mean"])
    assert tuned["at_least_bps"] > 0
    tier = tomllib.loads(out.read_text())["recipe"]["standard"]
    assert tuned["settings"].items() <= {**tier, **tier["orders"]}.items()
    assert (tier["members"], "sales" in tier) == (["level"], False)
    assert all(str(round(tuned[n][k])) in out.read_text() for n in ("before_bps", "best_bps") for k in ("hour", "day"))
    out.rename(settings)
    assert daypart(untrained.home, "train").status == 0
    models = {target: untrained.registry.load(target, 1)["model.json"] for target in ("orders", "sales")}
    orders, sales = (json.loads(models[target])["recipe"] for target in ("orders", "sales"))
    assert {name: value for name, value in orders.items() if value != sales[name]} == tier["orders"]
    assert sales["members"] == ["level"]
    start, end = date(2024, 2, 20), date(2024, 3, 4)
    span = ("--start", start, "--end", end, "--targets", "orders", "--out", tmp_path / "b.parquet")
    assert daypart(untrained.home, "backtest", *span).status == 0
    records, _ = read_records(untrained.lake)
    expected, _ = backtest(
        ModelTrainer(TrainingData(records.until(end), "orders", [start][-1]), Recipe.model_validate(orders)),
        [start],
        28,
    )
    assert_frame_equal(pl.read_parquet(tmp_path / "b.parquet"), expected, check_exact=True)


def test_a_search_that_was_killed_goes_on_where_it_was(
    finished_search: tuple[Path, TuningResult],
    untrained: Any,
    daypart: Any,
    process: Callable[..., subprocess.Popen[str]],
) -> None:
    dying = process(untrained.home, *TUNE, before=KILL)
    _, stderr = dying.communicate(timeout=100)
    assert dying.returncode == -signal.SIGKILL, stderr
    assert not (untrained.home / "tune" / "recipes.toml").exists()
    assert runs(untrained.home) == []
    (study,) = (untrained.home / "tune").glob("*.db")
    with sqlite3.connect(study) as database:
        states = [row[0] for row in database.execute("select state from trials order by number")]
    assert states == ["COMPLETE", "COMPLETE", "RUNNING"]
    output = daypart(untrained.home, *TUNE).json
    home, expected = finished_search
    assert output["tuned"] == json.loads(json.dumps([asdict(tuning) for tuning in expected.tuned], default=str))
    (text, trials), (same, alike) = artifacts(untrained.home), artifacts(home)
    assert without_dates(text) == without_dates(same)
    assert_frame_equal(trials, alike, check_exact=True)
    assert trials.height == TRIALS
    assert (trials["state"] == "pruned").sum() == output["tuned"][0]["pruned"]
    assert without_dates(Path(output["out"]).read_text()) == without_dates(text)
    before = runs(untrained.home)
    assert daypart(untrained.home, *TUNE).json == output
    assert runs(untrained.home) == before


def test_what_came_after_as_of_changes_nothing(
    finished_search: tuple[Path, TuningResult], untrained: Any, daypart: Any
) -> None:
    assert daypart(untrained.home, "ingest", "demand", untrained.files / "later.parquet").status == 0
    request = TuneRequest(Budget(TRIALS), targets=("orders",), as_of=untrained.origin)
    later = tune(untrained.as_home, Recipe(**SMALL), request, datetime(2024, 6, 1))
    assert later.tuned == finished_search[1].tuned


def test_the_least_budget_says_that_the_present_settings_stand(
    world: Any, daypart: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = world.home / "recipes.toml"
    file.write_text("[recipe.quick]\nmembers = ['ratio']\nrounds = 5\n")
    versions = world.versions()
    result = daypart(world.home, "tune", "--trials", 5, "--minutes", 0, "--tier", "quick")
    assert result.status == 0, result.err
    assert result.err == ""
    proposed = world.home / "tune" / "recipes.toml"
    lines = result.out.splitlines()
    assert lines[0].split()[:5] == ["target", "tier", "trials", "pruned", "best"]
    assert [line.split()[:5] for line in lines[1:3]] == [[t, "quick", "1", "0", "0"] for t in ("orders", "sales")]
    assert "no trial is better than the present settings: they stand" in result.out
    assert str(proposed) in lines[-1]
    assert tomllib.loads(proposed.read_text()) == tomllib.loads(file.read_text())
    assert "they stand" in proposed.read_text()
    assert world.versions() == versions
    more = daypart(world.home, "tune", "--targets", "sales", "--trials", 2, "--tier", "quick", "--json").json["tuned"]
    assert [(row["target"], row["trials"]) for row in more] == [("sales", 2)]
    assert len(runs(world.home)) == 3
