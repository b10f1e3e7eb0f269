import json
import signal
import subprocess
import zipfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from daypart.flows.lake.lake import Lake

COLUMNS = [
    "store_id", "target", "origin_date", "lead_days", "hour_local", "hour_utc", "business_date", "daypart",
    "forecast", "q10", "q50", "q90", "incumbent", "model_version", "tier",
]  # fmt: skip
NUMBERS = ["forecast", "q10", "q50", "q90", "incumbent"]
KEY = ["store_id", "target", "origin_date", "hour_utc"]
KILL = """
import os, signal
import daypart.flows.lake.lake as lake
commit = lake.Lake.replace
def struck(self, *arguments, **named):
    if {after}:
        commit(self, *arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
lake.Lake.replace = struck
"""
SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def sheet(path: Path) -> list[list[str | None]]:
    """The cells of the first sheet as text, read from the XML itself."""
    with zipfile.ZipFile(path) as book:
        shared = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        texts = ["".join(part.text or "" for part in item.iter(f"{SPACE}t")) for item in shared]
        rows = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml")).iter(f"{SPACE}row")
        return [[_cell(cell, texts) for cell in row] for row in rows]


def _cell(cell: ElementTree.Element, texts: list[str]) -> str | None:
    value = cell.find(f"{SPACE}v")
    if value is None or value.text is None:
        return None
    return texts[int(value.text)] if cell.get("t") == "s" else value.text


def local_hours(store: dict[str, Any], origin: Any, days: int = 14) -> list[datetime]:
    """Every real clock hour of a store's horizon in UTC, by walking the clock hour by hour."""
    zone = ZoneInfo(store["timezone"])
    hour = datetime(origin.year, origin.month, origin.day, tzinfo=zone).astimezone(ZoneInfo("UTC"))
    end = origin + timedelta(days=days)
    hours = []
    while hour.astimezone(zone).date() < end:
        hours.append(hour.replace(tzinfo=None))
        hour += timedelta(hours=1)
    return hours


def test_every_open_store_has_all_its_hours_in_order(published_world: Any) -> None:
    rows = published_world.forecasts()
    assert rows.columns[: len(COLUMNS)] == COLUMNS
    assert rows.select(KEY).is_unique().all()
    for store in published_world.chain.tables["stores"].to_dicts():
        hours = local_hours(store, published_world.origin)
        for target in ("orders", "sales"):
            store_rows = rows.filter(pl.col("store_id") == store["store_id"], pl.col("target") == target)
            assert store_rows["hour_utc"].to_list() == hours
    assert (
        len({len(local_hours(s, published_world.origin)) for s in published_world.chain.tables["stores"].to_dicts()})
        == 2
    )
    days = (rows["hour_local"].dt.date() - rows["origin_date"]).dt.total_days()
    assert (days == rows["lead_days"]).all()
    assert rows.select(pl.col(NUMBERS).is_finite().all() & (pl.col(NUMBERS) >= 0).all()).row(0) == (True,) * 5
    assert rows.select((pl.col("q10") <= pl.col("q50")).all(), (pl.col("q50") <= pl.col("q90")).all()).row(0) == (
        True,
        True,
    )


def test_closed_hours_are_zero(published_world: Any) -> None:
    rows, hours = published_world.forecasts(), published_world.chain.tables["hours"]
    week = hours.filter(pl.col("store_id") == "S0001").to_dicts()
    opens = {row["weekday"]: int(row["opens"][:2]) for row in week}
    store_rows = rows.filter(pl.col("store_id") == "S0001").with_columns(
        opens=pl.col("hour_local").dt.weekday().replace_strict(opens, return_dtype=pl.Int8),
    )
    closes = {row["weekday"]: row["closes"] for row in week}
    assert all(row["closes"] > row["opens"] for row in week), f"none passes midnight: {closes}"
    closed = store_rows.filter(pl.col("hour_local").dt.hour() < pl.col("opens"))
    assert closed.height
    assert closed.select(pl.sum_horizontal(NUMBERS).sum()).item() == 0
    assert store_rows.filter(pl.col("hour_local").dt.hour() == 12)["forecast"].min() > 0


