"""Homes and files whose names libraries read otherwise, homes that are not there, and homes above the working folder."""

import shutil
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from daypart.features.errors import InputError
from daypart.flows.config.home_access import nearest_home
from daypart.flows.config.settings import Settings
from daypart.flows.files import exports, table_files
from daypart.flows.lake.delta_log import DeltaLog
from daypart.flows.lake.integrity import verify
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import lake_table
from daypart.flows.registry import tuning_studies
from tests.flows.conftest import Daypart, World

TAKEN = (
    "My Stores", "José", "Jose\u0301", "日本", "a#b", "{a,b}", "a'b", 'a"b', "😀", "-lead", "dot.", "a&b;c", "~x", "a:b",
    "a+b", "$HOME", "a`b", "<x>", "x" * 120,
)  # fmt: skip
REFUSED = ("a%20b", "why?", "a[b]", "a*b", "a|b", "a^b", "a=b", "a\\b", "a\nb", "a\x7fb")
WORST = 'José\'s #1 {Cafe\u0301, "Bar"} 😀 & Co.'
ODD_FILES = (*TAKEN[:-1], "a%20b", "why?", "a[b]", "a*b", "a|b", "a=b", "a\\b")
HOUR = datetime(2025, 1, 1, 8)
READING = (
    ["status"], ["status", "--verify"], ["status", "--at", "2025-01-01"], ["audit"], ["audit", "--verify"], ["forecast"],
    ["explain", "--store", "A", "--date", "2025-01-01"], ["card", "orders"], ["portfolio"], ["monitor"], ["train"],
    ["backtest", "--start", "2025-01-01", "--end", "2025-02-01", "--out", "x.parquet"], ["tune"], ["maintain"],
    ["replay", "--start", "2025-01-01", "--end", "2025-02-01", "--out", "x.html"], ["approve", "orders", "--role", "lead"],
    ["promote", "orders", "--role", "lead"], ["rollback", "orders", "--role", "lead"], ["reject", "1", "--role", "lead"],
    ["declare", "--role", "lead"],
)  # fmt: skip


def demand(orders: float, month: int = 1) -> pl.DataFrame:
    hour = HOUR.replace(month=month)
    return pl.DataFrame({"store_id": ["A"], "hour_local": [hour], "hour_utc": [hour], "orders": [orders]})


@pytest.mark.parametrize("name", TAKEN)
def test_tables_in_a_home_of_any_taken_name_are_written_read_and_checked(name: str, tmp_path: Path) -> None:
    root = Settings(home=tmp_path / name / "home").lake
    lake = Lake(root)
    lake.upsert("demand", demand(1.0))
    lake.upsert("demand", demand(2.0))
    lake.upsert("demand", demand(3.0, month=2))
    assert lake.scan("demand").sort("hour_utc").collect()["orders"].to_list() == [2.0, 3.0]
    assert lake.scan("demand", 0).collect()["orders"].to_list() == [1.0]
    assert lake.edge("demand", "hour_utc", "max") == HOUR.replace(month=2)
    assert DeltaLog(root, lake_table("demand")).damages() == []
    assert verify(lake).damages == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_studies_in_a_home_of_the_worst_name_are_kept(tmp_path: Path) -> None:
    folder = Settings(home=tmp_path / WORST).studies
    for _ in range(2):
        with tuning_studies.open_study(folder, "s") as study:
            assert study.trials == []
    assert {path.name for path in folder.iterdir()} == {"s.db", "s.lock"}


@pytest.mark.parametrize("name", REFUSED)
def test_other_names_are_refused_before_anything_is_made(name: str, daypart: Daypart, tmp_path: Path) -> None:
    stores = tmp_path / "stores.csv"
    stores.write_text("store_id,timezone,country\nA,UTC,US\n")
    result = daypart(tmp_path / name / "home", "ingest", "stores", stores)
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert "a home cannot have" in result.err
    assert not (tmp_path / name).exists()


def test_a_whole_day_in_the_home_of_the_worst_name(published_world: World, daypart: Daypart, tmp_path: Path) -> None:
    home = tmp_path / WORST / "Home of all"
    for table, file in (("stores", "stores"), ("demand", "demand")):
        result = daypart(home, "ingest", table, published_world.files / f"{file}.parquet")
        assert result.status == 0, result.err
    assert daypart(home, "train", "--targets", "orders", "--weather", "none", "--json").json
    out = home.parent / "Prévisions [1]*.csv"
    assert daypart(home, "forecast", "--out", out).status == 0
    assert table_files.read(out).height > 0
    assert daypart(home, "ingest", "demand", published_world.files / "later.parquet").status == 0
    assert daypart(home, "monitor", "--json").json["scores"]
    assert daypart(home, "status", "--json").json["home"] == str(home)
    assert daypart(home, "status", "--verify").status == 0
    assert daypart(home, "status").out.splitlines()[0] == f"home {home}"
    assert daypart(home, "audit", "--verify", "--json").json["home"] == str(home)
    assert daypart(home, "audit").out.splitlines()[0] == f"home {home}"
    assert [path.name for path in tmp_path.iterdir()] == [WORST]


def test_a_home_moved_to_such_a_name_goes_on(published_world: World, daypart: Daypart, tmp_path: Path) -> None:
    home = tmp_path / "José" / "a#b 😀"
    shutil.copytree(published_world.home, home)
    day = published_world.origin.isoformat()
    assert daypart(home, "forecast", "--json").json
    assert daypart(home, "status", "--at", day, "--no-rebuild", "--json").json["home"] == str(home)
    assert daypart(home, "audit", "--verify").status == 0


@pytest.mark.parametrize("name", ODD_FILES)
def test_files_of_any_name_are_read_and_written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame({"store_id": ["A", "B"], "orders": [1.0, 2.0]})
    (tmp_path / name).mkdir()
    (tmp_path / "aXb").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for ending in exports.EXPORT_ENDINGS:
        for path in (tmp_path / name / f"{name}{ending}", Path(name) / f"{name}{ending}"):
            exports.write(rows, path, ending)
            assert path.exists()
            assert ending == ".xlsx" or table_files.read(path).height == 2
    assert len(table_files.find([Path(name)])) == len(exports.EXPORT_ENDINGS)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_a_home_that_is_not_there_ends_every_reading_command(
    command: list[str], daypart: Daypart, tmp_path: Path
) -> None:
    result = daypart(tmp_path / "absent", *command)
    assert (result.status, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert f"no home {tmp_path / 'absent'}" in result.err
    assert not (tmp_path / "absent").exists()


def test_a_home_is_looked_for_here_and_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.delenv("DAYPART_HOME", raising=False)
    outside = nearest_home()
    assert outside == below / ".daypart" or not outside.is_relative_to(tmp_path)
    (tmp_path / ".daypart").mkdir()
    assert nearest_home() == tmp_path / ".daypart" == Settings().home
    (tmp_path / "a" / ".daypart").write_text("a file is no home")
    assert nearest_home() == tmp_path / ".daypart"
    (below / ".daypart").mkdir()
    assert nearest_home() == below / ".daypart"
    monkeypatch.setenv("DAYPART_HOME", str(tmp_path / "named"))
    assert Settings().home == tmp_path / "named"


def test_a_first_tilde_that_is_nobody_s_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(home=Path("~nobody-of-that-name")).home == tmp_path / "~nobody-of-that-name"
    with pytest.raises(InputError, match="not text in UTF-8"):
        Settings(home=tmp_path / "\udcff")
