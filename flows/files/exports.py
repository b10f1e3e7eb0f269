"""Exports tables as CSV, Parquet or Excel, so that no text is a formula to the spreadsheet that opens it."""

import re
from pathlib import Path

import polars as pl

EXPORT_ENDINGS = (".csv", ".parquet", ".xlsx")
FORMULA = "^('*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])"
"""How a formula begins (OWASP, CSV Injection), full-width signs included; a quote before it makes it text."""


def write(rows: pl.DataFrame, path: Path, ending: str) -> None:
    """Write rows to a path as CSV, Parquet or Excel; `ending` is one of EXPORT_ENDINGS.

    In CSV and Excel, `neutralise` is applied to text. Numbers and dates stay as they are, as does all of Parquet.
    """
    path = path.absolute()  # polars reads ~ as the user's folder
    if ending == ".parquet":
        rows.write_parquet(path)
    elif ending == ".csv":
        neutralise(rows).write_csv(path)
    else:
        _write_excel(neutralise(rows), path)


def neutralise(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with a single quote before every text and column name that a spreadsheet reads as a formula.

    A text that already has such quotes gets one more, so that `restore` returns every text as it was.
    """
    safe = rows.with_columns(_texts().str.replace(FORMULA, "'${1}"))
    return safe.rename({name: re.sub(FORMULA, r"'\1", name) for name in rows.columns})


def restore(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows without the quote that `neutralise` puts before text."""
    quoted = _texts().str.starts_with("'") & _texts().str.contains(FORMULA)
    return rows.with_columns(pl.when(quoted).then(_texts().str.slice(1)).otherwise(_texts()).name.keep())


def _texts() -> pl.Expr:
    return (pl.selectors.string() | pl.selectors.categorical() | pl.selectors.enum()).as_expr().cast(pl.String)


def _write_excel(rows: pl.DataFrame, path: Path) -> None:
    from xlsxwriter import Workbook  # type: ignore[import-untyped]

    # Text is stored as text, whatever its first character is.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with Workbook(path, {**options, "nan_inf_to_errors": True, "default_date_format": "yyyy-mm-dd"}) as workbook:
        rows.write_excel(workbook)
