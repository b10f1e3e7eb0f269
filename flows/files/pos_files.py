"""Exports of points of sale as their mappings say: where the header is, and which columns are named."""

from difflib import get_close_matches
from pathlib import Path

import polars as pl

from daypart.features.errors import SchemaError
from daypart.features.pos.mapping import Mapping
from daypart.flows.files import sheets, table_files

MOST_ABOVE = 100
"""Lines among which a header is looked for."""


def read_export(path: Path, mapping: Mapping) -> pl.DataFrame:
    """The columns that the mapping names, of a file with at least one line.

    Raises InputError naming the file for one that cannot be read; SchemaError, with the line and the key of the mapping
    that helps, where the header is on another line, where it lacks a column, and where no line follows.
    """
    _refuse_other_line(path, mapping)
    frame = table_files.read(path, mapping.delimiter, mapping.encoding, mapping.skip_lines, mapping.sheet)
    absent = [name for name in mapping.column_names if name not in frame.columns]
    if absent:
        names = {name.strip().lower(): name for name in frame.columns}
        near = get_close_matches(absent[0].strip().lower(), names, n=1)
        hint = f"did you mean {names[near[0]]!r}? " if near else ""
        raise SchemaError(
            f"{path}: no column {', '.join(absent)}, which the mapping names; {hint}it has "
            f"{', '.join(frame.columns)} on line {mapping.skip_lines + 1}"
        )
    if frame.is_empty():
        raise SchemaError(f"{path}: found no lines, expected at least one")
    return frame.select(mapping.column_names)


def _refuse_other_line(path: Path, mapping: Mapping) -> None:
    """Raises SchemaError where the columns that the mapping names are on another line than it says."""
    expected, columns = mapping.skip_lines + 1, set(mapping.column_names)
    rows = [(line, {cell.strip() for cell in cells}) for line, cells in head(path, mapping)]
    lines = [line for line, cells in rows if columns <= cells]
    # Blank lines above a header need no skipping.
    header = next((line for line, cells in rows if line >= expected and cells), expected)
    if not lines or header in lines:
        return
    raise SchemaError(
        f"{path}: columns {', '.join(mapping.column_names)} are on line {lines[0]}, "
        f"expected the header on line {expected}; set skip_lines = {lines[0] - 1} in the mapping"
    )


def head(path: Path, mapping: Mapping) -> list[tuple[int, list[str]]]:
    """The first rows of a file and the numbers of their lines, counted from 1; none of a Parquet file."""
    if path.name.lower().endswith(".parquet"):
        return []
    if path.name.lower().endswith(sheets.ENDING):
        return list(enumerate(sheets.head(path, mapping.sheet, MOST_ABOVE), 1))
    return table_files.head(path, mapping.delimiter, mapping.encoding, MOST_ABOVE)
