import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from daypart.flows.lake.lake import Lake

COMMANDS = (
    *("demo", "simulate", "ingest", "train", "tune", "forecast", "backtest", "monitor", "portfolio", "status"),
    *("promote", "rollback", "approve", "reject", "declare", "audit"),
)
HEAVY = ("lightgbm", "mlflow", "prefect", "statsforecast", "altair", "polars")
HEADER = "store_id,hour_local,orders\n"
ROW = "S0001,2024-03-05 12:00:00,5\n"
REFUSED = {
    "missing column": (b"store_id,orders\nS0001,5\n", "hour_local"),
    "unknown column": (b"store_id,hour_local,orders,mood\nS0001,2024-03-05 12:00:00,5,3\n", "mood"),
    "unparsable time": (
        (HEADER + ROW + "S0001,yesterday,5\n").encode(),
        "row 2 of FILE: hour_local 'yesterday'",
    ),
    "hour that does not exist": (
        (HEADER + "S0001,2024-03-10 02:00:00,5\n").encode(),
        "row 1 of FILE: hour_local '2024-03-10 02:00:00'",
    ),
    "negative number": (
        (HEADER + ROW + "S0001,2024-03-05 13:00:00,-1\n").encode(),
        "row 2 of FILE: orders '-1'",
    ),
    "unknown store": ((HEADER + "S0099,2024-03-05 12:00:00,5\n").encode(), "store_id 'S0099'"),
    "empty file": (b"", "is empty"),
    "only a header": (HEADER.encode(), "no rows"),
    "wrong encoding": ((HEADER + "Café,2024-03-05 12:00:00,5\n").encode("cp1252"), "utf-8"),
    "wrong delimiter": ((HEADER + ROW).replace(",", ";").encode(), "';'"),
    "keys that disagree": ((HEADER + ROW + ROW.replace(",5", ",6")).encode(), "2 rows refused"),
}
WRONG = {
    "unknown table": (("ingest", "sandwiches", "FILE"), "sandwiches"),
    "absent file": (("ingest", "demand", "nowhere.csv"), "nowhere.csv"),
    "pos without a mapping": (("ingest", "pos", "FILE"), "--mapping"),
    "unknown repeated hour": (
        ("ingest", "demand", "FILE", "--repeated-hour", "third"),
        "--repeated-hour is 'third': expected refuse, first, second, both",
    ),
    "unknown missing hour": (
        ("ingest", "demand", "FILE", "--missing-hour", "first"),
        "--missing-hour is 'first': expected refuse, earlier, later",
    ),
    "unknown store": (("forecast", "--store", "S0099"), "S0099"),
    "unknown store among known": (("forecast", "--store", "S0001", "--store", "S0099"), "S0099"),
    "unknown level": (
        ("forecast", "--level", "month"),
        "'month': expected hour, daypart, day, week, store, region, chain",
    ),
    "chain of some stores": (("forecast", "--level", "chain", "--store", "S0001"), "leave --store out"),
    "origin in the past": (("forecast", "--origin", "2024-02-01"), "past"),
    "origin far beyond the data": (("forecast", "--origin", "2025-01-01"), "beyond the data"),
    "origin that is no date": (("forecast", "--origin", "tomorrow"), "'tomorrow'"),
    "ending of another kind": (("forecast", "--refresh", "--out", "told.pdf"), ".pdf"),
    "ending that is missing": (("forecast", "--origin", "2024-03-06", "--out", "told"), "missing"),
    "folder that is not there": (("forecast", "--origin", "2024-03-06", "--out", "nowhere/a.csv"), "nowhere"),
    "as-of that is no date": (("train", "--as-of", "2024-13-01"), "2024-13-01"),
    "as-of before the data": (("train", "--as-of", "2020-01-01"), "2020-01-01"),
    "as-of with too little history": (("train", "--as-of", "2023-11-08"), "2023-11-08"),
    "as-of beyond the data": (("train", "--as-of", "2024-06-01"), "2024-06-01"),
    "unknown target": (("train", "--targets", "cups"), "cups"),
    "tuning of an unknown tier": (("tune", "--tier", "slow"), "no tier 'slow': expected standard"),
    "tuning as of before the data": (("tune", "--as-of", "2020-01-01"), "2020-01-01"),
    "tuning with too little history": (("tune", "--as-of", "2023-12-20"), "too little orders before 2023-12-20"),
    "tuning without a trial": (("tune", "--trials", "0"), "--trials"),
    "proposal of another kind": (("tune", "--out", "told.yaml"), ".yaml, expected .toml"),
    "proposal to nowhere": (("tune", "--out", "nowhere/told.toml"), "nowhere does not exist"),
    "unknown weather": (("train", "--weather", "perfect"), "perfect"),
    "span too short": (
        ("backtest", "--start", "2024-02-20", "--end", "2024-02-25", "--out", "b.parquet"),
        "2024-02-25",
    ),
    "start before the history": (
        ("backtest", "--start", "2023-11-10", "--end", "2024-02-25", "--out", "b.parquet"),
        "2023-11-10",
    ),
    "end beyond the data": (
        ("backtest", "--start", "2024-02-20", "--end", "2024-06-25", "--out", "b.parquet"),
        "2024-06-25",
    ),
    "backtest to another kind": (
        ("backtest", "--start", "2024-02-05", "--end", "2024-03-04", "--out", "b.pdf"),
        ".pdf",
    ),
    "empty start": (("backtest", "--start", "", "--end", "2024-03-04", "--out", "b.parquet"), "--start"),
    "horizon of no days": (
        ("backtest", "--start", "2024-02-05", "--end", "2024-03-04", "--out", "b.csv", "--horizon-days", "0"),
        "--horizon-days",
    ),
    "no start": (("backtest", "--end", "2024-03-04", "--out", "b.parquet"), "--start"),
    "no stores": (("simulate", "--stores", "0", "--years", "1", "--out", "chain"), "stores is 0: give 1 to 9999"),
    "too many stores": (("simulate", "--stores", "10000", "--years", "1", "--out", "chain"), "stores is 10000"),
    "no years": (("simulate", "--stores", "2", "--years", "0", "--out", "chain"), "years is 0: give 0.01 to 19.9"),
    "years that are no number": (("simulate", "--stores", "2", "--years", "nan", "--out", "chain"), "years is nan"),
    "negative seed": (("simulate", "--stores", "2", "--years", "1", "--seed", "-1", "--out", "chain"), "seed is -1"),
    "chain into a file": (("simulate", "--stores", "2", "--years", "1", "--out", "FILE"), "FILE.csv: is a file"),
    "chain below a file": (("simulate", "--stores", "2", "--years", "1", "--out", "FILE/chain"), "cannot be made"),
    "chain into a full folder": (("simulate", "--stores", "2", "--years", "1", "--out", "."), "is not empty"),
    "chain to nowhere": (("simulate", "--stores", "2", "--years", "1"), "--out"),
    "unknown command": (("guess",), "guess"),
    "unknown option": (("forecast", "--soon"), "--soon"),
}


