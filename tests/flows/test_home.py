"""Tests of the home: what it opens, what it refuses, and that it opens homes that earlier versions wrote."""

import tarfile
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from daypart.features.errors import InputError, NotKnownError
from daypart.flows.governance.model_versions import ModelStore
from daypart.flows.governance.promotion import promote
from daypart.flows.governance.signoff import Signoff
from daypart.flows.home import Home
from daypart.flows.jobs.forecast import publish, published
from daypart.flows.jobs.rebuild import rebuild
from daypart.flows.jobs.status import status
from daypart.flows.jobs.train import TrainRequest, train
from daypart.flows.jobs.verify import verify
from daypart.flows.monitoring.monitor import monitor
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from tests.flows.conftest import SMALL

STORED = Path(__file__).parent / "stored"
ORIGIN = date(2024, 2, 14)
"""The stored homes' last publication."""


def test_opening_a_home_creates_nothing(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    assert (home.path, home.lake.versions()) == (tmp_path / "home", {})
    assert home.registry.aliases() == {}
    assert list(tmp_path.iterdir()) == []


def test_a_home_is_the_nearest_one_where_no_path_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / ".daypart").mkdir()
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert Home.open().path == tmp_path / ".daypart"


def test_settings_are_overridden_and_null_ones_are_not(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('timezone = "America/Denver"\n')
    assert Home.open(tmp_path, timezone=None).settings.timezone == "America/Denver"
    assert Home.open(tmp_path, timezone="America/Chicago").settings.timezone == "America/Chicago"


def test_settings_that_cannot_be_read_are_refused_or_noted(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("seed = -1\n")
    with pytest.raises(InputError, match=r"settings.toml"):
        Home.open(tmp_path)
    (notice,) = Home.open(tmp_path, tolerant=True).notices
    assert "settings.toml" in notice


def test_parts_are_made_once_and_configuration_is_read_each_time(tmp_path: Path) -> None:
    home = Home.open(tmp_path)
    assert home.lake is home.lake
    assert home.audit.lake is home.lake
    before = home.policies
    (tmp_path / "policy.toml").write_text('[policy]\nretrain = "never"\n')
    assert home.policies != before


def test_a_home_that_is_not_there_is_refused_where_it_must_exist(tmp_path: Path) -> None:
    with pytest.raises(NotKnownError, match="no home"):
        Home.open(tmp_path / "gone").must_exist()
    assert Home.open(tmp_path / "gone").must_be_writable().path == tmp_path / "gone"


@pytest.mark.parametrize("archive", sorted(STORED.glob("home-*.tar.xz")), ids=lambda path: path.name)
def test_a_home_that_an_earlier_version_wrote_opens_and_works(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as stored:
        stored.extractall(tmp_path, filter="data")
    home = Home.open(tmp_path / "home").must_exist()
    assert home.audit.verify().faults == []
    assert verify(home).damages == []
    assert status(home, datetime(2024, 3, 29, tzinfo=UTC)).notices == []
    forecasts = published(home, ORIGIN)
    assert forecasts is not None
    assert rebuild(home, ORIGIN).rows == forecasts.height
    assert publish(home) == ORIGIN
    # Another processor may round the last bit otherwise.
    assert_frame_equal(published(home, ORIGIN), forecasts, rel_tol=1e-6)
    assert set(monitor(home).decisions) == {"orders", "sales"}


@pytest.mark.parametrize("archive", sorted(STORED.glob("home-*.tar.xz")), ids=lambda path: path.name)
def test_versions_of_an_earlier_release_serve_beside_those_of_this_one(archive: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as stored:
        stored.extractall(tmp_path, filter="data")
    home = Home.open(tmp_path / "home")
    before = {run.id for run in home.registry.runs_before(None)}
    (trained,) = train(home, Recipe(**SMALL), TrainRequest(("orders",)))
    assert trained.version == home.registry.versions("orders")["version"].max() > 1
    folders = {v: home.registry._folder(home.registry.describe("orders", v)["run_id"]) for v in (1, trained.version)}
    assert {version: (folder / "MLmodel").exists() for version, folder in folders.items()} == {
        1: False, trained.version: True,
    }  # fmt: skip
    for version in (1, trained.version):
        assert promote(home, "orders", version, Signoff("lead", datetime(2024, 3, 29))).state == "serves"
        publish(home)
        assert f"orders-v{version}" in set(home.lake.scan("forecasts").collect()["model_version"])
        assert Model.from_files(ModelStore(home).load("orders", version)).target == "orders"
    # Runs of before stay where they were, and are found with those that came since.
    after = home.registry.runs_before(None)
    assert before < {run.id for run in after}
    assert {home.registry._call("get_run", run).info.experiment_id for run in before} == {"1"}
    assert home.audit.verify().faults == []
