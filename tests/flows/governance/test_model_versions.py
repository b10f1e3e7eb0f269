"""Model versions whose files are not as they were recorded are refused by name, and the one before serves."""

import hashlib
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.features.errors import DamagedError
from daypart.flows.audit.audit_log import Entry
from daypart.flows.governance.model_versions import ModelStore
from daypart.flows.governance.promotion import promote, rollback
from daypart.flows.governance.signoff import Signoff
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.rebuild import rebuild
from daypart.flows.jobs.status import at, status
from daypart.flows.jobs.train import TrainRequest, train
from daypart.flows.registry.model_files import files_in
from daypart.flows.registry.runs import RunRecord
from daypart.forecasting.models.recipe import Recipe
from tests.flows.conftest import SMALL, House, World

NOW = datetime(2025, 3, 1, 4)


def sha256(files: dict[str, bytes]) -> str:
    """The digest of a model's files, by hand."""
    parts = (f"{name}:{len(content)}:".encode() + content for name, content in sorted(files.items()))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def folder(home: House | World, unit: str, version: int) -> Path:
    run: str = home.registry.describe(unit, version)["run_id"]
    return home.home / "artifacts" / run / "artifacts" / "model"


def own_folder(home: House | World, unit: str, version: int) -> Path:
    """Where the model's own files lie: within the MLflow model, or alone where it is none."""
    whole = folder(home, unit, version)
    return whole / "artifacts" / "daypart" if (whole / "MLmodel").exists() else whole


def damage(home: House | World, unit: str, version: int, file: str = "model.json") -> None:
    path = own_folder(home, unit, version) / file
    path.write_bytes(path.read_bytes() + b" ")


def set_tag(home: House | World, unit: str, version: int, text: str | None) -> None:
    """Changes what the registry's database has for the digest of a version, or removes it."""
    run = home.registry.describe(unit, version)["run_id"]
    with sqlite3.connect(home.home / "mlflow.db") as database:
        if text is None:
            database.execute("delete from tags where key = 'model.sha256' and run_uuid = ?", [run])
        else:
            database.execute("update tags set value = ? where key = 'model.sha256' and run_uuid = ?", [text, run])


def forge(home: House | World, unit: str, version: int) -> None:
    """Changes a version's file, and the registry's database so that it fits."""
    damage(home, unit, version)
    files = files_in(folder(home, unit, version))
    set_tag(home, unit, version, sha256(files))


def serving(house: House) -> int | None:
    model = ModelStore(house.as_home).serving_one("orders")
    return model and model.version


def test_a_version_without_a_recorded_digest_is_refused_in_one_line(house: House) -> None:
    house.add()
    set_tag(house, "orders", 1, None)
    with pytest.raises(DamagedError, match="version 1 of orders cannot be checked, its run .* has no tag model.sha256"):
        house.registry.load("orders", 1)
    with pytest.raises(DamagedError, match="version 1 of orders cannot be checked"):
        promote(house.as_home, "orders", 1, Signoff("lead", NOW))
    assert house.champion() is None


def test_the_latest_whole_version_that_served_before_serves_and_none_that_was_rolled_back(house: House) -> None:
    house.add(count=4)
    for version in (1, 2, 3):
        promote(house.as_home, "orders", version, Signoff("lead", NOW))
    rollback(house.as_home, "orders", Signoff("lead", NOW))
    promote(house.as_home, "orders", 4, Signoff("lead", NOW))
    assert serving(house) == 4
    damage(house, "orders", 4)
    assert serving(house) == 2
    (notice,) = status(house.as_home, NOW).notices
    assert notice.startswith("orders: version 4 of orders is damaged, files in ")
    assert notice.endswith("; v2 serves in its place")
    with pytest.raises(DamagedError, match="version 4 of orders is damaged"):
        promote(house.as_home, "orders", 4, Signoff("lead", NOW))
    damage(house, "orders", 2)
    model = ModelStore(house.as_home).serving_one("orders")
    assert model is not None
    assert (model.version, len(model.refused)) == (1, 2)
    damage(house, "orders", 1)
    assert serving(house) is None
    (notice,) = status(house.as_home, NOW).notices
    assert notice.endswith("no other version that served is whole")
    assert house.champion() == 4


