"""The edge of the command line: whatever goes wrong is one line with a remedy, status 2 for wrong input, else 1."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.flows.cli.error_lines import one_line
from tests.flows.conftest import ENTRY, ROOT

FAULTS = pytest.mark.faults
SPAN = ("--start", "2024-02-05", "--end", "2024-02-19")
BACKTEST = ("backtest", *SPAN, "--targets", "orders", "--out", "b.csv")
TRAIN = ("train", "--targets", "orders")
EXPLAIN = ("explain", "--store", "S0001", "--date", "2024-03-06")
MAPPING = '[columns]\nstore = "Store"\ntimestamp = "At"\nticket = "No"\nline_total = "Total"\n'
LINES = "Store,At,No,Total\nS0001,2024-03-05 12:00:00,1,2.5\n"
LONG = "x" * 5_000
BYTES = os.fsdecode(b"na\xffme")
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
UNPRIVILEGED = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_line(result: Any, status: int, words: str) -> None:
    assert (result.status, result.out, result.err.count("\n")) == (status, "", 1), result
    assert result.err.startswith("daypart: ")
    assert words in result.err
    assert "Traceback" not in result.err
    assert "panicked" not in result.err


def data_files(world: Any, table: str) -> list[Path]:
    files = (world.home / "lake" / table).rglob("*.parquet")
    return sorted(file for file in files if file.parent.name != "_delta_log")


def half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def footless(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-9] ^= 255
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [half, *(pytest.param(way, marks=FAULTS) for way in (empty, footless, Path.unlink))])
@pytest.mark.parametrize(
    ("table", "command"),
    [
        ("demand", TRAIN), ("demand", ("monitor",)), ("demand", BACKTEST), ("stores", ("ingest", "demand", "d.csv")),
        ("weather", ("forecast", "--refresh")), ("forecasts", ("forecast",)), ("forecasts", EXPLAIN),
    ],
)  # fmt: skip
def test_a_damaged_file_of_the_lake_is_named(
    world: Any, daypart: Any, damage: Callable[[Path], None], table: str, command: tuple[str, ...]
) -> None:
    Path("d.csv").write_text("store_id,hour_local,orders\nS0001,2024-03-05 12:00:00,5\n")
    files = data_files(world, table)
    for file in files:
        damage(file)
    result = daypart(world.home, *command)
    assert_line(result, 1, "restore it from a copy")
    assert any(str(file) in result.err for file in files)


@pytest.mark.parametrize(
    "command",
    [
        *(pytest.param(command, marks=FAULTS) for command in (TRAIN, BACKTEST, ("forecast", "--refresh"))),
        ("ingest", "demand", "later.parquet"),
    ],
)
def test_a_disk_that_fills_up_is_told_in_the_same_words(
    world: Any, process: Any, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    arguments = [str(world.files / part) if part == "later.parquet" else part for part in command]
    if command == TRAIN:
        arguments += ["--as-of", "2024-02-20"]
    ended = process(world.home, *arguments, before=LIMITED)
    out, err = ended.communicate(timeout=120)
    assert (ended.returncode, out, err.count("\n")) == (1, "", 1), err
    assert err.startswith("daypart: the disk is full, ")
    assert err.endswith(": free some of it and run again; nothing was half-written\n")
    assert not list(ROOT.glob("b.*"))


def test_a_panic_leaves_one_line_on_the_screen(world: Any, process: Any) -> None:
    """Rust writes to the standard error by itself, and from other threads."""
    for file in data_files(world, "demand"):
        half(file)
    ended = process(world.home, "monitor", before="import os; os.environ['RUST_BACKTRACE'] = '1'")
    _, err = ended.communicate(timeout=120)
    assert (ended.returncode, err.count("\n")) == (1, 1), err


def test_output_that_cannot_be_written_is_told(published_world: Any) -> None:
    command = [sys.executable, "-m", "daypart.flows.cli", "--home", str(published_world.home), "status"]
    with open("/dev/full", "w") as full:
        completed = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (completed.returncode, completed.stderr.count("\n")) == (1, 1), completed.stderr
    assert "full" in completed.stderr or "No space left" in completed.stderr


def test_a_home_of_another_user_is_refused_before_the_work_and_can_be_read(world: Any) -> None:
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is not here to forbid it")
    limited = UNPRIVILEGED if os.geteuid() == 0 else ()

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*limited, sys.executable, "-c", f"{ENTRY}\nmain()", "--home", str(world.home), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    world.home.chmod(0o555)
    try:
        for command in (TRAIN, ("monitor",), ("ingest", "demand", world.files / "later.parquet")):
            result = run(*command)
            assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.stderr
            assert f"home {world.home} cannot be written by user " in result.stderr
            assert "is dr-xr-xr-x of user " in result.stderr
        assert run("status").returncode == 0
        world.home.chmod(0o000)
        closed = run("status")
        assert (closed.returncode, closed.stderr.count("\n")) == (2, 1)
        assert f"home {world.home} cannot be read by user " in closed.stderr
    finally:
        world.home.chmod(0o755)


POS = ("ingest", "pos", "lines.csv", "--mapping", "map.toml")
MAPPINGS = {
    "deep lists": ("a=" + "[" * 3_000 + "]" * 3_000, "nested too deeply"),
    "deep tables": ("a." * 3_000 + "a = 1", "Field required"),
    "codec of bytes": (f'encoding = "hex"\n{MAPPING}', "encoding 'hex' is unknown"),
    "codec of names": (f'encoding = "punycode"\n{MAPPING}', "encoding 'punycode' is none of text"),
    "codec that refuses": (f'encoding = "undefined"\n{MAPPING}', "encoding 'undefined' is none of text"),
    "codec with a zero byte": (f'encoding = "a\\u0000b"\n{MAPPING}', "is none of text"),
    "long codec": (f'encoding = "{LONG}"\n{MAPPING}', "expected such as windows-1252"),
    "wide delimiter": (f'delimiter = "é"\n{MAPPING}', "'é' divides no columns"),
    "quote as delimiter": (f"delimiter = '\"'\n{MAPPING}", "divides no columns"),
    "long column": (MAPPING.replace("Total", LONG), "no column"),
}


@pytest.mark.parametrize("case", MAPPINGS)
def test_a_mapping_that_cannot_be_is_refused(shared_world: Any, daypart: Any, case: str) -> None:
    text, words = MAPPINGS[case]
    Path("map.toml").write_text(text)
    Path("lines.csv").write_text(LINES)
    result = daypart(shared_world.home, *POS)
    assert_line(result, 2, words)
    assert result.err.count("x") < 200


@pytest.mark.parametrize("name", ["settings.toml", "policy.toml", "portfolio.toml", "recipes.toml", "governance.toml"])
def test_a_file_of_settings_that_is_nested_too_deeply_is_refused(shared_world: Any, daypart: Any, name: str) -> None:
    command = ("promote", "orders", "--role", "lead") if name == "governance.toml" else TRAIN
    for text in ("a=" + "[" * 3_000, "a." * 3_000 + "a = 1"):
        (shared_world.home / name).write_text(text)
        try:
            assert_line(daypart(shared_world.home, *command), 2, str(shared_world.home / name))
        finally:
            (shared_world.home / name).unlink()


PATHS = {
    "mapping that is a folder": (("ingest", "pos", "lines.csv", "--mapping", "folder.toml"), "Is a directory"),
    "table that is a folder": (("ingest", "demand", "folder.csv"), "holds no .csv"),
    "long table": (("ingest", "demand", f"{LONG}.csv"), "File name too long"),
    "long mapping": (("ingest", "pos", "lines.csv", "--mapping", LONG), "File name too long"),
    "long output": (("forecast", "--out", f"{LONG}.csv"), "File name too long; name another file"),
    "long report": (("backtest", *SPAN, "--out", f"{'a/' * 3_000}b.csv"), "File name too long"),
    "long chain": (("simulate", "--stores", "1", "--years", "0.1", "--out", LONG), "File name too long"),
    "long policy": (("replay", *SPAN, "--policy", f"{LONG}.toml"), "File name too long"),
    "table in bytes": (("ingest", "demand", f"{BYTES}.csv"), "expected text in UTF-8; rename what it names"),
    "output in bytes": (("forecast", "--out", f"{BYTES}.csv"), "expected text in UTF-8"),
    "unit in bytes": (("card", BYTES), "expected text in UTF-8"),
    "folder with a name in bytes": (("ingest", "demand", "bytes"), "holds a file whose name is not text in UTF-8"),
    "report that is a folder": (("backtest", *SPAN, "--out", "folder.csv"), "that is a folder"),
    "page that is a folder": (("backtest", *SPAN, "--out", "page.csv"), "page.html: that is a folder"),
    "unit with a slash": (("card", "orders/west"), "no unit 'orders/west'"),
    "promotion of a path": (("promote", "../x", "--role", "lead"), "no unit '../x'"),
    "rollback with a colon": (("rollback", "a:b", "--role", "lead"), "no unit 'a:b'"),
    "long unit": (("card", LONG), "run `daypart train` first"),
    "long words": (("card", "a b " * 2_000), "run `daypart train` first"),
    "long role": (("promote", "orders", "--role", LONG), "unknown role"),
    "long request": (("approve", LONG, "--role", "lead"), "no request"),
    "long tier": (("tune", "--tier", LONG), "no tier"),
    "long level": (("forecast", "--level", LONG), "--level is"),
    "long date": (("forecast", "--origin", LONG), "expected a date such as"),
    "long option": ((f"--{LONG}", "status"), "See `daypart --help`"),
}


@pytest.mark.parametrize("case", PATHS)
def test_a_name_that_cannot_be_is_refused_before_the_work(shared_world: Any, daypart: Any, case: str) -> None:
    arguments, words = PATHS[case]
    for name in ("folder.toml", "folder.csv", "page.html", "bytes"):
        Path(name).mkdir()
    Path("lines.csv").write_text(LINES)
    Path("bytes", f"{BYTES}.csv").touch()
    before = shared_world.versions()
    result = daypart(shared_world.home, *arguments)
    assert_line(result, 2, words)
    assert len(result.err) < 600
    assert max(result.err.count("x"), result.err.count("a b ")) < 200
    assert shared_world.versions() == before


OUT = {
    "forecast": (), "card": ("orders",), "tune": (), "replay": SPAN, "backtest": SPAN,
}  # fmt: skip


@pytest.mark.parametrize("command", OUT)
def test_output_is_checked_before_the_work(shared_world: Any, daypart: Any, command: str) -> None:
    ending = {"card": ".md", "tune": ".toml", "replay": ".html"}.get(command, ".csv")
    for out, words in ((f"nowhere/a{ending}", "does not exist"), ("a.doc", "its ending is .doc"), ("a", "is missing")):
        assert_line(daypart(shared_world.home, command, *OUT[command], "--out", out), 2, words)


@pytest.mark.parametrize("value", [2**62, -(2**62)])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_moments_beyond_the_calendar_are_refused(shared_world: Any, daypart: Any, unit: Any, value: int) -> None:
    moments = pl.Series("hour_local", [value], pl.Int64).cast(pl.Datetime(unit))
    pl.DataFrame({"store_id": ["S0001"], "orders": [5]}).with_columns(moments).write_parquet("demand.parquet")
    words = "1 row refused" if unit == "ns" else "column hour_local holds times that no calendar has"
    assert_line(daypart(shared_world.home, "ingest", "demand", "demand.parquet"), 2, words)


@pytest.mark.parametrize("year", [1, 9999])
def test_years_of_no_trade_are_refused(shared_world: Any, daypart: Any, year: int) -> None:
    moment = datetime(year, 1, 1, 12)
    rows = pl.DataFrame({"store_id": ["S0001"], "hour_local": [moment], "orders": [5]})
    rows.write_parquet("demand.parquet")
    rows.with_columns(pl.lit(f"{moment:%Y-%m-%d %H:%M:%S}".zfill(19)).alias("hour_local")).write_csv("demand.csv")
    Path("lines.csv").write_text(f"Store,At,No,Total\nS0001,{year:04}-01-01 12:00:00,1,2.5\n")
    Path("map.toml").write_text(MAPPING)
    for command in (("ingest", "demand", "demand.parquet"), ("ingest", "demand", "demand.csv"), POS):
        assert_line(daypart(shared_world.home, *command), 2, "is before 1900 or after 2200")


def test_seeds_below_zero_are_refused(shared_world: Any, daypart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = ("simulate", "--stores", "1", "--years", "0.1", "--out", "chain", "--seed", "-1")
    assert_line(daypart(shared_world.home, *chain), 2, "seed is -1")
    monkeypatch.setenv("DAYPART_SEED", "-1")
    assert_line(daypart(shared_world.home, *TRAIN), 2, "SEED is '-1'")


def test_the_path_of_a_file_stays_whole_however_long(tmp_path: Path) -> None:
    file = tmp_path / ("a" * 120) / ("b" * 120)
    file.parent.mkdir()
    assert str(file) in one_line(f"table demand: {file} is damaged")
    assert str(file) not in one_line(f"{file}: no such file", [str(file)])


def test_a_long_line_keeps_its_beginning_and_its_remedy() -> None:
    assert one_line("no tier 'a':\n expected standard") == "no tier 'a': expected standard"
    line = one_line(f"no tier '{'word ' * 100}': expected standard, or add it")
    assert line.startswith("no tier 'word word")
    assert line.endswith("': expected standard, or add it")
    assert len(line) < 200
    many = one_line(f"it has {', '.join(f'column {number}' for number in range(500))}; rename one")
    assert many.startswith("it has column 0")
    assert many.endswith("; rename one")
    assert len(many) < 1_000
