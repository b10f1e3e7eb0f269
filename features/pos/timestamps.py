"""Timestamps as exports write them: local times, or instants where the text has a zone."""

import re

import polars as pl

from daypart.features.errors import SchemaError
from daypart.features.tables import parsing
from daypart.features.tables.schemas import Column

OFFSET_DIRECTIVE = re.compile(r"%[:#]*z")
INSTANT_DIRECTIVE = re.compile(r"%[:#]*z|%s|%\+")
LITERAL_Z = re.compile(r"(?<!%)Z$")

UTC_AT_END = r"\s(UTC|GMT|Z)$"
"""Abbreviations of zones that mean one offset everywhere. Others do not: CST is Chicago's, Havana's and Shanghai's."""

TIMES_OF_DAY = ("%H:%M:%S%.f", "%H:%M")
"""How times of day are written where no format says so."""

EPOCH_TEXT = r"^-?\d{1,17}(\.\d+)?$"
EPOCH_UNITS = {1e11: 1_000_000, 1e14: 1_000, 1e17: 1}
"""Microseconds in a unit of an epoch below that size: seconds, milliseconds (from 1973 on) or microseconds."""


def says_instant(written: str) -> bool:
    """Return whether times in that format are instants: by an offset, a literal `Z` at their end or a Unix epoch."""
    directives = written.replace("%%", "")
    return bool(INSTANT_DIRECTIVE.search(directives) or LITERAL_Z.search(directives))


def read_stamp(name: str, values: pl.Series, written: str | None) -> tuple[pl.Expr, pl.Expr]:
    """Return expressions that read the column `name` with cleaned cells `values`: local times, and instants in UTC.

    A cell is one of the two, and null in the other; null in both where it is not written so. Without a format a cell of
    text is ISO 8601, and an instant if an offset or `Z` follows. In a format, every notation of an offset stands for
    every other. Under `%Z` at its end, UTC and GMT make instants; other abbreviations are not read. Raises SchemaError
    for a column of a type that holds no times.
    """
    dtype, nothing = values.dtype, pl.lit(None, pl.Datetime("us"))
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return nothing, parsing.read(Column(name, "utc", ""), dtype)
    if written and (dtype == pl.String or dtype.is_numeric()):
        text = parsing.read(Column(name, "text", ""), dtype)
        if says_instant(written):
            return nothing, _read_instant(text, written)
        at = text.str.to_datetime(written, time_unit="us", strict=False)
        utc = text.str.contains(UTC_AT_END) if written.endswith("%Z") else pl.lit(value=False)
        return pl.when(~utc).then(at), pl.when(utc).then(at)
    local = parsing.read(Column(name, "local", ""), dtype)
    if dtype != pl.String or not values.str.contains(parsing.ZONED).any():
        return local, nothing
    return local, parsing.read_instant(pl.col(name))


def _read_instant(text: pl.Expr, written: str) -> pl.Expr:
    if written.strip() == "%s":
        return _read_epoch(text)
    any_offset = OFFSET_DIRECTIVE.sub("%#z", LITERAL_Z.sub("%#z", written))
    if any_offset.endswith("%#z"):
        text = text.str.replace(r"\s*(UTC|GMT)$", "Z")
    # Polars gives what has an offset in UTC, and epochs, which count from UTC, without a zone.
    return text.str.to_datetime(any_offset, time_unit="us", strict=False).dt.replace_time_zone(None)


def _read_epoch(text: pl.Expr) -> pl.Expr:
    number = pl.when(text.str.contains(EPOCH_TEXT)).then(text).cast(pl.Float64, strict=False)
    units = [pl.when(number.abs() < size).then((number * unit).round()) for size, unit in EPOCH_UNITS.items()]
    return pl.coalesce(units).cast(pl.Int64).cast(pl.Datetime("us"))


def read_date_and_time(
    names: tuple[str, str], times: pl.Series, date_dtype: pl.DataType, written: tuple[str | None, str | None]
) -> tuple[pl.Expr, pl.Expr, pl.Expr, pl.Expr]:
    """Return expressions that read a column of dates and one of times of day, whose cleaned cells are `times`.

    They are the date, the time of day as written, and, from both, the local time and the instant as in `read_stamp`.
    Raises SchemaError for columns of types that hold no dates or no times of day.
    """
    date_name, time_name = names
    date_written, time_written = written
    date = parsing.read(Column(date_name, "date", ""), date_dtype)
    if date_written and (date_dtype == pl.String or date_dtype.is_numeric()):
        date = parsing.read(Column(date_name, "text", ""), date_dtype).str.to_date(date_written, strict=False)
    time = _read_time(time_name, times.dtype, time_written)
    local, nothing = date.dt.combine(time, "us"), pl.lit(None, pl.Datetime("us"))
    if times.dtype != pl.String:
        return date, time, local, nothing
    stamp = date.dt.strftime("%Y-%m-%d ") + pl.col(time_name)
    if time_written and says_instant(time_written):
        instant = _read_instant(stamp, f"%Y-%m-%d {time_written}")
        return date, instant.dt.time(), nothing, instant
    if time_written or not times.str.contains(_ZONED_TIME).any():
        return date, time, local, nothing
    instant = parsing.read_instant(stamp)
    return date, pl.coalesce(time, instant.dt.time()), local, instant


_ZONED_TIME = parsing.ZONED.replace(r"^\d{4}-\d\d-\d\d[Tt ]", "^")


def _read_time(name: str, dtype: pl.DataType, written: str | None) -> pl.Expr:
    time = pl.col(name)
    if isinstance(dtype, pl.Null):
        return pl.lit(None, pl.Time)
    if dtype == pl.String:
        return pl.coalesce(time.str.to_time(way, strict=False) for way in ([written] if written else TIMES_OF_DAY))
    if dtype != pl.Time:
        raise SchemaError(f"column {name} holds {dtype}, expected times of day")
    return time