def test_files_of_all_kinds_have_the_same_rows(world: Any, daypart: Any, tmp_path: Path) -> None:
    before = world.versions()
    for ending in ("csv", "parquet", "xlsx"):
        result = daypart(world.home, "forecast", "--out", tmp_path / f"told.{ending}")
        assert result.status == 0, result.err
        assert result.out == f"2,682 rows, 4 stores, origin 2024-03-05: {tmp_path / f'told.{ending}'}\n"
    parquet = pl.read_parquet(tmp_path / "told.parquet")
    assert parquet.equals(world.forecasts())
    csv = pl.read_csv(tmp_path / "told.csv", schema=parquet.schema)
    assert csv.equals(parquet), "not one bit is lost in CSV"
    header, *cells = sheet(tmp_path / "told.xlsx")
    assert header == parquet.columns
    assert len(cells) == parquet.height
    assert [row[0] for row in cells] == parquet["store_id"].to_list()
    assert [float(row[8] or "nan") for row in cells] == pytest.approx(parquet["forecast"].to_list())
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == {"told.csv", "told.parquet", "told.xlsx"}
    assert world.versions() == before


def test_json_has_every_row_and_the_table_every_day(world: Any, daypart: Any) -> None:
    output = daypart(world.home, "forecast", "--store", "S0003", "--store", "S0001", "--json").json
    rows = output["forecasts"]
    expected_rows = world.forecasts().filter(pl.col("store_id").is_in(["S0001", "S0003"]))
    assert output["rows"] == len(rows) == expected_rows.height
    assert [row["forecast"] for row in rows] == expected_rows["forecast"].to_list()
    human = daypart(world.home, "forecast", "--store", "S0001").out
    assert all(name in human for name in ("breakfast", "lunch", "dinner", "orders-v1", "sales-v1"))
    table = [line for line in human.splitlines() if "S0001" in line]
    assert "…" not in human
    assert len(table) == 28
    day = expected_rows.filter(pl.col("store_id") == "S0001", pl.col("target") == "orders", pl.col("lead_days") == 0)
    assert f"{day['forecast'].sum():,.0f}" in table[0].replace(".0", "").split()
    assert "the chain by day" in daypart(world.home, "forecast").out


def test_forecasting_again_writes_nothing_new(world: Any, daypart: Any) -> None:
    before, rows = world.versions(), world.forecasts()
    for again in ((), ("--refresh",), ("--origin", "2024-03-05")):
        assert daypart(world.home, "forecast", *again).status == 0
        assert world.versions() == before
    assert world.forecasts().equals(rows)


def test_late_data_does_not_stop_a_forecast(world: Any, daypart: Any) -> None:
    first = daypart(world.home, "forecast", "--origin", "2024-03-07", "--json").json
    assert {row["origin_date"] for row in first["forecasts"]} == {"2024-03-07"}
    again = daypart(world.home, "forecast", "--origin", "2024-03-07", "--json").json
    assert again["forecasts"] == first["forecasts"]
    assert daypart(world.home, "forecast", "--json").json["forecasts"][0]["origin_date"] == "2024-03-05"


