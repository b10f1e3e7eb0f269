"""A home of several models a target: trained, published and listed by unit."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.features.money import Money, with_unit
from daypart.flows.config.portfolio import Unit
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.jobs.train import train
from daypart.flows.monitoring.portfolio import health
from daypart.forecasting.metrics import accuracy
from daypart.forecasting.models.recipe import Recipe
from tests.flows.conftest import SMALL, World

FILE = """
[segments]
by = "region"
[tiers.light]
retrain_days = 7
owner = "analyst"
[[assign]]
target = "sales"
segment = "West"
tier = "light"
[[assign]]
segment = "Wset"
tier = "light"
"""
RECIPES = '[recipe.light]\nmembers = ["ratio"]\nrounds = 5\n'
SIDES = {"S0001": "East", "S0002": "East", "S0003": "West", "S0004": "West"}
TIERS = {"orders.East": "standard", "orders.West": "standard", "sales.East": "standard", "sales.West": "light"}
KEY = ["store_id", "target", "origin_date", "hour_utc"]


def parted(home: Path, world: World) -> World:
    """A copy of a home in which the chain has two regions and a portfolio."""
    shutil.copytree(world.home, home)
    copy = World(home, world.files, world.chain)
    sides = pl.col("store_id").replace_strict(SIDES)
    copy.lake.upsert("stores", copy.lake.scan("stores").collect().with_columns(region=sides))
    (home / "portfolio.toml").write_text(FILE)
    (home / "recipes.toml").write_text(RECIPES)
    return copy


@pytest.fixture(scope="module")
def trained(published_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Beside the models of the whole chain each unit has its own; not to be changed."""
    world = parted(tmp_path_factory.mktemp("parted") / "home", published_world)
    models = train(world.as_home, Recipe(**SMALL))
    assert {model.unit: model.tier for model in models} == TIERS
    for model in models:
        assert model.version == 1
        world.registry.set_alias(model.unit, "champion", 1)
    publish(world.as_home)
    return world


@pytest.fixture
def world(trained: World, tmp_path: Path) -> World:
    shutil.copytree(trained.home, tmp_path / "home")
    # Files of runs lie beside the database that knows them.
    return World(tmp_path / "home", trained.files, trained.chain)


def unit_of(rows: pl.DataFrame) -> pl.Series:
    return rows.select(pl.format("{}.{}", "target", pl.col("store_id").replace_strict(SIDES))).to_series()


def test_every_store_is_served_by_its_units_champion_in_one_publication(trained: World, published_world: World) -> None:
    rows = trained.forecasts()
    assert rows.select(KEY).equals(published_world.forecasts().select(KEY))
    assert rows["model_version"].to_list() == [f"{unit}-v1" for unit in unit_of(rows)]
    assert rows["tier"].to_list() == [TIERS[unit] for unit in unit_of(rows)]
    history = trained.lake.history("forecasts")
    assert history["version"].to_list() == [1, 0], "one commit over the one of the whole chain's models"


def test_a_units_model_is_of_its_own_stores_and_its_tiers_recipe(trained: World) -> None:
    descriptions = {unit: trained.registry.describe(unit, "champion") for unit in TIERS}
    assert {unit: version["metrics"]["stores"] for unit, version in descriptions.items()} == dict.fromkeys(TIERS, 2.0)
    assert descriptions["sales.West"]["params"]["members"] == '["ratio"]'
    assert descriptions["sales.East"]["params"]["rounds"] == str(SMALL["rounds"])
    tags = descriptions["sales.West"]["tags"]
    assert (tags["segment"], tags["tier"]) == ("West", "light")
    assert tags["read.demand"] == str(trained.lake.version("demand"))


def test_retraining_one_unit_changes_no_bit_of_the_others(world: World, daypart: Any) -> None:
    before = world.forecasts()
    earlier = world.origin - timedelta(days=21)
    rows = daypart(world.home, "train", "--units", "orders.West", "--as-of", earlier, "--json").json["trained"]
    assert [(row["unit"], row["version"]) for row in rows] == [("orders.West", 2)]
    world.registry.set_alias("orders.West", "champion", 2)
    assert daypart(world.home, "forecast", "--refresh", "--json").status == 0
    after = world.forecasts()
    retrained = unit_of(before) == "orders.West"
    assert after.filter(~retrained).equals(before.filter(~retrained))
    assert after.filter(retrained)["model_version"].unique().to_list() == ["orders.West-v2"]
    assert not after.filter(retrained)["forecast"].equals(before.filter(retrained)["forecast"])


def test_units_without_a_champion_are_served_by_the_whole_chains(published_world: World, tmp_path: Path) -> None:
    world = parted(tmp_path / "home", published_world)
    world.lake.upsert("stores", published_world.lake.scan("stores").collect())
    publish(world.as_home)
    columns = pl.exclude("tier")
    assert world.forecasts().select(columns).equals(published_world.forecasts().select(columns))


def test_units_that_nobody_serves_are_named(world: World, daypart: Any) -> None:
    for model, unit in (("orders", "orders.East"), ("sales", "sales.East")):
        for name in (model, unit):
            world.registry._call("delete_registered_model", f"daypart-{name}")
    before = world.forecasts()
    result = daypart(world.home, "forecast", "--refresh")
    assert result.status == 2
    assert "no champion for orders.East, sales.East: run `daypart train --units orders.East,sales.East`" in result.err
    assert world.forecasts().equals(before)
    unknown = daypart(world.home, "train", "--units", "orders.Wset")
    assert (unknown.status, "no unit orders.Wset: expected orders.East, orders.West" in unknown.err) == (2, True)


