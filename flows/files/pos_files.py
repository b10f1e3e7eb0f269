"""Reads exports of points of sale as their mappings say: where the header is, and which columns are used."""

from difflib import get_close_matches
from pathlib import Path

import polars as pl

from daypart.features.errors import SchemaError
from daypart.features.pos.mapping import Mapping
from daypart.flows.files import sheets, table_files

HEADER_LINES = 100
"""Number of lines among which the header is searched."""


def read_export(path: Path, mapping: Mapping) -> pl.DataFrame:
    """Return the columns that the mapping names, from a file with at least one line.

    Raises InputError for a file that cannot be read. Raises SchemaError if the header is on another line or lacks a
    column, or if no line follows it; the error names the line and the key of the mapping to correct.
    """
    _refuse_other_line(path, mapping)
    frame = table_files.read(path, mapping.delimiter, mapping.encoding, mapping.skip_lines, mapping.sheet)
    absent = [name for name in mapping.column_names if name not in frame.columns]
    if absent:
        names = {name.strip().lower(): name for name in frame.columns}
        similar = get_close_matches(absent[0].strip().lower(), names, n=1)
        hint = f"did you mean {names[similar[0]]!r}? " if similar else ""
        raise SchemaError(
            f"{path}: no column {', '.join(absent)}, which the mapping names; {hint}it has "
            f"{', '.join(frame.columns)} on line {mapping.skip_lines + 1}"
        )
    if frame.is_empty():
        raise SchemaError(f"{path}: found no lines, expected at least one")
    return frame.select(mapping.column_names)


def _refuse_other_line(path: Path, mapping: Mapping) -> None:
    """Raise SchemaError if the columns that the mapping names are on another line than it says."""
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
    """Return the first rows of a file with their line numbers, counted from 1; none for a Parquet file."""
    if path.name.lower().endswith(".parquet"):
        return []
    if path.name.lower().endswith(sheets.EXCEL_ENDING):
        return list(enumerate(sheets.head(path, mapping.sheet, HEADER_LINES), 1))
    return table_files.head(path, mapping.delimiter, mapping.encoding, HEADER_LINES)
