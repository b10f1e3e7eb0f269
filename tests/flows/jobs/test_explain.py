"""A published forecast is explained on the data and by the model that made it, and what cannot be is said."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.dayparts import DAYPARTS
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.explain import UNEXPLAINED, Asked, explain
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.snapshot import Chain
from tests.flows.conftest import ORIGIN, Daypart, World

DAY = ORIGIN + timedelta(days=3)


def total(told: dict[str, Any]) -> float:
    return float(told["incumbent"] + sum(each["amount"] for each in told["reasons"]))


@pytest.mark.parametrize("target", ["orders", "sales"])
@pytest.mark.parametrize("store", ["S0001", "S0004"])
def test_reasons_sum_to_what_is_published(published_world: World, store: str, target: str) -> None:
    found = explain(published_world.lake, published_world.registry, Asked(store, DAY, target=target))
    mine = (pl.col("store_id") == store) & (pl.col("target") == target) & (pl.col("hour_local").dt.date() == DAY)
    rows = published_world.forecasts().filter(mine)
    assert found.forecast == pytest.approx(rows["forecast"].sum(), rel=1e-12)
    assert found.incumbent == pytest.approx(rows["incumbent"].sum(), rel=1e-12)
    assert found.incumbent + sum(each.amount for each in found.reasons) == pytest.approx(found.forecast, rel=1e-9)
    assert found.notices == []
    assert found.model_version == f"{target}-v1"
    assert found.unit == ("orders" if target == "orders" else Chain.of(published_world.lake).stores["currency"][0])


def test_the_command_explains_a_day_a_daypart_and_an_hour(published_world: World, daypart: Daypart) -> None:
    home, asked = published_world.home, ("explain", "--store", "S0001", "--date", DAY, "--json")
    parts = [daypart(home, *asked, "--daypart", name).json for name in DAYPARTS]
    hours = [daypart(home, *asked, "--hour", hour).json for hour in range(11, 15)]
    for told in (*parts, *hours):
        assert total(told) == pytest.approx(told["forecast"], rel=1e-9)
    lunch = parts[list(DAYPARTS).index("lunch")]
    assert sum(told["forecast"] for told in hours) == pytest.approx(lunch["forecast"], rel=1e-9)
    assert "lunch orders" in lunch["sentences"][0]
    shown = daypart(home, *asked[:-1], "--daypart", "lunch")
    assert shown.status == 0
    assert shown.out.splitlines()[0] == f"origin {ORIGIN}, model orders-v1"
    assert lunch["sentences"][0] in shown.out


def test_what_came_since_changes_nothing(world: World) -> None:
    before = explain(world.lake, world.registry, Asked("S0001", DAY))
    ingest_table(world.lake, "demand", [world.files / "later.parquet"])
    dearer = world.lake.scan("demand").collect().with_columns(pl.col("orders") * 3).drop("month", strict=False)
    world.lake.upsert("demand", dearer.filter(pl.col("store_id") == "S0001"))
    assert explain(world.lake, world.registry, Asked("S0001", DAY)) == before


def test_without_recorded_versions_it_says_so_and_by_how_much_it_is_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daypart.flows.jobs.explain.reads_of", lambda *given: None)
    same = explain(world.lake, world.registry, Asked("S0001", DAY))
    assert len(same.notices) == 1
    assert UNEXPLAINED not in [each.family for each in same.reasons]
    late = world.lake.scan("demand").collect().filter(pl.col("hour_local").dt.date() >= ORIGIN - timedelta(days=28))
    world.lake.upsert("demand", late.with_columns(pl.col("orders") * 2))
    other = explain(world.lake, world.registry, Asked("S0001", DAY))
    assert other.forecast == same.forecast
    assert len(other.notices) == 2
    gap = next(each for each in other.reasons if each.family == UNEXPLAINED)
    assert float(gap.what.rpartition(" ")[2].replace(",", "")) > 1.2 * other.forecast
    assert other.incumbent == same.incumbent
    assert other.incumbent + sum(each.amount for each in other.reasons) == pytest.approx(other.forecast, rel=1e-9)
    assert other.sentences[0] == same.sentences[0]


def test_the_latest_publication_of_an_origin_counts(world: World) -> None:
    late = world.lake.scan("demand").collect().filter(pl.col("hour_local").dt.date() >= ORIGIN - timedelta(days=28))
    world.lake.upsert("demand", late.with_columns(pl.col("orders") * 2))
    publish(world.lake, world.registry, ORIGIN)
    found = explain(world.lake, world.registry, Asked("S0001", DAY))
    assert found.notices == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--store", "S9", "--date", DAY), "unknown store S9"),
        (("--store", "S0001", "--date", ORIGIN - timedelta(days=1)), f"runs to {ORIGIN + timedelta(days=13)}"),
        (("--store", "S0001", "--date", DAY, "--daypart", "tea"), "expected breakfast, lunch, dinner"),
        (("--store", "S0001", "--date", DAY, "--daypart", "lunch", "--hour", 12), "give one of them"),
        (("--store", "S0001", "--date", DAY, "--target", "tips"), "tips of S0001 was not published"),
        (("--store", "S0001", "--date", DAY, "--origin", DAY), f"published of origin {DAY}"),
        (("--store", "S0001", "--date", "soon"), "--date is 'soon'"),
    ],
)
def test_what_was_not_published_is_refused(
    published_world: World, daypart: Daypart, given: tuple[object, ...], said: str
) -> None:
    told = daypart(published_world.home, "explain", *given)
    assert told.status == 2
    assert said in told.err
    assert told.err.count("\n") == 1


def test_a_chain_at_older_versions_is_what_it_was(world: World) -> None:
    then = Chain.of(world.lake)
    world.lake.upsert("stores", then.stores.with_columns(name=pl.lit("renamed")))
    assert Chain.of(world.lake).stores["name"].unique().to_list() == ["renamed"]
    assert_frame_equal(Chain.at(world.lake, then.versions).stores, then.stores, check_row_order=False)