def test_a_portfolio_of_whole_chains_is_what_there_is_without_one(
    published_world: World, tmp_path: Path, daypart: Any
) -> None:
    shutil.copytree(published_world.home, tmp_path / "home")
    world = World(tmp_path / "home", published_world.files, published_world.chain)
    (world.home / "portfolio.toml").write_text('[segments]\nby = "chain"\n')
    trained_models = daypart(world.home, "train", "--json").json["trained"]
    assert {row["reason"] for row in trained_models} == {"the champion is this very model"}
    publish(world.as_home)
    assert world.lake.version("forecasts") == published_world.lake.version("forecasts"), "the very rows were there"


def test_sums_over_stores_of_several_units_are_of_all_of_them(trained: World, daypart: Any) -> None:
    rows = trained.forecasts()
    for level, by in (("chain", []), ("region", ["region"])):
        forecasts = pl.DataFrame(daypart(trained.home, "forecast", "--level", level, "--json").json["forecasts"])
        orders = forecasts.filter(pl.col("target") == "orders").sort(*by, "lead_days")
        hours = rows.filter(pl.col("target") == "orders").with_columns(region=pl.col("store_id").replace_strict(SIDES))
        sums = hours.group_by(*by, "lead_days").agg(pl.col("forecast", "q10", "q90").sum()).sort(*by, "lead_days")
        assert orders["forecast"].to_list() == pytest.approx(sums["forecast"].to_list())
        inside = (orders["q10"] > sums["q10"]) & (orders["q90"] < sums["q90"])
        assert inside.mean() > 0.9, "errors of hours offset one another"


def test_a_backtest_forecasts_each_store_by_its_units_models(trained: World, daypart: Any, tmp_path: Path) -> None:
    out = tmp_path / "told.parquet"
    span = ("--start", "2024-02-19", "--end", "2024-03-03", "--targets", "sales")
    assert daypart(trained.home, "backtest", *span, "--out", out).status == 0
    rows = pl.read_parquet(out)
    assert rows["store_id"].unique().sort().to_list() == list(SIDES)
    assert rows["model_version"].to_list() == [f"{unit}-as-of-2024-02-19" for unit in unit_of(rows)]
    assert rows["tier"].to_list() == [TIERS[unit] for unit in unit_of(rows)]


def test_what_a_units_model_forecast_is_explained_from_what_it_read(world: World, daypart: Any) -> None:
    rows = world.forecasts().filter(pl.col("forecast") > 0)
    row = rows.row(0, named=True)
    day = row["hour_local"].date()
    options = ("--store", row["store_id"], "--date", day, "--target", row["target"], "--json")
    explanation = daypart(world.home, "explain", *options).json
    assert explanation["model_version"] == row["model_version"]
    assert explanation["notices"] == []
    day_rows = rows.filter(
        pl.col("hour_local").dt.date() == day, *(pl.col(name) == row[name] for name in ("store_id", "target"))
    )
    assert explanation["forecast"] == pytest.approx(day_rows["forecast"].sum())


def test_the_portfolio_lists_every_unit_as_it_stands(world: World, daypart: Any) -> None:
    assert daypart(world.home, "ingest", "demand", world.files / "later.parquet").status == 0
    assert daypart(world.home, "monitor").status == 0
    output = daypart(world.home, "portfolio", "--json").json
    assert [row["unit"] for row in output["units"]] == list(TIERS)
    assert output["notices"] == ["row 2 of [[assign]] is idle: no unit of segment 'Wset' goes by it"]
    chain = Chain.newest(world.lake)
    # Stores in the United States and in Canada: sales count in orders.
    units = Money.from_demand(chain, "sales").units(chain.last_day() + timedelta(days=1))  # type: ignore[operator]
    scores = with_unit(world.lake.scan("scores").collect(), chain.stores, units)
    for row in output["units"]:
        score = accuracy.score(scores.filter(unit_of(scores) == row["unit"]), "hour").row(0, named=True)
        for name in ("accuracy_bps", "gain_bps", "bias_bps"):
            assert row[name] == pytest.approx(score[name], abs=1e-6), name
        excess = 1e4 - score["accuracy_bps"] - score["floor_bps"] if row["unit"].startswith("orders") else None
        assert row["excess_bps"] == (pytest.approx(excess, abs=1e-6) if excess is not None else None)
        metrics = world.registry.describe(row["unit"], 1)["metrics"]
        assert row["cost_dollars"] == metrics["cost_dollars"] > 0
        assert (row["champion"], row["stores"], row["as_of"]) == (f"{row['unit']}-v1", 2, str(world.origin))
    health = {row["unit"]: row["health"] for row in output["units"]}
    assert health["sales.West"] == f"retrain due since {world.origin + timedelta(days=7)}"
    assert health["orders.West"] == "ok"
    human = daypart(world.home, "portfolio").out
    assert all(name in human for name in ("analyst", "sales.West-v1", "idle", *TIERS))


def test_health_says_what_is_most_pressing() -> None:
    unit, day = Unit("orders.West", "orders", "West", "top", ""), date(2025, 5, 1)
    before = day - timedelta(days=7)

    def decided(cause: str, retrain: bool) -> dict[str, object]:
        return {"decided_on": day, "cause": cause, "retrain": retrain}

    assert health(unit, None, None, None, None) == "no champion"
    assert health(unit, "orders", day, None, None) == "no champion: served by orders"
    assert health(unit, "orders", day, None, decided("data fault", False)) == "data fault on 2025-05-01"
    assert health(unit, unit.name, before, None, decided("slip", True)) == "retrain decided on 2025-05-01: slip"
    assert health(unit, unit.name, before, day, decided("slip", False)) == "retrain due since 2025-05-01"
    assert health(unit, unit.name, day, None, decided("slip", True)) == "ok"