def test_targets_that_end_on_different_days_share_an_origin(world: Any, daypart: Any, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    hours = "".join(f"S0001,2024-03-05 {hour:02}:00:00,5\n" for hour in range(5, 24))
    file.write_text(f"store_id,hour_local,orders\n{hours}S0001,2024-03-06 12:00:00,0\n")
    assert daypart(world.home, "ingest", "demand", file).status == 0
    rows = daypart(world.home, "forecast", "--json").json["forecasts"]
    origins = {(row["target"], row["origin_date"]) for row in rows}
    assert origins == {("orders", "2024-03-06"), ("sales", "2024-03-06")}, "a zero is no demand"


def test_a_store_that_came_later_is_forecast_too(world: Any, daypart: Any, tmp_path: Path) -> None:
    (tmp_path / "stores.csv").write_text("store_id,timezone,country\nNEW,America/New_York,US\n")
    lines = [f"NEW,2024-03-{day:02} {hour:02}:00:00,{hour},{2 * hour}" for day in range(1, 5) for hour in range(8, 18)]
    (tmp_path / "demand.csv").write_text("store_id,hour_local,orders,sales\n" + "\n".join(lines) + "\n")
    for table in ("stores", "demand"):
        assert daypart(world.home, "ingest", table, tmp_path / f"{table}.csv").status == 0
    forecasts = daypart(world.home, "forecast", "--store", "S0001", "--store", "NEW", "--json").json["forecasts"]
    assert {row["store_id"] for row in forecasts} == {"S0001", "NEW"}
    human = daypart(world.home, "forecast", "--store", "NEW").out
    assert "rests on 4 open days" in human


def test_a_store_closed_for_good_has_no_forecast(world: Any, daypart: Any, tmp_path: Path) -> None:
    (tmp_path / "stores.csv").write_text("store_id,timezone,country,closed_on\nS0002,America/Toronto,CA,2024-03-05\n")
    assert daypart(world.home, "ingest", "stores", tmp_path / "stores.csv").status == 0
    assert daypart(world.home, "forecast", "--refresh").status == 0
    assert set(world.forecasts()["store_id"]) == {"S0001", "S0003", "S0004"}
    result = daypart(world.home, "forecast", "--store", "S0002", "--out", tmp_path / "a.csv")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "S0002" in result.err
    assert not (tmp_path / "a.csv").exists()


def test_a_model_that_knows_the_future_is_refused(world: Any, untrained: Any, daypart: Any) -> None:
    assert daypart(untrained.home, "ingest", "demand", untrained.files / "later.parquet").status == 0
    assert daypart(untrained.home, "train").status == 0
    result = daypart(untrained.home, "forecast", "--origin", world.origin)
    assert result.status == 2
    assert "past" in result.err


@pytest.mark.parametrize("after", [pytest.param(False, marks=pytest.mark.faults), True])
def test_a_killed_forecast_can_be_done_again(
    world: Any, daypart: Any, process: Callable[..., subprocess.Popen[str]], after: bool
) -> None:
    rows, table = world.forecasts(), world.home / "lake" / "forecasts"
    for path in sorted(table.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    dying = process(world.home, "forecast", before=KILL.format(after=after))
    _, stderr = dying.communicate(timeout=100)
    assert dying.returncode == -signal.SIGKILL, stderr
    assert Lake(world.home / "lake").exists("forecasts") == after
    assert daypart(world.home, "forecast").status == 0
    assert world.forecasts().equals(rows)
    assert world.lake.version("forecasts") == 0


def test_what_is_printed_can_be_piped(published_world: Any, process: Callable[..., subprocess.Popen[str]]) -> None:
    stdout, stderr = process(published_world.home, "forecast", "--json").communicate(timeout=100)
    assert stderr == ""
    assert json.loads(stdout)["rows"] == published_world.forecasts().height


@pytest.mark.faults
@pytest.mark.parametrize("file_bytes", [2_000, 60_000])
def test_a_disk_that_fills_while_publishing_leaves_the_last_forecast(
    world: Any, daypart: Any, process: Any, file_bytes: int
) -> None:
    """No file may grow beyond so many bytes."""
    before, version = world.forecasts(), world.lake.version("forecasts")
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({file_bytes}, {file_bytes}))"
    failing = process(world.home, "forecast", "--refresh", before=limit)
    _, stderr = failing.communicate(timeout=100)
    assert (failing.returncode, stderr.count("\n")) == (1, 1)
    assert "the disk is full" in stderr or "forecasts was not written" in stderr
    assert world.lake.version("forecasts") == version
    assert world.forecasts().equals(before)
    assert daypart(world.home, "forecast", "--refresh").status == 0
    assert world.forecasts().equals(before)
