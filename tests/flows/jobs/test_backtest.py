import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.features.money import Money, in_units
from daypart.flows.jobs.snapshot import read_records
from daypart.forecasting.metrics import accuracy
from infra.bench.accuracy.reference_scores import ReferenceScorer, assert_agrees

SPAN = ("--start", "2024-02-05", "--end", "2024-03-04")
TARGETS, LEVELS = ("orders", "sales"), ("hour", "daypart", "day")


@pytest.fixture
def tested(world: Any, daypart: Any, tmp_path: Path) -> tuple[Any, Path, Any]:
    """What was printed, the file of the rows, and the world, which no backtest changes."""
    before, out = world.versions(), tmp_path / "backtest.parquet"
    output = daypart(world.home, "backtest", *SPAN, "--out", out, "--json").json
    assert world.versions() == before
    return output, out, world


def test_a_backtest_is_written_reported_scored_and_judged_alike(
    tested: tuple[Any, Path, Any], daypart: Any, real_data: Path, tmp_path: Path
) -> None:
    output, out, world = tested
    rows = pl.read_parquet(out)
    assert rows["origin_date"].dt.to_string().unique().sort().to_list() == ["2024-02-05", "2024-02-12", "2024-02-19"]
    keys = ["store_id", "target", "origin_date", "hour_utc"]
    assert rows.select(keys).equals(rows.select(keys).sort(keys).unique(maintain_order=True))
    report = Path(output["report"])
    assert report == out.with_suffix(".html")
    assert report.read_text("utf-8").lstrip().lower().startswith("<!doctype html>")
    assert {(row["target"], row["level"]) for row in output["scores"]} == {(t, k) for t in TARGETS for k in LEVELS}
    # Stores in the United States and in Canada: sales count in orders.
    chain, end = read_records(world.lake)[0], date.fromisoformat(SPAN[3])
    units = Money.from_demand(chain.until(end), "sales").units(end + timedelta(days=1))
    rows = in_units(rows, chain.stores, units, ("forecast", "q10", "q50", "q90", "incumbent", "actual"))
    for row in output["scores"]:
        score = accuracy.score(rows.filter(pl.col("target") == row["target"]), row["level"]).row(0, named=True)
        for name in ("cells", "actual", "accuracy_bps", "incumbent_bps", "gain_bps", "bias_bps"):
            assert row[name] == pytest.approx(score[name], rel=1e-9), name
        assert 0 < row["coverage"] < 1
    demand, start = in_units(chain.demand, chain.stores, units, ["sales"]), date.fromisoformat(SPAN[1])
    for target in TARGETS:
        judge = ReferenceScorer(real_data, tmp_path).score(rows, demand, target, start, end)
        assert (judge["origins"], judge["missing"]) == (3, 0)
        assert_agrees(judge, [row for row in output["scores"] if row["target"] == target])


def test_hindsight_is_said_and_figures_are_printed(world: Any, daypart: Any, tmp_path: Path) -> None:
    result = daypart(
        world.home, "backtest", "--start", "2024-02-19", "--end", "2024-03-04", "--targets", "orders",
        "--weather", "observed", "--out", tmp_path / "b.csv",
    )  # fmt: skip
    assert result.status == 0, result.err
    assert "hindsight" in result.out.splitlines()[0]
    assert all(
        name in result.out for name in ("accuracy_bps", "incumbent_bps", "floor_accuracy_bps", str(tmp_path / "b.csv"))
    )
    rows = pl.read_csv(tmp_path / "b.csv", infer_schema_length=None, try_parse_dates=True)
    figure = accuracy.score(rows, "hour").row(0, named=True)["accuracy_bps"]
    assert f"{figure:,.0f}" in next(line for line in result.out.splitlines() if line.split()[:2] == ["orders", "hour"])


