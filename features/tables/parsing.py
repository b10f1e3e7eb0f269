"""Parsing of cells, text or typed, as the kind of their column."""

import polars as pl

from daypart.features.errors import SchemaError
from daypart.features.tables import currencies
from daypart.features.tables.schemas import Column, Kind

EARLIEST_YEAR, LATEST_YEAR = 1900, 2200
"""Dates outside these years are slips of the pen, such as 0024 for 2024."""

ZONE_AT_END = r"\s*([Zz]|UTC|GMT|[+\-\u2212]\d\d(:?\d\d)?)$"
ZONED = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?" + ZONE_AT_END
"""A time in ISO 8601 that says its zone, and so is an instant."""

WRITTEN: dict[Kind, str] = {
    "text": "is not text",
    "zone": "is not text",
    "number": "is not a number",
    "count": "is not a number",
    "weekday": "is not a whole number",
    "hour": "is not a whole number",
    "date": "is not a date written YYYY-MM-DD",
    "clock": "is not a time written HH:MM",
    "local": "is not a time written YYYY-MM-DD HH:MM:SS",
    "utc": "is not a time written YYYY-MM-DD HH:MM:SS",
}
"""Why a cell of that kind is refused when it cannot be read."""


def clean(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the cells with categories as text, text without spaces around it, and empty text as null.

    No word counts as null: NA is a country.
    """
    text = pl.selectors.string() | pl.selectors.categorical() | pl.selectors.enum()
    stripped = text.as_expr().cast(pl.String).str.strip_chars()
    return frame.with_columns(stripped.replace("", None))


def read(column: Column, dtype: pl.DataType) -> pl.Expr:
    """Return an expression that parses a cleaned column as the kind of `column`; null where a cell cannot be parsed.

    Raises SchemaError where no cell of that type can be of that kind.
    """
    name, kind = pl.col(column.name), column.kind
    if isinstance(dtype, pl.Null):
        return pl.lit(None, dtype=column.dtype).alias(column.name)
    expr = _READERS[kind](name, dtype)
    if expr is None:
        raise SchemaError(f"column {column.name} holds {dtype}, expected {kind}: convert it")
    return expr.alias(column.name)


def read_amount(name: str, dtype: pl.DataType, decimal_mark: str) -> pl.Expr:
    """Return an expression that parses a cleaned column of money or quantities; null where it is not a finite number.

    A mark of `currencies` may stand before and after the number. Groups of three digits (or of two and three, as in
    India) may be set apart by the other decimal mark, a space or an apostrophe. A minus may come first, last, or as an
    accountant's parentheses; `5,-` is 5. Other letters say no amount.
    """
    cell = pl.col(name)
    if dtype.is_numeric() or dtype == pl.Null:
        number = cell.cast(pl.Float64)
        return pl.when(number.is_finite()).then(number)
    if dtype != pl.String:
        raise SchemaError(f"column {name} holds {dtype}, expected numbers: convert it")
    group = ("," if decimal_mark == "." else ".") + r"\s'\u2019\u02bc"
    bare = cell.str.replace_all(r"\p{Cf}", "").str.replace("\u2212", "-", literal=True)
    for _ in range(2):  # marks stand outside of parentheses, or inside
        bare = bare.str.replace(rf"^([+\-(\s]*){currencies.MARK}\s*", "${1}")
        bare = bare.str.replace(rf"\s*{currencies.MARK}([)\-\s]*)$", "${1}")
    trimmed = bare.str.strip_chars().str.replace(rf"(\d)[{decimal_mark}][-\u2013\u2014]+$", "${1}")
    signed = trimmed.str.replace(r"^\(\s*(.*?)\s*\)$", "-${1}").str.replace(r"^([^-]*?)\s*-$", "-${1}")
    grouped = rf"\d{{1,3}}([{group}]\d{{3}})+|\d{{1,2}}([{group}]\d\d)+[{group}]\d{{3}}|\d*"
    written = rf"^[+-]?\s*({grouped})([{decimal_mark}]\d*)?([eE][+-]?\d+)?$"
    plain = signed.str.replace_all(rf"[{group}]", "").str.replace(decimal_mark, ".", literal=True)
    number = plain.cast(pl.Float64, strict=False)
    return pl.when(signed.str.contains(written) & number.is_finite()).then(number)


def read_instant(cell: pl.Expr) -> pl.Expr:
    """Return an expression that parses text as in ZONED: its instant in UTC, null where a cell is not written so."""
    written = cell.str.replace(r"^(\S{10})[Tt]", "${1} ").str.replace(r"\s*(UTC|GMT)$", "Z")
    at = pl.coalesce(
        written.str.to_datetime(form, time_unit="us", strict=False)
        for form in ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z")
    )
    return pl.when(cell.str.contains(ZONED)).then(at.dt.convert_time_zone("UTC").dt.replace_time_zone(None))


def _text(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if dtype.is_float():  # a spreadsheet's or pandas' idea of an integer with blanks
        integer = cell.cast(pl.Int64, strict=False)
        return pl.when(integer == cell).then(integer.cast(pl.String)).otherwise(cell.cast(pl.String))
    return cell.cast(pl.String) if dtype == pl.String or dtype.is_integer() else None


def _number(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    return cell.cast(pl.Float64, strict=False) if dtype == pl.String or dtype.is_numeric() else None


def _whole(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    number = _number(cell, dtype)
    if number is None:
        return None
    small = number.cast(pl.Int8, strict=False)
    return pl.when(small == number).then(small)


def _date(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if dtype == pl.String:
        at = _moment(cell, dtype)
        assert at is not None
        plain = cell.str.to_date("%Y-%m-%d", strict=False)
        return pl.coalesce(plain, pl.when(at.dt.time() == pl.time(0)).then(at.dt.date()))
    if isinstance(dtype, pl.Datetime):
        naive = cell.dt.replace_time_zone(None)
        return pl.when(naive.dt.time() == pl.time(0)).then(naive.dt.date())
    return cell if dtype == pl.Date else None


def _clock(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if dtype == pl.Time:
        cell = cell.dt.strftime("%H:%M:%S")
    elif dtype != pl.String:
        return None
    padded = cell.str.replace(r"^(\d):", "0${1}:").str.replace(r"^(\d\d:\d\d):00$", "${1}")
    midnight = padded.str.replace(r"^24:00$", "00:00")
    return pl.when(midnight.str.contains(r"^([01]\d|2[0-3]):[0-5]\d$")).then(midnight)


def _moment(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if isinstance(dtype, pl.Datetime):
        return cell.dt.replace_time_zone(None).dt.cast_time_unit("us")
    if dtype != pl.String:
        return None
    spaced = cell.str.replace("T", " ", literal=True)
    written = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")
    return pl.coalesce(spaced.str.to_datetime(form, time_unit="us", strict=False) for form in written)


def _utc(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return _moment(cell.dt.convert_time_zone("UTC"), dtype)
    if dtype != pl.String:
        return _moment(cell, dtype)
    return pl.coalesce(_moment(cell, dtype), read_instant(cell))


_READERS = {
    "text": _text, "zone": _text, "number": _number, "count": _number, "weekday": _whole, "hour": _whole,
    "date": _date, "clock": _clock, "local": _moment, "utc": _utc,
}  # fmt: skip
