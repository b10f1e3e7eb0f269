"""Generated invalid input: values of options, tables, and files of settings."""

import gzip
import random
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import typer

from daypart.flows.cli.options import app
from tests.faults.homes import Job, State, copy_of_home, run, state
from tests.faults.trials import Trial, Verdict, has_traceback, is_one_line
from tests.flows.cli.test_odd_inputs import DATES, NEEDED

INPUTS_PER_TRIAL = 50
ODD_TEXT = ("nan", "\u202e", "é" * 300, "a\nb", "$(id)", "../../etc", "-1e999", "'", "{}", "NULL", "\x7f", "x" * 5000)
ODD_NUMBERS = ("nan", "-1", "1e20", "1.5", "true", str(10**20), "0x10", "", "1,000")
ODD_DATES = ("0001-01-01", "9999-12-31", "2024-02-30", "24-1-1", "tomorrow", "2024-01-01T00:00", "0", "")
BROKEN_TOML = ("[[[", "a = ", "[policy]\ngain = 3", "x = 1\nx = 2", "[policy.every]\nday = 1", "\x00", "a" + ".b" * 2000 + " = 1",
        "[raci]\npromote = 1", "segments = 3", "[recipe.standard]\nrounds = 'many'", "= 1", "[" * 3000)  # fmt: skip
SETTINGS_FILES = ("policy.toml", "portfolio.toml", "governance.toml", "recipes.toml", "settings.toml")
READING_COMMANDS = (("status",), ("train",), ("monitor",), ("portfolio",), ("forecast",), ("audit", "--verify"))
VALID_TABLES = {
    "demand": "store_id,hour_local,orders,sales\nS0001,2024-03-06 09:00,3,20.5\nS0002,2024-03-06 10:00,4,31\n",
    "stores": "store_id,timezone,country,currency\nS0001,America/Chicago,US,USD\nS0009,America/Toronto,CA,CAD\n",
    "labor": "store_id,hour_local,scheduled_hours\nS0001,2024-03-06 09:00,3\nS0002,2024-03-06 10:00,4\n",
    "closures": "store_id,date,reason\nS0001,2024-03-06,flood\n",
    "hours": "store_id,weekday,opens,closes\nS0001,1,06:00,20:00\n",
}
ODD_CELLS = (
    "nan",
    "inf",
    "-5",
    "S9999",
    "1e400",
    "abc",
    "2024-02-30 09:00",
    "2024-03-10 02:30",
    "\x00",
    '"',
    "",
    "9" * 400,
)
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def inputs(job: Job, count: int, seed: int) -> list[Trial]:
    """Return trials of `count` inputs in batches, each batch on one copy of the job's home."""
    return [
        partial(try_batch, job, min(INPUTS_PER_TRIAL, count - first), seed + first)
        for first in range(0, count, INPUTS_PER_TRIAL)
    ]


def try_batch(job: Job, count: int, seed: int) -> list[Verdict]:
    """Give `count` inputs to commands on one copy of the home."""
    chance = random.Random(seed)
    with copy_of_home(job.home) as home, tempfile.TemporaryDirectory() as folder:
        verdicts, before = [], job.before
        for number in range(count):
            verdict, before = _try_input(before, home, Path(folder), chance, f"seed {seed} number {number}")
            verdicts.append(verdict)
        return verdicts


def _try_input(before: State, home: Path, folder: Path, chance: random.Random, note: str) -> tuple[Verdict, State]:
    """Return the verdict on one input, and the state of the home after it."""
    kind = chance.choice((_option, _option, _table, _table, _settings))
    arguments, may_be_valid = kind(home, folder, chance)
    result = run(home, *arguments)
    for name in SETTINGS_FILES:
        (home / name).unlink(missing_ok=True)
    is_refused = result.status == 2 and is_one_line(result.err)
    is_valid = may_be_valid and result.status == 0
    after = state(home)
    verdict = Verdict(
        lost_data=is_refused and after != before,
        traceback=has_traceback(result.err),
        wrong_status=not (is_refused or is_valid),
        note=f"{note}: {[str(a)[:120] for a in arguments]}: status {result.status}: {result.err.strip()[:300]}",
    )
    return verdict, after


def _option(home: Path, folder: Path, chance: random.Random) -> tuple[list[str], bool]:
    """Return a command with one option of an invalid value, and whether the value may be valid after all."""
    command = chance.choice([name for name in COMMANDS if name not in ("demo", "deploy")])
    needed = [text.replace("chain", str(folder / "chain")) for text in NEEDED.get(command, ())]
    needed = [str(folder / text) if text == "b.csv" else text for text in needed]
    options = [p for p in COMMANDS[command].params if p.param_type_name == "option" and not p.is_flag]
    if not options:
        return [command, chance.choice(("--nope", "extra", "--json=maybe"))], False
    option = chance.choice(options)
    name, annotation = option.opts[0], option.type_descriptor.annotation
    if annotation in (int, float):
        value = chance.choice(
            [text for text in ODD_NUMBERS if annotation is int or text not in ("1e20", "1.5", str(10**20))]
        )
        return [command, *needed, name, value], False
    if name in DATES:
        return [command, *needed, name, chance.choice(ODD_DATES)], False
    if annotation is Path or name in ("--out", "--mapping"):
        bad = (
            str(folder),
            "/proc/nowhere/x.csv",
            str(folder / "x.docx"),
            "x" * 5000 + ".csv",
            str(folder / "no" / "x.csv"),
        )
        # A chain is simulated into a folder, which may have any name.
        return [command, *needed, name, chance.choice(bad)], command == "simulate"
    return [command, *needed, name, chance.choice(ODD_TEXT)], True


def _table(home: Path, folder: Path, chance: random.Random) -> tuple[list[str], bool]:
    """Return the ingest of a table with one fault, or of bytes that are no table; the fault may be harmless."""
    table = chance.choice(list(VALID_TABLES))
    lines = VALID_TABLES[table].splitlines()
    path = folder / f"{table}.csv"
    match chance.randrange(7):
        case 0:
            cells = lines[1].split(",")
            cells[chance.randrange(len(cells))] = chance.choice(ODD_CELLS)
            path.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
        case 1:
            path.write_text("\n".join([lines[0].replace("store_id", "shop"), *lines[1:]]))
        case 2:
            path.write_bytes(chance.randbytes(chance.randrange(2000)))
        case 3:
            path = folder / f"{table}.parquet"
            path.write_bytes(b"PAR1" + chance.randbytes(200) + b"PAR1")
        case 4:
            path = folder / f"{table}.csv.gz"
            path.write_bytes(gzip.compress(VALID_TABLES[table].encode())[: chance.randrange(5, 60)])
        case 5:
            path.write_bytes(VALID_TABLES[table].encode("utf-16")[: -chance.randrange(1, 20)])
        case _:
            path.write_text(VALID_TABLES[table].replace(",", chance.choice((";", "\t", "|", ",,"))))
    return ["ingest", chance.choice((table, table, "nope")), str(path)], True


def _settings(home: Path, folder: Path, chance: random.Random) -> tuple[list[str], bool]:
    """Return a command on a home of which one file of settings cannot be read; not every command reads it."""
    content = chance.choice(BROKEN_TOML)
    (home / chance.choice(SETTINGS_FILES)).write_text(content)
    return list(chance.choice(READING_COMMANDS)), True
