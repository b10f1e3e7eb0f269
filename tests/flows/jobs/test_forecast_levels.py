"""`daypart forecast --level`: the published hours added up, in every form."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.forecasting.serving.levels import AGGREGATE_COLUMNS

LEVELS = ("daypart", "day", "week", "store", "region", "chain")
KEY = {
    "daypart": ["store_id", "lead_days", "daypart"], "day": ["store_id", "lead_days"], "week": ["store_id", "week"],
    "store": ["store_id"], "region": ["region", "currency", "lead_days"], "chain": ["currency", "lead_days"],
}  # fmt: skip
SUMS = ("forecast", "incumbent")


def by_hand(world: Any, level: str) -> dict[tuple[object, ...], list[float]]:
    stores = {row["store_id"]: row for row in world.chain.tables["stores"].to_dicts()}
    totals: dict[tuple[object, ...], list[float]] = {}
    for row in world.forecasts().to_dicts():
        store = stores[row["store_id"]]
        money = store["currency"] if row["target"] == "sales" else None
        values = {**row, "region": store["region"], "currency": money, "week": row["lead_days"] // 7}
        sums = totals.setdefault((row["target"], *(values[name] for name in KEY[level])), [0.0, 0.0])
        for at, name in enumerate(SUMS):
            sums[at] += row[name]
    return totals


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_is_the_sum_of_the_published_hours(
    published_world: Any, daypart: Any, tmp_path: Path, level: str
) -> None:
    output = daypart(published_world.home, "forecast", "--level", level, "--json").json
    out = tmp_path / "told.parquet"
    written = daypart(published_world.home, "forecast", "--level", level, "--out", out)
    assert f"by {level}, origin {published_world.origin}" in written.out
    rows = pl.read_parquet(out)
    assert rows.columns == list(AGGREGATE_COLUMNS)
    assert [row["q90"] for row in output["forecasts"]] == rows["q90"].to_list()
    expected = by_hand(published_world, level)
    weekly_rows = rows.with_columns(week=pl.col("lead_days") // 7)
    for row in weekly_rows.to_dicts():
        sums = expected.pop((row["target"], *(row[name] for name in KEY[level])))
        assert [row[name] for name in SUMS] == pytest.approx(sums, abs=1e-6)
        assert 0 <= row["q10"] <= row["q50"] <= row["q90"]
    assert all(key[-1] is None and sums == [0, 0] for key, sums in expected.items()), "closed and outside any daypart"


@pytest.mark.parametrize(
    ("level", "shown"), [("daypart", "breakfast"), ("week", "week_from"), ("region", "Mountain"), ("chain", "CAD")]
)
def test_a_level_is_shown_as_a_table(published_world: Any, daypart: Any, level: str, shown: str) -> None:
    result = daypart(published_world.home, "forecast", "--level", level)
    assert result.status == 0, result.err
    assert all(name in result.out for name in ("forecast", "q10", "q90", "incumbent", "orders-v1", shown))
    lines = [line for line in result.out.splitlines() if "rests on" not in line]
    rows = daypart(published_world.home, "forecast", "--level", level, "--json").json["rows"]
    assert (len(lines) == 2 + rows) == (rows <= 60)
    assert (f"{rows - 60:,} more rows" in lines[-1]) == (rows > 60)


def test_a_store_alone_has_the_days_it_has_among_all(published_world: Any, daypart: Any) -> None:
    every = daypart(published_world.home, "forecast", "--level", "day", "--json").json["forecasts"]
    alone = daypart(published_world.home, "forecast", "--level", "day", "--store", "S0002", "--json").json["forecasts"]
    assert alone == [row for row in every if row["store_id"] == "S0002"]


def test_a_forecast_published_before_there_were_levels_must_be_made_again(world: Any, daypart: Any) -> None:
    bare = world.forecasts().drop("scale")
    shutil.rmtree(world.home / "lake" / "forecasts")
    bare.write_delta(world.home / "lake" / "forecasts", delta_write_options={"partition_by": ["origin_date"]})
    assert daypart(world.home, "forecast", "--json").json["rows"] == bare.height
    result = daypart(world.home, "forecast", "--level", "day")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "--refresh" in result.err
    assert daypart(world.home, "forecast", "--level", "day", "--refresh").status == 0


def test_a_chain_without_regions_says_so(world: Any, daypart: Any) -> None:
    stores = world.lake.scan("stores").collect().with_columns(region=pl.lit(None, pl.String))
    shutil.rmtree(world.home / "lake" / "stores")
    world.lake.upsert("stores", stores)
    result = daypart(world.home, "forecast", "--level", "region")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "no store has a region" in result.err
