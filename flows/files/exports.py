"""Exports: tables as CSV, Parquet or Excel, in which no text is a formula to the spreadsheet that opens it."""

import re
from pathlib import Path

import polars as pl

ENDINGS = (".csv", ".parquet", ".xlsx")
FORMULA = "^('*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])"
"""How a formula begins (OWASP, CSV Injection), full-width signs included; quotes before it make it a text."""


def write(rows: pl.DataFrame, path: Path, ending: str) -> None:
    """Writes rows to a path as CSV, Parquet or Excel, as one of ENDINGS says.

    In CSV and Excel text is `neutralised`; numbers, dates and Parquet are as they are.
    """
    path = path.absolute()  # polars takes ~ for the user's folder
    if ending == ".parquet":
        rows.write_parquet(path)
    elif ending == ".csv":
        neutralised(rows).write_csv(path)
    else:
        _write_excel(neutralised(rows), path)


def neutralised(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with a single quote before every text that a spreadsheet takes for a formula, names of columns included.

    A text that has such quotes already gets one more, so that `restored` gives every text back as it was.
    """
    safe = rows.with_columns(_texts().str.replace(FORMULA, "'${1}"))
    return safe.rename({name: re.sub(FORMULA, r"'\1", name) for name in rows.columns})


def restored(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows without the quote that `neutralised` puts before text."""
    quoted = _texts().str.starts_with("'") & _texts().str.contains(FORMULA)
    return rows.with_columns(pl.when(quoted).then(_texts().str.slice(1)).otherwise(_texts()).name.keep())


def _texts() -> pl.Expr:
    return (pl.selectors.string() | pl.selectors.categorical() | pl.selectors.enum()).as_expr().cast(pl.String)


def _write_excel(rows: pl.DataFrame, path: Path) -> None:
    from xlsxwriter import Workbook  # type: ignore[import-untyped]

    # Text is stored as text, whatever it begins with.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with Workbook(path, {**options, "nan_inf_to_errors": True, "default_date_format": "yyyy-mm-dd"}) as workbook:
        rows.write_excel(workbook)
