import shutil
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from daypart.features.errors import NotKnownError
from daypart.flows.audit.audit_log import Audit
from daypart.flows.governance.promotion import promote, rollback
from daypart.flows.governance.signoff import Signoff
from daypart.flows.home import Home
from daypart.flows.jobs.explain import ExplainQuery, explain
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.rebuild import differing, rebuild
from daypart.flows.jobs.status import at
from daypart.flows.registry.runs import RunRecord

NOW = datetime(2024, 4, 1, 5)


@pytest.fixture(scope="module")
def rolled_back_world(published_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A home whose second model of orders was promoted, published with, rolled back and published without.

    Then corrections of demand came.
    """
    home = tmp_path_factory.mktemp("rolled_back_world") / "home"
    shutil.copytree(published_world.home, home)
    world = type(published_world)(home, published_world.files, published_world.chain)
    registry = world.registry
    run = registry.record(RunRecord("train", "orders", {}, {}, {"demand": 0}, registry.load("orders", 1)))
    registry.register("orders", run, {})
    promote(Home(registry.settings), "orders", 2, Signoff("engineer", NOW))
    publish(Home(registry.settings))
    assert set(world.forecasts()["model_version"]) == {"orders-v2", "sales-v1"}
    rollback(Home(registry.settings), "orders", Signoff("engineer", NOW + timedelta(hours=2), "a try"))
    publish(Home(registry.settings))
    demand = world.lake.scan("demand").filter(pl.col("orders") > 0).collect()
    world.lake.upsert("demand", demand.with_columns(pl.col("orders", "sales") * 3).drop("month", strict=False))
    return world


def test_after_a_rollback_the_next_forecast_is_the_older_models(rolled_back_world: Any) -> None:
    assert set(rolled_back_world.forecasts()["model_version"]) == {"orders-v1", "sales-v1"}


def test_a_publication_is_rebuilt_from_the_data_that_it_was_made_of(rolled_back_world: Any) -> None:
    before = rolled_back_world.versions()
    rebuilt = rebuild(rolled_back_world.as_home, rolled_back_world.origin)
    assert (rebuilt.same, rebuilt.differing, rebuilt.rows) == (True, 0, rolled_back_world.forecasts().height)
    assert rebuilt.models == ["orders-v1", "sales-v1"]
    assert rebuilt.reads["demand"] == rolled_back_world.lake.version("demand") - 1
    assert rolled_back_world.versions() == before
    day_status = at(rolled_back_world.as_home, NOW.date())
    assert [(row["unit"], row["version"], row["until"]) for row in day_status.served] == [
        ("orders", 1, NOW), ("orders", 2, NOW + timedelta(hours=2)), ("orders", 1, None), ("sales", 1, None),
    ]  # fmt: skip
    assert day_status.rebuilt == rebuilt
    assert day_status.served[0]["trained_on"]["demand"] == 0


def test_status_tells_the_day_with_its_forecast_made_again(rolled_back_world: Any, daypart: Any) -> None:
    output = daypart(rolled_back_world.home, "status", "--at", "2024-04-01", "--json").json
    assert output["rebuilt"]["same"] is True
    assert output["served"][2]["why"] == "rollback: a try"
    human = daypart(rolled_back_world.home, "status", "--at", "2024-04-01", "--no-rebuild").out
    assert "made again" not in human
    assert human.count("orders") >= 3
    early = daypart(rolled_back_world.home, "status", "--at", "2020-01-01").out
    assert "nothing served on 2020-01-01" in early


def test_what_was_changed_since_it_was_published_is_told(rolled_back_world: Any) -> None:
    rows = rolled_back_world.forecasts()
    one = pl.int_range(pl.len()) == rows.height // 2
    rolled_back_world.lake.replace(
        "forecasts", rows.with_columns(q10=pl.when(one).then(-1.0).otherwise("q10")), rolled_back_world.origin
    )
    assert rebuild(rolled_back_world.as_home, rolled_back_world.origin).differing == 1
    rolled_back_world.lake.replace("forecasts", rows, rolled_back_world.origin)
    with pytest.raises(NotKnownError, match="no forecast of origin 2020-01-01"):
        rebuild(rolled_back_world.as_home, date(2020, 1, 1))


def test_an_event_of_one_store_ingested_after_training_moves_no_other_store(
    world: Any, daypart: Any, tmp_path: Any
) -> None:
    """Undated, long past and first in the alphabet: the names that the models know keep their codes."""
    before, day = world.forecasts(), world.origin - timedelta(days=60)
    assert all("vocabulary.json" in world.registry.load(target, 1) for target in ("orders", "sales"))
    file = tmp_path / "events.csv"
    file.write_text(f"name,kind,starts_local,ends_local,store_id\n!,new,{day} 08:00:00,{day} 20:00:00,S0001\n")
    assert daypart(world.home, "ingest", "events", file).status == 0
    assert daypart(world.home, "forecast", "--refresh", "--json").status == 0
    other_stores = pl.col("store_id") != "S0001"
    assert differing(world.forecasts().filter(other_stores), before.filter(other_stores)) == 0
    rebuilt = rebuild(world.as_home, world.origin)
    assert (rebuilt.same, rebuilt.reads["events"]) == (True, world.lake.version("events"))
    assert explain(world.as_home, ExplainQuery("S0001", world.origin)).notices == []


def test_rows_differ_by_bits() -> None:
    one = pl.DataFrame({"k": ["a", "b", "c", "d"], "x": [0.0, None, float("nan"), 1.0]})
    assert differing(one, one.reverse()) == 0
    assert differing(one, one.with_columns(x=pl.when(pl.col("k") == "a").then(-0.0).otherwise("x"))) == 1
    assert differing(one, one.head(3)) == differing(one.head(3), one) == 1
    assert differing(one, pl.concat([one, one.head(2)])) == 2


def test_training_is_recorded_and_its_promotion_asked_for(published_world: Any) -> None:
    rows = Audit(published_world.lake, published_world.registry).records()
    assert rows["activity"].to_list() == ["retrain", "promote", "promote"] * 2
    assert rows["unit"].to_list() == ["orders"] * 3 + ["sales"] * 3
    assert set(rows["role"]) == {"automation"}
    verification = Audit(published_world.lake, published_world.registry).verify()
    assert (verification.faults, verification.anchored) == ([], 6)
