"""Habits that people and programs bring from other command lines."""

import json
import os
import pty
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
import typer

from daypart.features.clock import MissingHour, RepeatedHour
from daypart.features.dayparts import DAYPARTS
from daypart.features.tables.schemas import TABLES, TARGETS
from daypart.flows.cli import data, help, options
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.serving.levels import AGGREGATE_LEVELS

ROOT = Path(__file__).resolve().parents[3]
COMMANDS: dict[str, Any] = typer.main.get_command(options.app).commands  # type: ignore[attr-defined]
BACKTEST = ("backtest", "--start", "2024-02-05", "--end", "2024-02-19", "--targets", "orders")


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "daypart", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "COLUMNS": "80", **environment}, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def help_texts() -> dict[str, str]:
    """The help of the program ("") and of every command, as 80 columns show it."""
    code = (
        "import sys\nfrom daypart.flows.cli import main\nfor name in sys.argv[1].split(','):\n"
        "    sys.argv[1:] = [*name.split(), '-h']\n    main()\n    print('\\0', end='')"
    )
    names = ["", *COMMANDS]
    texts = subprocess.run(
        [sys.executable, "-c", code, ",".join(names)],
        cwd=ROOT, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(zip(names, texts.stdout.split("\0"), strict=False))


def test_help_at_80_columns_cuts_nothing(help_texts: dict[str, str]) -> None:
    for name, text in help_texts.items():
        assert text.startswith(f"Usage: daypart {name}".rstrip()), name
        assert max(map(len, text.splitlines())) <= 80, name
        assert "..." not in text.replace("ARGS]...", "").replace(",...", "").replace("}...", "").replace("]...", "")
        assert "-h, --help" in text


def test_commands_are_in_groups_by_whole_sentences(help_texts: dict[str, str]) -> None:
    text = help_texts[""]
    headings = [line.rstrip(":") for line in text.splitlines() if line and not line.startswith((" ", "Usage"))]
    assert headings == ["Options", *help.GROUPS]
    flat = " ".join(text.split())
    for name, command in COMMANDS.items():
        summary = " ".join(command.help.split("\n\n")[0].split())
        assert summary.endswith("."), name
        assert f" {name} {summary}" in flat


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_does(command: str) -> None:
    for parameter in COMMANDS[command].params:
        assert parameter.help.rstrip().endswith("."), (command, parameter.name)


def test_choices_are_those_of_the_jobs() -> None:
    assert get_args(options.Level) == ("hour", *AGGREGATE_LEVELS)
    assert get_args(options.WeatherView) == get_args(Recipe.model_fields["weather"].annotation)
    assert get_args(options.DaypartName) == tuple(DAYPARTS)
    assert get_args(options.TargetName) == tuple(TARGETS)
    assert (get_args(data.RepeatedHour), get_args(data.MissingHour)) == (get_args(RepeatedHour), get_args(MissingHour))
    assert all(table in data.TABLE_HELP for table in TABLES)


def test_the_version_is_that_of_the_package() -> None:
    completed = run("--version")
    assert (completed.returncode, completed.stdout) == (0, f"daypart {version('daypart')}\n")


def test_a_shell_completes_commands_options_and_choices() -> None:
    assert (
        "_DAYPART_COMPLETE=complete_bash"
        in run("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout
    )
    for line, words in (
        ("daypart fore", {"forecast"}),
        ("daypart forecast --lev", {"--level"}),
        ("daypart forecast --level da", {"daypart", "day"}),
    ):
        count = str(len(line.split()) - 1)
        completed = run(_DAYPART_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=count)
        assert set(completed.stdout.split()) == words, completed


def test_errors_point_to_the_help_of_the_command(daypart: Any, tmp_path: Path) -> None:
    for arguments, command in (
        (("ingest",), "daypart ingest"), (("forecast", "--soon"), "daypart forecast"), (("forcast",), "daypart"),
        (("forecast", "--level", "month"), "daypart forecast"),
    ):  # fmt: skip
        result = daypart(tmp_path, *arguments)
        assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
        assert result.err.endswith(f" See `{command} --help`.\n")


def test_errors_of_json_are_one_object_on_stderr(daypart: Any, tmp_path: Path) -> None:
    usage = daypart(tmp_path, "forecast", "--level", "month", "--json")
    assert (usage.status, usage.out) == (2, "")
    assert json.loads(usage.err) == {
        "error": {
            "kind": "usage",
            "message": "--level is 'month': expected hour, daypart, day, week, store, region, chain.",
            "remedy": "See `daypart forecast --help`.",
        }
    }
    absent = daypart(tmp_path / "nowhere", "status", "--json")
    assert (absent.status, absent.out) == (2, "")
    error = json.loads(absent.err)["error"]
    assert error["kind"] == "not_known"
    assert str(tmp_path / "nowhere") in error["message"]


def test_a_closed_pipe_ends_with_the_status_of_a_closed_pipe(published_world: Any) -> None:
    command = f"{sys.executable} -m daypart --home {published_world.home} forecast --json | head -c 1 > /dev/null"
    script = f"set -o pipefail; {command}"
    completed = subprocess.run(["bash", "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert (completed.returncode, completed.stderr) == (141, "")


def test_a_folder_of_tables_comes_in_whole(daypart: Any, published_world: Any, tmp_path: Path) -> None:
    chain, home = tmp_path / "chain", tmp_path / "home"
    (chain / "demand").mkdir(parents=True)
    (chain / "truth").mkdir()
    demand = pl.read_parquet(published_world.files / "demand.parquet")
    for number, rows in enumerate(demand.partition_by("store_id")):
        rows.write_parquet(chain / "demand" / f"{number}.parquet")
    for table in ("stores", "hours", "closures"):
        pl.read_parquet(published_world.files / f"{table}.parquet").write_csv(chain / f"{table}.csv")
    (chain / "notes.txt").write_text("mine")
    report = daypart(home, "ingest", "all", chain, "--json").json
    assert [table["table"] for table in report["tables"]] == ["stores", "hours", "closures", "demand"]
    assert report["tables"][-1]["rows_taken"] == demand.height
    assert report["left_out"] == ["notes.txt", "truth"]
    again = daypart(home, "ingest", "all", chain)
    assert again.status == 0
    assert "left out, as no table is named so: notes.txt, truth" in again.out
    assert [line.split()[:3] for line in again.out.splitlines()[1:5]] == [
        ["stores", "1", "0"], ["hours", "1", "0"], ["closures", "1", "0"], ["demand", str(demand["store_id"].n_unique()), "0"],
    ]  # fmt: skip
    for path, words in (
        (tmp_path / "notes", "no such folder"),
        (chain / "stores.csv", "is a file"),
        (chain / "truth", "it is empty"),
    ):
        result = daypart(home, "ingest", "all", path)
        assert (result.status, result.out) == (2, "")
        assert words in result.err


def test_a_backtest_without_out_writes_its_report_into_the_home(daypart: Any, world: Any) -> None:
    result = daypart(world.home, *BACKTEST)
    assert (result.status, result.err) == (0, "")
    assert f"report {world.home / 'report.html'}" in result.out
    assert (world.home / "report.html").stat().st_size > 100_000


def test_a_log_of_json_has_a_line_a_step(daypart: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYPART_LOG", "json")
    result = daypart(world.home, "train", "--targets", "orders", "--as-of", "2024-02-20")
    assert result.status == 0
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert {(line["command"], line["home"]) for line in lines} == {("train", str(world.home))}
    steps = [line for line in lines if "share" in line]
    shares = [line["share"] for line in steps]
    assert shares == sorted(shares)
    assert (steps[0]["step"], steps[-1]["step"], shares[-1]) == ("read demand", "done", 1.0)
    assert any(line["step"].startswith("fit ratio of orders") for line in steps)
    assert {"read", "matrix", "fit", "total"} <= {line["stage"] for line in lines if "stage" in line}
    assert "wall_seconds" not in result.out
    monkeypatch.setenv("DAYPART_LOG", "xml")
    refused = daypart(world.home, "train")
    assert refused.status == 2
    assert "DAYPART_LOG is 'xml': expected json" in refused.err


def test_stage_timings_are_for_those_who_ask(daypart: Any, world: Any) -> None:
    plain, verbose = (daypart(world.home, "forecast", "--refresh", *more) for more in ((), ("--verbose",)))
    assert "wall_seconds" not in plain.out
    assert "wall_seconds" in verbose.out
    assert daypart(world.home, "forecast", "--refresh", "--json").json["usage"][-1]["stage"] == "total"


def test_a_terminal_sees_the_share_done_and_the_step(world: Any) -> None:
    shown = on_terminal("--home", world.home, "forecast", "--refresh")
    assert "  0%" in shown
    last = shown[shown.rindex("%") :]
    assert " left" in last
    assert "publish" in last


def on_terminal(*arguments: object) -> str:
    """Return what a terminal shows of a command's stderr."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    command = [sys.executable, "-m", "daypart", *map(str, arguments)]
    child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65_536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert child.wait() == 0, shown
    return shown.decode()


def test_help_is_there_at_once() -> None:
    """No test asserts a time: what help must not import is what takes long."""
    code = "import sys\nfrom daypart.flows.cli import main\nmain()\nprint(*sys.modules, file=sys.stderr)"
    completed = subprocess.run([sys.executable, "-c", code, "--help"], cwd=ROOT, capture_output=True, text=True)
    heavy = {"polars", "numpy", "rich", "pydantic", "mlflow", "prefect", "lightgbm"}
    assert not heavy & set(completed.stderr.split())
