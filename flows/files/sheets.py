"""Reads sheets of Excel files as tables."""

import logging
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from daypart.features.errors import InputError

if TYPE_CHECKING:
    from fastexcel import ExcelReader

EXCEL_ENDING = ".xlsx"
EXCEL_EPOCH = date(1900, 1, 1)
"""Excel stores a time of day as a time on the day before this one, or on the last day of 1899."""

TIME_OF_DAY = r"^1899-12-3[01] (\d\d:\d\d:\d\d)"


def names(path: Path) -> list[str]:
    """Return the sheets of a file, in order. Raises InputError for a file that cannot be read."""
    return list(_open(path).sheet_names)


def head(path: Path, sheet: str | None, rows: int) -> list[list[str]]:
    """Return the first rows of a sheet as text; a blank row has no cells. Raises InputError as `read`."""
    book = _open(path)
    top = _load(path, book, _name(path, book, sheet), header_row=None, skip_rows=0, n_rows=rows, dtypes="string")
    return [[cell or "" for cell in row] if any(row) else [] for row in top.rows()]


def read(path: Path, sheet: str | None = None, skip_lines: int = 0) -> pl.DataFrame:
    """Return the cells of a sheet below its header, the first row that is not blank after `skip_lines` rows.

    A column that holds only numbers, dates, times or timestamps has that type. A column of several types is text, with
    dates and timestamps in ISO 8601. Columns without a name are left out. Raises InputError for a file that cannot be
    read, for a sheet that is not there, and if there are several sheets and `sheet` is null.
    """
    book = _open(path)
    name = _name(path, book, sheet)
    top = _load(path, book, name, header_row=None, skip_rows=0, n_rows=skip_lines + 100, dtypes="string")
    first = next((n for n, row in enumerate(top.rows()) if n >= skip_lines and any(row)), None)
    if first is None:
        raise InputError(f"{path}: sheet {name} is empty; expected a header and rows")
    header = [text and text.strip() for text in top.row(first)]
    repeated = next((text for text in header if text and header.count(text) > 1), None)
    if repeated:
        raise InputError(f"{path}: column {repeated!r} is there twice; keep one of them, or rename the other")
    cells = _load(path, book, name, header_row=first, schema_sample_rows=None)
    return cells.select(
        _as_time_of_day(column).alias(text) for text, column in zip(header, cells, strict=False) if text
    )


def _open(path: Path) -> "ExcelReader":
    import fastexcel

    # It warns of columns without cells, which are harmless.
    logging.getLogger("fastexcel").setLevel(logging.ERROR)
    try:
        return fastexcel.read_excel(path)
    except (fastexcel.FastExcelError, OSError) as error:
        raise _unreadable(path, error) from None


def _name(path: Path, book: "ExcelReader", sheet: str | None) -> str:
    listed = ", ".join(book.sheet_names)
    if sheet is None and len(book.sheet_names) > 1:
        raise InputError(f"{path}: has sheets {listed}; name one as sheet in the mapping, or save it as a file")
    if sheet is not None and sheet not in book.sheet_names:
        raise InputError(f"{path}: has no sheet {sheet!r}; it has {listed}: correct sheet in the mapping")
    return sheet or book.sheet_names[0]


def _load(path: Path, book: "ExcelReader", name: str, **options: Any) -> pl.DataFrame:
    import fastexcel

    try:
        return pl.DataFrame(book.load_sheet(name, **options).to_polars())
    except fastexcel.FastExcelError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    cause = str(error).splitlines()[0]
    return InputError(f"{path}: cannot be read as Excel ({cause}); export it anew")


def _as_time_of_day(column: pl.Series) -> pl.Series:
    """Return the column with the type of a time of day, if it holds times of day."""
    if isinstance(column.dtype, pl.Datetime) and column.drop_nulls().dt.date().lt(EXCEL_EPOCH).all():
        return column.dt.time()
    if column.dtype == pl.String:
        return column.str.replace(TIME_OF_DAY, "${1}")
    return column
