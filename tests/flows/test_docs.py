"""The how-to of point-of-sale exports does what it says: its files are written, its commands are run."""

import re
import shlex
from pathlib import Path
from typing import Any

import polars as pl
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "ingest-point-of-sale-exports.md"
BLOCK = re.compile(
    r"(?:^`(?P<name>\S+)`(?P<note>, as written)?:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)


def test_the_commands_of_the_page_print_what_it_shows(
    daypart: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    commands = 0
    for block in BLOCK.finditer(PAGE.read_text("utf-8")):
        if block["note"]:
            assert Path(block["name"]).read_text("utf-8") == block["text"]
        elif block["name"]:
            Path(block["name"]).write_text(block["text"], "utf-8")
        else:
            assert block["kind"] == "console"
            command, *shown = block["text"].splitlines()
            result = daypart(home, *shlex.split(command.removeprefix("$ daypart ")))
            lines = {line.rstrip() for line in (result.out + result.err).splitlines()}
            assert set(shown) <= lines, (command, result)
            assert result.status == (2 if shown and shown[0].startswith("daypart: ") else 0), result
            commands += 1
    assert commands == 6
    demand = pl.read_delta(str(home / "lake" / "demand")).sort("store_id", "hour_utc")
    assert [
        (row["store_id"], row["hour_local"].hour, row["orders"], row["sales"]) for row in demand.iter_rows(named=True)
    ] == [
        ("Fjord", 8, 2.0, 1295.5), ("Fjord", 9, 1.0, 38.0), ("Lake", 8, 2.0, 1209.5), ("Lake", 9, 0.0, 0.0),
        ("Pier", 8, 1.0, 7.5), ("Pier", 9, 1.0, 4.5),
    ]  # fmt: skip
