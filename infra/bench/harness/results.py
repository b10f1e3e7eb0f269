"""Result tables of a benchmark as JSON files and on the terminal."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def write(path: Path, caption: str, rows: Sequence[Any]) -> None:
    """Write a table, one dataclass a row, as JSON."""
    write_text(path, json.dumps({"title": caption, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: a reader sees all of it or none."""
    draft = path.with_suffix(".partial")
    draft.write_text(text)
    draft.replace(path)


def show(caption: str, rows: Sequence[Any]) -> None:
    """Print a table, one dataclass a row, on the terminal."""
    table = Table(title=caption, show_lines=True)
    for name in asdict(rows[0]):
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in asdict(row).values()))
    Console(width=200).print(table)