def test_files_and_database_that_were_both_changed_show_by_the_audit(house: House) -> None:
    house.add(count=2)
    for version in (1, 2):
        trained = {"version": version, "sha256": sha256(house.registry.load("orders", version))}
        house.audit.append(NOW, "automation", Entry("retrain", "orders", {**trained, "promote": True}))
        promote(house.as_home, "orders", version, Signoff("lead", NOW))
    forge(house, "orders", 2)
    assert house.registry.load("orders", 2) == {"model.json": b"{} "}
    store = ModelStore(house.as_home)
    with pytest.raises(DamagedError, match="version 2 of orders is damaged, .* others than record 4 of the audit has"):
        store.load("orders", 2)
    assert serving(house) == 1
    assert "v1 serves in its place" in status(house.as_home, NOW).notices[0]
    assert promote(house.as_home, "orders", 1, Signoff("lead", NOW)).told == "v1 of orders serves, after v2"
    assert status(house.as_home, NOW).notices == []


def drop(house: House | World, unit: str, version: int, *, alias: bool) -> None:
    """Deletes a version as MLflow does, with the champion's alias; without `alias` the alias still points to it."""
    house.registry._call("delete_model_version", f"daypart-{unit}", str(version))
    if not alias:
        with sqlite3.connect(house.home / "mlflow.db") as database:
            row = (f"daypart-{unit}", "champion", version)
            database.execute("insert into registered_model_aliases (name, alias, version) values (?, ?, ?)", row)


@pytest.mark.parametrize("alias", [True, False], ids=["with its alias", "under its alias"])
def test_a_champion_that_was_deleted_is_stood_in_for_until_a_rollback(house: House, alias: bool) -> None:
    house.add(count=3)
    for version in (1, 2, 3):
        promote(house.as_home, "orders", version, Signoff("lead", NOW))
    drop(house, "orders", 3, alias=alias)
    assert house.champion() == (None if alias else 3)
    assert serving(house) == 2
    (model,) = status(house.as_home, NOW).models
    assert (model["champion"], model["serves"]) == (house.champion(), 2)
    (notice,) = status(house.as_home, NOW).notices
    assert "no version 3 of orders: it has 1, 2" in notice
    assert notice.endswith("; v2 serves in its place")
    assert [spell["version"] for spell in at(house.as_home, NOW.date(), again=False).served] == [1, 2, 3]
    assert rollback(house.as_home, "orders", Signoff("lead", NOW)).version == 2
    assert (house.champion(), status(house.as_home, NOW).notices) == (2, [])
    assert rollback(house.as_home, "orders", Signoff("lead", NOW)).version == 1


def test_a_champions_alias_that_was_deleted_is_set_again_by_a_rollback(house: House) -> None:
    house.add(count=2)
    for version in (1, 2):
        promote(house.as_home, "orders", version, Signoff("lead", NOW))
    house.registry._call("delete_registered_model_alias", "daypart-orders", "champion")
    assert serving(house) == 2
    (notice,) = status(house.as_home, NOW).notices
    assert notice == ("orders: its champion alias is gone, v2 is the last champion on record; v2 serves in its place")
    assert rollback(house.as_home, "orders", Signoff("lead", NOW)).version == 2
    assert (house.champion(), status(house.as_home, NOW).notices) == (2, [])
    assert rollback(house.as_home, "orders", Signoff("lead", NOW)).version == 1


def test_a_version_whose_run_was_deleted_is_refused(house: House) -> None:
    house.add(count=2)
    for version in (1, 2):
        promote(house.as_home, "orders", version, Signoff("lead", NOW))
    house.registry._call("delete_run", house.registry.describe("orders", 2)["run_id"])
    assert serving(house) == 1
    assert "its run" in status(house.as_home, NOW).notices[0]
    assert rollback(house.as_home, "orders", Signoff("lead", NOW)).version == 1


def test_the_forecast_is_made_without_the_champion_that_was_deleted(world: World, daypart: Any) -> None:
    run = world.registry.record(RunRecord("train", "orders", {}, {}, {"demand": 0}, world.registry.load("orders", 1)))
    version = world.registry.register("orders", run, {})
    world.registry.set_alias("orders", "challenger", version)
    promote(world.as_home, "orders", version, Signoff("lead", NOW))
    drop(world, "orders", version, alias=False)
    result = daypart(world.home, "forecast", "--refresh")
    assert (result.status, "models orders-v1, sales-v1" in result.out) == (0, True), result.err
    assert "no version 2 of orders: it has 1" in result.out
    listed = {row["unit"]: row["champion"] for row in daypart(world.home, "portfolio", "--json").json["units"]}
    assert listed == {"orders": "orders-v1", "sales": "sales-v1"}
    for command in (("status",), ("monitor",), ("status", "--at", "2025-03-01", "--no-rebuild")):
        assert daypart(world.home, *command).status == 0
    (retrained,) = train(world.as_home, Recipe(**SMALL), TrainRequest(targets=("orders",)))
    assert retrained.reason == "the model that serves in place of the champion is this very model"
    assert daypart(world.home, "rollback", "orders", "--role", "lead").out == "v1 of orders serves, after v2\n"
    assert daypart(world.home, "audit", "--verify").status == 0


