"""What no option, file or table can mean is refused by every command in one line with status 2."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer

from daypart.features.errors import InputError
from daypart.features.tables.schemas import TABLES
from daypart.flows.cli import options
from daypart.flows.config.settings import Settings

COMMANDS: dict[str, Any] = typer.main.get_command(options.app).commands  # type: ignore[attr-defined]
SPAN = ("--start", "2024-02-01", "--end", "2024-03-04")
NEEDED: dict[str, tuple[str, ...]] = {
    "simulate": ("--stores", "1", "--years", "0.1", "--out", "chain"),
    "ingest": ("demand", "nowhere.csv"),
    "backtest": (*SPAN, "--out", "b.csv"),
    "replay": SPAN,
    "explain": ("--store", "S0001", "--date", "2024-03-06"),
    "card": ("orders",),
    "promote": ("orders", "--role", "lead"),
    "rollback": ("orders", "--role", "lead"),
    "approve": ("1", "--role", "lead"),
    "reject": ("1", "--role", "lead"),
    "declare": ("--role", "engineer"),
    "deploy": ("--api-url", "http://127.0.0.1:9"),
}
"""What a command cannot do without, all of it well-formed."""
DATES = ("--origin", "--as-of", "--at", "--since", "--date", "--start", "--end")
BUILDS_A_HOME = ("demo", "simulate", "ingest", "deploy")


def options_of(command: str) -> Iterator[tuple[str, Any]]:
    for parameter in COMMANDS[command].params:
        if parameter.param_type_name == "option" and not parameter.is_flag:
            yield parameter.opts[0], parameter.type_descriptor.annotation


def assert_refused(result: Any, words: str = "") -> None:
    assert (result.status, result.out) == (2, ""), result
    assert result.err.startswith("daypart: ")
    assert result.err.count("\n") == 1, result.err
    assert words in result.err


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_value_is_refused_by_name(shared_world: Any, daypart: Any, command: str) -> None:
    before = shared_world.versions()
    for name, _ in options_of(command):
        for arguments in ([name, ""], [f"{name}="], [name, "  "]):
            assert_refused(
                daypart(shared_world.home, command, *NEEDED.get(command, ()), *arguments), f"{name} is empty"
            )
    assert_refused(daypart(shared_world.home, command, ""), "is empty")
    assert shared_world.versions() == before


def test_an_empty_home_is_refused_and_an_empty_variable_is_unset(
    daypart: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert_refused(daypart(Path("x"), "--home", "", "status"), "--home is empty")
    monkeypatch.setenv("DAYPART_HOME", "")
    monkeypatch.setenv("DAYPART_SEED", "")
    assert (Settings().home, Settings().seed) == (tmp_path / ".daypart", 7)
    monkeypatch.setenv("DAYPART_HOME", " ")
    with pytest.raises(InputError, match="a home needs a name"):
        Settings()


@pytest.mark.parametrize("command", COMMANDS)
def test_numbers_that_no_option_takes_are_refused(shared_world: Any, daypart: Any, command: str) -> None:
    before = shared_world.versions()
    for name, kind in options_of(command):
        if kind is int:
            wrong = ("nan", "1e20", "true", "1.5", "-1", str(10**20))
        elif kind is float:
            wrong = ("nan", "inf", "-1", "many")
        else:
            continue
        for value in wrong:
            result = daypart(shared_world.home, command, *NEEDED.get(command, ()), name, value)
            assert_refused(result)
            assert name in result.err or name.strip("-").replace("-", "_") in result.err, (value, result.err)
    assert shared_world.versions() == before


@pytest.mark.parametrize("command", COMMANDS)
def test_dates_that_no_calendar_of_ours_has_are_refused(shared_world: Any, daypart: Any, command: str) -> None:
    before = shared_world.versions()
    for name in (name for name, _ in options_of(command) if name in DATES):
        for value in ("0001-01-01", "9999-12-31", "2024-02-30", "nan", "0"):
            assert_refused(daypart(shared_world.home, command, *NEEDED.get(command, ()), name, value), name)
    assert shared_world.versions() == before


def test_counts_of_nothing_are_refused(shared_world: Any, daypart: Any) -> None:
    zeros = {
        "card": ("--version",), "promote": ("--version",), "rollback": ("--version",), "tune": ("--trials",),
        "backtest": ("--every-days", "--horizon-days", "--retrain-every-days"), "replay": ("--every-days",),
        "simulate": ("--stores", "--years"), "deploy": ("--port",),
    }  # fmt: skip
    for command, names in zeros.items():
        for name in names:
            assert_refused(daypart(shared_world.home, command, *NEEDED.get(command, ()), name, "0"))


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in BUILDS_A_HOME])
def test_a_home_that_is_not_there_shows_nothing_and_is_not_made(daypart: Any, tmp_path: Path, command: str) -> None:
    home = tmp_path / "nowhere"
    assert_refused(daypart(home, command, *NEEDED.get(command, ())))
    if command == "audit":
        assert_refused(daypart(home, "audit", "--verify"), f"no home {home}")
    assert not home.exists()


READ_BY = {
    "settings.toml": ("portfolio",),
    "policy.toml": ("monitor",),
    "recipes.toml": ("backtest", *SPAN, "--out", "b.csv"),
    "portfolio.toml": ("portfolio",),
    "governance.toml": ("promote", "orders", "--role", "lead", "--version", "1"),
}
MAY = "responsible = ['lead']\naccountable = 'lead'"
WRONG = {
    "settings.toml": [
        "seed = 1e20", "seed = true", "seed = -1", "seed = 7.0", "seed = 99999999999", "seed = '7'", "seed = [1]",
        "[seed]\nx = 1", "workers = 0", "workers = true", "workers = 1e3", "cpu_hour_dollars = inf",
        "cpu_hour_dollars = nan", "gib_hour_dollars = true", "gib_hour_dollars = -1", "timezone = ''", "timezone = 5",
        "scheduler = ''", "engine = ''", "nope = 1", "home = 'x'",
    ],
    "policy.toml": [
        "[policy.nope]", "[policy.nope]\nslip_bps = 1", "[nope]", "policy = 1", "[[policy]]", "[policy]\nnope = 1",
        "[policy]\nslip_bps = inf", "[policy]\ngain_bps = nan", "[policy]\nslip_bps = true",
        "[policy]\nslip_bps = '20'", "[policy]\nwindow_days = 7.5", "[policy]\ncooldown_days = 99999999999",
        "[policy]\nretrain = ''", "[policy.standard.more]\nslip_bps = 1",
    ],
    "recipes.toml": [
        "[recipe.standard]\nrounds = 99999999999", "[recipe.standard]\nrounds = true",
        "[recipe.standard]\nrounds = 1e20", "[recipe.standard]\nlearning_rate = nan",
        "[recipe.standard]\nhistory_days = 99999999999", "[recipe.standard]\nmembers = []",
        "[recipe.standard]\nmembers = ['nope']", "[recipe.standard]\nseed = 1", "[recipe.standard.nope]\nrounds = 3",
        "[recipe.'a b']", "[recipe]\nx = 1", "recipe = 1", "[nope]",
    ],
    "portfolio.toml": [
        "[tiers.top]\ntrials = 0", "[tiers.top]\ntrials = 1e20", "[tiers.top]\nretrain_days = 99999999999",
        "[tiers.top]\nengine = 'nope'", "[tiers.'a b']", "tiers = 1", "[segments]\nby = 'nope'",
        "[segments]\nclasses = 99999999999", "[segments]\nby = 'volume'\ncuts = [inf]",
        "[segments]\nby = 'volume'\ncuts = [nan]", "segments = 1", "[[assign]]\ntier = 'nope'", "assign = 1", "[nope]",
    ],
    "governance.toml": [
        f"[raci.default.nope]\n{MAY}",
        "[raci.default.promote]\nresponsible = []\naccountable = 'lead'",
        "[raci.default.promote]\nresponsible = ['nobody']\naccountable = 'lead'",
        "[raci.default.promote]\nresponsible = ['lead']\naccountable = ''", "raci = 1", "[roles]\nx = 1", "[nope]",
    ],
}  # fmt: skip


@pytest.mark.parametrize("file", WRONG)
def test_files_of_settings_that_cannot_be_are_refused_by_name(shared_world: Any, daypart: Any, file: str) -> None:
    before, path = shared_world.versions(), shared_world.home / file
    for text in (*(text.encode() for text in WRONG[file]), b"a = [", b"\xff = 1"):
        path.write_bytes(text + b"\n")
        for command in (READ_BY[file], ("declare", "--role", "engineer")):
            assert_refused(daypart(shared_world.home, *command), str(path))
    path.unlink()
    path.mkdir()
    for command in (READ_BY[file], ("declare", "--role", "engineer")):
        assert_refused(daypart(shared_world.home, *command), str(path))
    path.rmdir()
    assert shared_world.versions() == before


def test_a_tier_that_the_portfolio_or_a_recipe_declares_may_have_its_own_policy_and_rules(
    world: Any, daypart: Any
) -> None:
    (world.home / "policy.toml").write_text("[policy.slow]\nslip_bps = 30\n[policy.deep]\nslip_bps = 10\n")
    (world.home / "governance.toml").write_text(f"[raci.slow.promote]\n{MAY}\n")
    (world.home / "portfolio.toml").write_text("[tiers.slow]\ntrials = 3\n")
    assert_refused(daypart(world.home, "monitor"), "line 3: no tier 'deep'; expected standard, slow, or declare")
    rules, promoted = world.home / "governance.toml", ("promote", "orders", "--role", "lead", "--version", "1")
    rules.write_text(f"[raci.slwo.promote]\n{MAY}\n")
    assert_refused(daypart(world.home, *promoted), "line 1: no tier 'slwo'; expected default, top, standard, slow, or")
    rules.write_text(f"[raci.slow.promote]\n{MAY}\n")
    (world.home / "recipes.toml").write_text("[recipe.deep]\nrounds = 30\n")
    assert daypart(world.home, "monitor").status == 0
    assert "no tier" not in daypart(world.home, *promoted).err


def test_a_mapping_that_cannot_be_is_refused(shared_world: Any, daypart: Any, tmp_path: Path) -> None:
    lines, mapping = tmp_path / "lines.csv", tmp_path / "mapping.toml"
    lines.write_text("At,No,Total\n2024-03-05 12:00:00,1,2.5\n")
    good = "store_id = 'S0001'\n[columns]\ntimestamp = 'At'\nticket = 'No'\nline_total = 'Total'\n"
    wrong = (
        "nope = 1\n" + good, good + "nope = 'x'\n", good.replace("'At'", "true"), good.replace("'At'", "''"),
        good.replace("'S0001'", "''"), "delimiter = ''\n" + good, "delimiter = ';;'\n" + good, "drop = 1\n" + good,
        "encoding = 'nope'\n" + good, "repeated_hour = 'third'\n" + good, "a = [",
    )  # fmt: skip
    for text in wrong:
        mapping.write_text(text)
        assert_refused(daypart(shared_world.home, "ingest", "pos", lines, "--mapping", mapping))
    mapping.write_bytes(b"\xff = 1")
    assert_refused(daypart(shared_world.home, "ingest", "pos", lines, "--mapping", mapping), "mapping.toml")
    assert_refused(daypart(shared_world.home, "ingest", "pos", lines, "--mapping", tmp_path), str(tmp_path))


def test_a_column_that_is_there_twice_is_refused(shared_world: Any, daypart: Any, tmp_path: Path) -> None:
    before, lines, mapping = shared_world.versions(), tmp_path / "lines.csv", tmp_path / "mapping.toml"
    mapping.write_text("store_id = 'S0001'\n[columns]\ntimestamp = 'At'\nticket = 'No'\nline_total = 'Total'\n")
    lines.write_text("At,No,Total,Total\n2024-03-05 12:00:00,1,2.5,99\n")
    assert_refused(
        daypart(shared_world.home, "ingest", "pos", lines, "--mapping", mapping), "column 'Total' is there twice"
    )
    demand = tmp_path / "demand.csv"
    demand.write_text("store_id,hour_local,orders,orders\nS0001,2024-03-05 12:00:00,5,6\n")
    assert_refused(daypart(shared_world.home, "ingest", "demand", demand), "column 'orders' is there twice")
    assert shared_world.versions() == before


ROW = {
    "stores": {"store_id": "S0001", "timezone": "America/New_York", "country": "US"},
    "demand": {"store_id": "S0001", "hour_utc": "2024-03-05 12:00:00"},
    "hours": {"store_id": "S0001", "opens": "08:00", "closes": "17:00", "weekday": 1},
    "closures": {"store_id": "S0001", "date": "2024-03-05"},
    "weather": {"store_id": "S0001", "valid_utc": "2024-03-05 12:00:00"},
    "macro": {"series": "UNRATE", "observation_date": "2024-01-01", "released_on": "2024-02-02", "value": 1.0},
    "labor": {"store_id": "S0001", "hour_utc": "2024-03-05 12:00:00"},
}
"""A row of each table that has numbers, which is taken as it stands but for the number."""
ENDLESS = (float("inf"), float("-inf"), float("nan"), 1e300)


@pytest.mark.parametrize("table", ROW)
def test_numbers_without_end_are_refused_in_every_column(
    shared_world: Any, daypart: Any, tmp_path: Path, table: str
) -> None:
    before = shared_world.versions()
    kinds = ("number", "count", "weekday", "hour")
    names = [column.name for column in TABLES[table].columns if column.kind in kinds]
    assert names
    for name in names:
        for value in ENDLESS:
            row = {**ROW[table], name: value}
            pl.DataFrame([row]).write_parquet(tmp_path / "rows.parquet")
            with (tmp_path / "rows.csv").open("w", newline="") as file:
                csv.writer(file).writerows([row.keys(), row.values()])
            for path in ("rows.parquet", "rows.csv"):
                assert_refused(daypart(shared_world.home, "ingest", table, tmp_path / path), f"{name} ")
    assert shared_world.versions() == before


def test_money_without_end_is_refused_in_every_column_of_lines(shared_world: Any, daypart: Any, tmp_path: Path) -> None:
    before, mapping = shared_world.versions(), tmp_path / "mapping.toml"
    mapping.write_text(
        "store_id = 'S0001'\n[columns]\ntimestamp = 'At'\nticket = 'No'\nquantity = 'Pieces'\nunit_price = 'Price'\n"
    )
    for name in ("Pieces", "Price"):
        for value in (*ENDLESS, 1e10):
            row = {"At": "2024-03-05 12:00:00", "No": "1", "Pieces": 1.0, "Price": 1.0, name: value}
            pl.DataFrame([row]).write_parquet(tmp_path / "lines.parquet")
            with (tmp_path / "lines.csv").open("w", newline="") as file:
                csv.writer(file).writerows([row.keys(), row.values()])
            for path in ("lines.parquet", "lines.csv"):
                result = daypart(shared_world.home, "ingest", "pos", tmp_path / path, "--mapping", mapping)
                assert_refused(result, "1 row refused")
    assert shared_world.versions() == before
