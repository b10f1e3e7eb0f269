"""A published forecast is explained on the data and by the model that made it, and what cannot be is said."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.dayparts import DAYPARTS
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.explain import UNEXPLAINED_FAMILY, ExplainQuery, explain
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.snapshot import Chain
from tests.flows.conftest import ORIGIN, Daypart, World

DAY = ORIGIN + timedelta(days=3)


def total(explanation: dict[str, Any]) -> float:
    return float(explanation["incumbent"] + sum(reason["amount"] for reason in explanation["reasons"]))


@pytest.mark.parametrize("target", ["orders", "sales"])
@pytest.mark.parametrize("store", ["S0001", "S0004"])
def test_reasons_sum_to_what_is_published(published_world: World, store: str, target: str) -> None:
    result = explain(published_world.as_home, ExplainQuery(store, DAY, target=target))
    cell = (pl.col("store_id") == store) & (pl.col("target") == target) & (pl.col("hour_local").dt.date() == DAY)
    rows = published_world.forecasts().filter(cell)
    assert result.forecast == pytest.approx(rows["forecast"].sum(), rel=1e-12)
    assert result.incumbent == pytest.approx(rows["incumbent"].sum(), rel=1e-12)
    assert result.incumbent + sum(part.amount for part in result.reasons) == pytest.approx(result.forecast, rel=1e-9)
    assert result.notices == []
    assert result.model_version == f"{target}-v1"
    assert result.unit == ("orders" if target == "orders" else Chain.newest(published_world.lake).stores["currency"][0])


def test_the_command_explains_a_day_a_daypart_and_an_hour(published_world: World, daypart: Daypart) -> None:
    home, options = published_world.home, ("explain", "--store", "S0001", "--date", DAY, "--json")
    parts = [daypart(home, *options, "--daypart", name).json for name in DAYPARTS]
    hours = [daypart(home, *options, "--hour", hour).json for hour in range(11, 15)]
    for explanation in (*parts, *hours):
        assert total(explanation) == pytest.approx(explanation["forecast"], rel=1e-9)
    lunch = parts[list(DAYPARTS).index("lunch")]
    assert sum(explanation["forecast"] for explanation in hours) == pytest.approx(lunch["forecast"], rel=1e-9)
    assert "lunch orders" in lunch["sentences"][0]
    shown = daypart(home, *options[:-1], "--daypart", "lunch")
    assert shown.status == 0
    assert shown.out.splitlines()[0] == f"origin {ORIGIN}, model orders-v1"
    assert lunch["sentences"][0] in shown.out


def test_what_came_since_changes_nothing(world: World) -> None:
    before = explain(world.as_home, ExplainQuery("S0001", DAY))
    ingest_table(world.as_home, "demand", [world.files / "later.parquet"])
    dearer = world.lake.scan("demand").collect().with_columns(pl.col("orders") * 3).drop("month", strict=False)
    world.lake.upsert("demand", dearer.filter(pl.col("store_id") == "S0001"))
    assert explain(world.as_home, ExplainQuery("S0001", DAY)) == before


def test_without_recorded_versions_it_says_so_and_by_how_much_it_is_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daypart.flows.jobs.explain.reads_of", lambda *arguments: None)
    same = explain(world.as_home, ExplainQuery("S0001", DAY))
    assert len(same.notices) == 1
    assert UNEXPLAINED_FAMILY not in [reason.family for reason in same.reasons]
    late = world.lake.scan("demand").collect().filter(pl.col("hour_local").dt.date() >= ORIGIN - timedelta(days=28))
    world.lake.upsert("demand", late.with_columns(pl.col("orders") * 2))
    other = explain(world.as_home, ExplainQuery("S0001", DAY))
    assert other.forecast == same.forecast
    assert len(other.notices) == 2
    gap = next(reason for reason in other.reasons if reason.family == UNEXPLAINED_FAMILY)
    assert float(gap.what.rpartition(" ")[2].replace(",", "")) > 1.2 * other.forecast
    assert other.incumbent == same.incumbent
    assert other.incumbent + sum(reason.amount for reason in other.reasons) == pytest.approx(other.forecast, rel=1e-9)
    assert other.sentences[0] == same.sentences[0]


def test_the_latest_publication_of_an_origin_counts(world: World) -> None:
    late = world.lake.scan("demand").collect().filter(pl.col("hour_local").dt.date() >= ORIGIN - timedelta(days=28))
    world.lake.upsert("demand", late.with_columns(pl.col("orders") * 2))
    publish(world.as_home, ORIGIN)
    explanation = explain(world.as_home, ExplainQuery("S0001", DAY))
    assert explanation.notices == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--store", "S9", "--date", DAY), "unknown store S9"),
        (("--store", "S0001", "--date", ORIGIN - timedelta(days=1)), f"runs to {ORIGIN + timedelta(days=13)}"),
        (("--store", "S0001", "--date", DAY, "--daypart", "tea"), "expected breakfast, lunch, dinner"),
        (("--store", "S0001", "--date", DAY, "--daypart", "lunch", "--hour", 12), "give one of them"),
        (("--store", "S0001", "--date", DAY, "--target", "tips"), "--target is 'tips': expected orders, sales"),
        (("--store", "S0001", "--date", DAY, "--origin", DAY), f"published of origin {DAY}"),
        (("--store", "S0001", "--date", "soon"), "--date is 'soon'"),
    ],
)
def test_what_was_not_published_is_refused(
    published_world: World, daypart: Daypart, arguments: tuple[object, ...], message: str
) -> None:
    result = daypart(published_world.home, "explain", *arguments)
    assert result.status == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_chain_at_older_versions_is_what_it_was(world: World) -> None:
    then = Chain.newest(world.lake)
    world.lake.upsert("stores", then.stores.with_columns(name=pl.lit("renamed")))
    assert Chain.newest(world.lake).stores["name"].unique().to_list() == ["renamed"]
    assert_frame_equal(Chain.at(world.lake, then.versions).stores, then.stores, check_row_order=False)