def test_forecasts_are_made_by_what_serves_and_say_so(world: World, daypart: Any) -> None:
    run = world.registry.record(RunRecord("train", "orders", {}, {}, {"demand": 0}, world.registry.load("orders", 1)))
    version = world.registry.register("orders", run, {})
    promote(world.as_home, "orders", version, Signoff("lead", NOW))
    forge(world, "orders", 1)
    damage(world, "orders", 2, "ratio.txt")
    for fault in ("no other version that served is whole", "version 1 of orders .* record 1 of the audit"):
        with pytest.raises(DamagedError, match=fault):
            publish(world.as_home)
    before = world.forecasts()
    path = own_folder(world, "orders", 1) / "model.json"
    path.write_bytes(path.read_bytes()[:-1])
    set_tag(world, "orders", 1, sha256(files_in(folder(world, "orders", 1))))
    result = daypart(world.home, "forecast", "--refresh")
    assert "models orders-v1, sales-v1" in result.out
    assert "orders: version 2 of orders is damaged" in result.out
    assert "; v1 serves in its place" in result.out
    assert world.forecasts().equals(before)
    assert rebuild(world.as_home, world.origin).same
    report = daypart(world.home, "forecast", "--refresh", "--store", "S0001", "--json").json
    assert [text.rpartition("; ")[2] for text in report["notices"]] == ["v1 serves in its place"]
    assert "v1 serves in its place" in daypart(world.home, "status").out
    (retrained,) = train(world.as_home, Recipe(**SMALL), TrainRequest(targets=("orders",)))
    assert (retrained.version, retrained.promoted) == (1, True)
    assert retrained.reason == "the model that serves in place of the champion is this very model"


@pytest.mark.parametrize("file", ["MLmodel", "model_code.py", "requirements.txt"])
def test_the_digest_of_a_version_covers_what_mlflow_reads(world: World, file: str) -> None:
    path = folder(world, "orders", 1) / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DamagedError, match="version 1 of orders is damaged"):
        ModelStore(world.as_home).load("orders", 1)


def test_a_target_of_which_no_version_is_whole_is_trained_anew(world: World) -> None:
    damage(world, "orders", 1)
    with pytest.raises(DamagedError, match="version 1 of orders is damaged"):
        publish(world.as_home)
    (retrained,) = train(world.as_home, Recipe(**SMALL), TrainRequest(targets=("orders",)))
    assert (retrained.version, retrained.promoted) == (2, True)
    publish(world.as_home)
    assert set(world.forecasts()["model_version"]) == {"orders-v2", "sales-v1"}
    assert status(world.as_home, NOW).notices == []


def test_a_unit_of_which_no_version_is_whole_is_served_by_its_targets_champion(world: World) -> None:
    (world.home / "portfolio.toml").write_text('segments = { orders = { by = "volume", classes = 2 } }\n')
    for unit in ("orders.volume-1", "orders.volume-2"):
        run = world.registry.record(RunRecord("train", unit, {}, {}, {"demand": 0}, world.registry.load("orders", 1)))
        promote(world.as_home, unit, world.registry.register(unit, run, {}), Signoff("lead", NOW))
    damage(world, "orders.volume-2", 1)
    notices: list[str] = []
    publish(world.as_home, notice=notices.append)
    (notice,) = notices
    assert notice.startswith("orders.volume-2: version 1 of orders.volume-2 is damaged")
    assert notice.endswith("no other version that served is whole; orders-v1 serves in its place")
    rows = world.forecasts().filter(pl.col("target") == "orders")
    assert rows.group_by("model_version").agg(pl.col("store_id").n_unique()).sort("model_version").rows() == [
        ("orders-v1", 2), ("orders.volume-1-v1", 2),
    ]  # fmt: skip
    assert rebuild(world.as_home, world.origin).same
    assert [text.partition(":")[0] for text in status(world.as_home, NOW).notices] == ["orders.volume-2"]