def refuse(result, message: str) -> None:  # type: ignore[no-untyped-def]
    assert result.status == 2, result.err
    assert result.out == ""
    assert result.err.startswith("daypart: ")
    assert result.err.endswith("\n")
    assert result.err.count("\n") == 1, result.err
    assert message in result.err


def loaded(*arguments: object) -> set[str]:
    """Which heavy libraries a command has imported by its end."""
    code = (
        "import sys\nfrom daypart.flows.cli import main\ntry:\n    main()\nfinally:\n"
        f"    print(*[name for name in {HEAVY!r} if name in sys.modules], sep=',', file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert completed.stdout
    return set(completed.stderr.strip().split(",")) - {""}


def test_help_loads_nothing_heavy() -> None:
    assert loaded("--help") == set()
    assert loaded("forecast", "--help") == set()


def test_reading_a_published_day_loads_no_model_registry_or_orchestrator(published_world) -> None:  # type: ignore[no-untyped-def]
    home = published_world.home
    assert loaded("--home", home, "forecast", "--store", "S0001") == {"polars"}


def test_the_entry_without_arguments_is_help(daypart, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = daypart(tmp_path, "--help")
    assert result.status == 0
    assert all(f"  {command} " in result.out for command in COMMANDS)


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_are_wrong_are_refused_in_one_line(world, daypart, tmp_path: Path, case: str) -> None:  # type: ignore[no-untyped-def]
    content, message = REFUSED[case]
    file = tmp_path / "demand.csv"
    file.write_bytes(content)
    before = world.versions()
    refuse(daypart(world.home, "ingest", "demand", file), message.replace("FILE", str(file)))
    assert world.versions() == before


@pytest.mark.parametrize("case", WRONG)
def test_arguments_that_are_wrong_are_refused_in_one_line(  # type: ignore[no-untyped-def]
    world, daypart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    arguments, message = WRONG[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE.csv").write_text(HEADER + ROW)
    command_line = [argument.replace("FILE", "FILE.csv") for argument in arguments]
    before, files = world.versions(), set(tmp_path.iterdir())
    refuse(daypart(world.home, *command_line), message)
    assert world.versions() == before
    assert set(tmp_path.iterdir()) == files


def test_an_unknown_time_zone_is_refused(world, daypart, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "stores.csv"
    file.write_text("store_id,timezone,country\nS0009,America/Nowhere,US\n")
    before = world.versions()
    refuse(daypart(world.home, "ingest", "stores", file), "America/Nowhere")
    assert world.versions() == before


def test_a_mapping_of_absent_columns_is_refused(world, daypart, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    lines, mapping = tmp_path / "lines.csv", tmp_path / "mapping.toml"
    lines.write_text("Store,At,No,Total\nS0001,2024-03-05 12:00:00,1,2.5\n")
    mapping.write_text('[columns]\nstore = "Store"\ntimestamp = "At"\nticket = "No"\nline_total = "Gross"\n')
    before = world.versions()
    refuse(daypart(world.home, "ingest", "pos", lines, "--mapping", mapping), "no column Gross")
    assert world.versions() == before
    mapping.write_text(mapping.read_text().replace("Gross", "Total"))
    assert daypart(world.home, "ingest", "pos", lines, "--mapping", mapping, "--json").json["rows_taken"] == 1


def test_a_store_without_history_is_forecast_from_its_like(world, daypart, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file, out = tmp_path / "stores.csv", tmp_path / "new.parquet"
    refuse(daypart(world.home, "forecast", "--store", "S0009"), "unknown store S0009")
    file.write_text("store_id,timezone,country\nS0009,America/New_York,US\n")
    assert daypart(world.home, "ingest", "stores", file).status == 0
    assert daypart(world.home, "forecast", "--store", "S0009", "--out", out).status == 0
    forecast_rows = pl.read_parquet(out)
    for _, rows in forecast_rows.group_by("target"):
        # Clocks go forward in the horizon.
        assert rows.height == 14 * 24 - 1
        assert rows["forecast"].sum() > 0 == rows["incumbent"].sum()
        assert set(rows["basis"]) == {"rests on stores like it and on the model of all stores"}


def test_nothing_can_be_made_before_any_demand(daypart, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    home = tmp_path / "home"
    for command in ("train", "forecast", "monitor", "status"):
        refuse(daypart(home, command), f"no home {home}")
    assert not home.exists(), "asking leaves nothing behind"
    home.mkdir()
    for command in ("train", "forecast"):
        refuse(daypart(home, command), "ingest stores")
    refuse(daypart(home, "monitor"), "no forecast")
    refuse(
        daypart(home, "backtest", "--start", "2024-01-01", "--end", "2024-02-01", "--out", tmp_path / "b.csv"),
        "ingest",
    )
    empty = {"tables": [], "models": [], "published": {}, "pending": [], "undeclared": [], "notices": []}
    assert daypart(home, "status", "--json").json == {"home": str(home), **empty}
    assert "empty home" in daypart(home, "status").out
    assert not list(home.iterdir()), "asking leaves nothing behind"


def test_there_is_no_forecast_without_a_champion(untrained, daypart) -> None:  # type: ignore[no-untyped-def]
    before = untrained.versions()
    refuse(daypart(untrained.home, "forecast"), "daypart train")
    assert untrained.versions() == before


def test_status_tells_what_the_home_holds(world, daypart) -> None:  # type: ignore[no-untyped-def]
    report = daypart(world.home, "status", "--json").json
    tables = {row["table"]: row for row in report["tables"]}
    assert {name: row["version"] for name, row in tables.items()} == world.lake.versions()
    demand = world.lake.scan("demand").collect()
    assert tables["demand"]["rows"] == demand.height
    assert tables["demand"]["first"] == demand["hour_local"].min().isoformat()
    assert tables["stores"]["last"] is None
    assert [(row["target"], row["champion"]) for row in report["models"]] == [("orders", 1), ("sales", 1)]
    assert report["published"]["origin"] == world.origin.isoformat()
    human = daypart(world.home, "status")
    assert human.out.splitlines()[2].split() == ["table", "version", "rows", "first", "last"]
    assert all(name in human.out for name in (*tables, "orders", "sales", str(world.origin)))
    assert "{" not in human.out


def test_a_fault_of_ours_ends_with_status_1(world, daypart, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("daypart.flows.jobs.status.status", lambda *_: 1 / 0)
    result = daypart(world.home, "status", "--json")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
    assert "ZeroDivisionError" in result.err
    monkeypatch.setenv("DAYPART_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        daypart(world.home, "status")


def test_an_interrupt_ends_with_status_1(world, daypart, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("daypart.flows.jobs.status.status", interrupted)
    result = daypart(world.home, "status")
    assert (result.status, result.err) == (1, "daypart: stopped; nothing was half-written\n")


def test_ingest_prints_counts_and_repeats_itself_without_a_new_version(world, daypart, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "demand.csv"
    file.write_text(HEADER + ROW + "S0001,2024-03-05 13:00:00,6\n")
    first = daypart(world.home, "ingest", "demand", file, "--json").json
    assert (first["rows_taken"], first["rows_replaced"], first["rows_refused"]) == (2, 0, 0)
    version = world.lake.version("demand")
    again = daypart(world.home, "ingest", "demand", file)
    assert again.status == 0
    assert "rows_unchanged  2" in again.out
    assert world.lake.version("demand") == version == first["version"]


def test_bad_rows_may_be_skipped(world, daypart, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "demand.csv"
    file.write_text(HEADER + ROW + "S0001,2024-03-05 13:00:00,-6\n")
    report = daypart(world.home, "ingest", "demand", file, "--skip-bad", "--json").json
    assert (report["rows_taken"], report["rows_refused"]) == (1, 1)
    assert pl.read_csv(report["refused_file"]).height == 1


def test_the_hours_at_which_clocks_change_come_in_by_options(daypart, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    home, files = tmp_path / "home", {}
    for name, text in {
        "stores": "store_id,timezone,country\nB,Europe/Berlin,DE\n",
        "labor": "store_id,hour_local,worked_hours\nB,2025-10-26 02:00:00,1\nB,2025-10-26 02:00:00,2\n",
        "demand": "store_id,hour_local,orders\nB,2025-03-30 02:00:00,5\n",
        "lines": "At,No,Total\n2025-03-30 02:10:00,1,3\n2025-10-26 02:40:00,2,3\n2025-10-26 02:05:00,3,3\n",
    }.items():
        files[name] = tmp_path / f"{name}.csv"
        files[name].write_text(text)
    mapping = tmp_path / "pos.toml"
    mapping.write_text('store_id = "B"\n[columns]\ntimestamp = "At"\nticket = "No"\nline_total = "Total"\n')
    assert daypart(home, "ingest", "stores", files["stores"]).status == 0
    refuse(daypart(home, "ingest", "labor", files["labor"]), "pass --repeated-hour first, second or both")
    refuse(daypart(home, "ingest", "demand", files["demand"]), "pass --missing-hour earlier or later")
    pos = ("ingest", "pos", files["lines"], "--mapping", mapping)
    refuse(daypart(home, *pos), "--missing-hour to earlier or later")
    assert daypart(home, "ingest", "labor", files["labor"], "--repeated-hour", "both").status == 0
    assert daypart(home, "ingest", "demand", files["demand"], "--missing-hour", "earlier").status == 0
    refuse(daypart(home, *pos, "--missing-hour", "later"), "--repeated-hour to first, second or both")
    assert daypart(home, *pos, "--missing-hour", "later", "--repeated-hour", "both").status == 0
    lake = Lake(home / "lake")
    labor = lake.scan("labor").select("hour_utc", "worked_hours").collect().rows()
    assert sorted(labor) == [(datetime(2025, 10, 26, 0), 1.0), (datetime(2025, 10, 26, 1), 2.0)]
    demand = lake.scan("demand").select("hour_utc", "orders").collect().rows()
    autumn = [(datetime(2025, 10, 26, hour), 1.0) for hour in (0, 1)]
    assert sorted(demand) == [(datetime(2025, 3, 30, 0), 5.0), (datetime(2025, 3, 30, 1), 1.0), *autumn]


def test_two_ingests_at_once_leave_both_in(
    world, process: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    before = world.lake.scan("demand").collect().height
    for store in ("S0001", "S0002"):
        rows = [f"{store},2024-03-{day:02} {hour:02}:00:00,5" for day in range(5, 10) for hour in range(24)]
        (tmp_path / f"{store}.csv").write_text(HEADER + "\n".join(rows) + "\n")
    files = [tmp_path / "S0001.csv", tmp_path / "S0002.csv"]
    both = [process(world.home, "ingest", "demand", file, "--json") for file in files]
    outputs = [ingest.communicate(timeout=100) for ingest in both]
    assert [ingest.returncode for ingest in both] == [0, 0], outputs
    assert [json.loads(out)["rows_taken"] for out, _ in outputs] == [120, 120]
    assert world.lake.scan("demand").collect().height == before + 240


def test_the_home_comes_from_the_environment_too(published_world, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    completed = subprocess.run(
        [sys.executable, "-c", "from daypart.flows.cli import main; main()", "status", "--json"],
        env={**os.environ, "DAYPART_HOME": str(published_world.home)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (completed.returncode, completed.stderr) == (0, "")
    assert len(json.loads(completed.stdout)["models"]) == 2
    with sqlite3.connect(published_world.home / "mlflow.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
