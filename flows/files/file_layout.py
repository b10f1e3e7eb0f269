"""Detects the layout of a file: its encoding, its delimiter, the line of its header, its sheet."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from daypart.features.errors import InputError
from daypart.flows.files import sheets, table_files

ENCODINGS = ("utf-8", "utf-16", "windows-1252")
LAYOUT_LINES = 100
"""Number of lines from which the layout is detected."""

NOT_A_NAME = re.compile(r"^[\s\d.,:/$€£%+-]*$")
"""Cells that cannot be the name of a column: numbers, dates and times."""


def sniff(path: Path) -> dict[str, Any]:
    """Return the settings of a mapping that describe the layout of the file, without those at their default.

    Raises InputError for a file that cannot be read.
    """
    name = path.name.lower()
    if name.endswith(".parquet"):
        return {}
    if name.endswith(sheets.EXCEL_ENDING):
        return _sniff_sheet(path)
    encoding = next((candidate for candidate in ENCODINGS if _decodes(path, candidate)), ENCODINGS[-1])
    rows = {mark: _cells(table_files.head(path, mark, encoding, LAYOUT_LINES)) for mark in table_files.DELIMITERS}
    delimiter = max(rows, key=lambda mark: _width(rows[mark]))
    layout: dict[str, Any] = {"encoding": encoding} if encoding != "utf-8" else {}
    layout |= {"delimiter": delimiter} if delimiter != "," and _width(rows[delimiter]) > 1 else {}
    return {**_skip_lines(table_files.head(path, delimiter, encoding, LAYOUT_LINES)), **layout}


def _sniff_sheet(path: Path) -> dict[str, Any]:
    """Return the settings of an Excel file; of several sheets, the one with the most cells in its first lines."""
    names = sheets.names(path)
    heads = {name: list(enumerate(sheets.head(path, name, LAYOUT_LINES), 1)) for name in names}
    best = max(names, key=lambda name: sum(len(row) for row in _cells(heads[name])))
    return {**_skip_lines(heads[best]), **({"sheet": best} if len(names) > 1 else {})}


def _decodes(path: Path, encoding: str) -> bool:
    """Return whether the file is text in that encoding; UTF-16 needs its mark, as it decodes nearly all bytes."""
    try:
        with table_files.open_binary(path) as file:
            data = file.read()
        if encoding == "utf-16" and data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            return False
        data.decode(encoding)
    except UnicodeError:
        return False
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error}); export it anew") from None
    return True


def _cells(rows: Sequence[tuple[int, Sequence[str]]]) -> list[list[str]]:
    """Return the rows that are not blank, without empty cells at their ends."""
    return [cells for cells in (_trim(row) for _, row in rows) if cells]


def _trim(row: Sequence[str]) -> list[str]:
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _width(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of cells that most rows have; if two numbers are equally frequent, the greater."""
    counts = Counter(len(row) for row in rows)
    return max(counts, key=lambda width: (counts[width], width), default=0)


def _skip_lines(rows: Sequence[tuple[int, Sequence[str]]]) -> dict[str, int]:
    """Return `skip_lines`: the lines above the first row that is as wide as most rows and names columns."""
    width = _width(_cells(rows))
    for line, row in rows:
        cells = _trim(row)
        names = [cell for cell in cells if cell and not NOT_A_NAME.match(cell)]
        if len(cells) >= width and len(names) >= max(1, width - width // 4) and len(set(names)) == len(names):
            return {"skip_lines": line - 1} if line > 1 else {}
    return {}