def test_a_backtest_says_how_much_of_it_rests_on_undated_rows(untrained: Any, daypart: Any, tmp_path: Path) -> None:
    """All schedules are undated, half of the closures and events; then every row says when it was known."""
    arguments = ("backtest", *SPAN, "--targets", "orders", "--out", tmp_path / "b.parquet", "--json")
    lake = untrained.lake
    before = daypart(untrained.home, *arguments).json["notices"]
    assert len(before) == 1
    assert before[0].startswith("Of the store-days scored, 100.0% have undated labor")
    for table, on in (("labor", "hour_local"), ("closures", "date"), ("events", "starts_local")):
        if lake.exists(table):
            lake.upsert(
                table, lake.scan(table).collect().with_columns(known_on=pl.col(on).cast(pl.Date) - pl.duration(days=20))
            )
    assert daypart(untrained.home, *arguments).json["notices"] == []


def test_an_outage_that_became_known_later_changes_no_row_but_its_own_actuals(
    untrained: Any, daypart: Any, tmp_path: Path
) -> None:
    day = date(2024, 2, 21)
    run = ("backtest", *SPAN, "--targets", "orders", "--out")
    assert daypart(untrained.home, *run, tmp_path / "before.parquet").status == 0
    outage = tmp_path / "closures.csv"
    outage.write_text(f"store_id,date,from_hour,reason,known_on\nS0001,{day},12,power,{day}\n")
    assert daypart(untrained.home, "ingest", "closures", outage).status == 0
    assert daypart(untrained.home, *run, tmp_path / "after.parquet").status == 0
    assert pl.read_parquet(tmp_path / "after.parquet").equals(pl.read_parquet(tmp_path / "before.parquet"))


def test_what_was_sold_after_the_end_changes_nothing(
    tested: tuple[Any, Path, Any], daypart: Any, tmp_path: Path
) -> None:
    output, out, world = tested
    later = pl.read_parquet(world.files / "later.parquet").with_columns(pl.col("sales") * 2)
    later.write_parquet(tmp_path / "later.parquet")
    assert daypart(world.home, "ingest", "demand", tmp_path / "later.parquet").status == 0
    again = tmp_path / "again.parquet"
    output_after = daypart(world.home, "backtest", *SPAN, "--out", again, "--json").json
    assert output_after["scores"] == output["scores"]
    assert any(row["floor_bps"] for row in output_after["scores"] if row["target"] == "sales")
    assert pl.read_parquet(again).equals(pl.read_parquet(out))


def test_a_day_on_which_an_open_store_sold_nothing_is_scored_and_one_that_may_be_closed_is_counted(
    world: Any, daypart: Any, tmp_path: Path
) -> None:
    """One day of a store with hours, and of one without, has no rows: nothing else is another."""
    day, date_of = date(2024, 2, 21), pl.col("hour_local").dt.date()
    options = ("--start", "2024-02-19", "--end", "2024-03-04", "--targets", "orders", "--json")
    is_missing = pl.col("store_id").is_in(["S0001", "S0002"]) & (date_of == day)
    demand = world.lake.scan("demand").collect()
    assert demand.filter(is_missing)["store_id"].n_unique() == 2
    empty = demand.filter(is_missing).with_columns(pl.lit(None, pl.Float64).alias(name) for name in TARGETS)
    world.lake.upsert("demand", empty)
    hours = world.lake.scan("hours").filter(pl.col("store_id") != "S0002").collect()
    shutil.rmtree(world.home / "lake" / "hours")
    world.lake.upsert("hours", hours)
    out = tmp_path / "b.parquet"
    result = daypart(world.home, "backtest", *options[:-1], "--out", out)
    assert "store-days left out: 1 of orders: forecast as open" in result.out
    assert daypart(world.home, "backtest", *options, "--out", out).json["left_out"] == {"orders": 1}
    rows = pl.read_parquet(out).filter(date_of == day)
    idle, silent = (rows.filter(pl.col("store_id") == name)["actual"] for name in ("S0001", "S0002"))
    assert set(idle) == {0.0}
    assert silent.null_count() == silent.len() == 24
    assert "idle" not in rows.columns
