"""The format of times in a column of text, detected from its cells."""

import re
from dataclasses import dataclass
from itertools import product

import polars as pl

from daypart.features.pos import timestamps
from daypart.features.tables import parsing

SAMPLE_CELLS = 2_000
"""Cells from which a format is detected."""

MIN_READ_SHARE = 0.9
"""Least share of the cells that a format reads: others may be totals."""

YEARS = 1990, 2100

DAYS_FIRST = ("%d/%m/%Y", "%d/%m/%y", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y", "%d-%m-%y")
MONTHS_FIRST = ("%m/%d/%Y", "%m/%d/%y", "%m.%d.%Y", "%m.%d.%y", "%m-%d-%Y", "%m-%d-%y")
PLAIN_DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%d %B %Y",
              "%B %d, %Y")  # fmt: skip
TIME_FORMATS = ("%H:%M:%S%.f", "%H:%M:%S", "%H:%M", "%I:%M %p", "%I:%M:%S %p", "%H.%M", "%H%M%S")
BETWEEN = (" ", "T", ", ", "  ")
OFFSET_FORMATS = ("", "%z", " %z", "Z")
ABBREVIATION = re.compile(r"\d( [AaPp][Mm])? (?![AaPp][Mm]$)[A-Z]{2,5}$")
"""A zone's abbreviation after the time, such as EST."""


@dataclass(frozen=True)
class TimeFormat:
    """The format of a column: `format` is null for ISO 8601; `either` says that day and month could be exchanged."""

    format: str | None
    either: bool = False


def stamp_format(column: pl.Series, day_first: bool | None) -> TimeFormat | None:
    """Return the format of a column of timestamps, None where it holds none. `day_first` decides where cells do not."""
    sample = _sample(column)
    if sample.is_empty():
        return None
    local, instant = timestamps.read_stamp(column.name, sample, None)
    if _reads(sample, pl.coalesce(local, instant)):
        return TimeFormat(None)
    if _reads(sample, timestamps.read_stamp(column.name, sample, "%s")[1]):
        return TimeFormat("%s")
    first = str(sample[0])
    ends = (" %Z",) if ABBREVIATION.search(first) else OFFSET_FORMATS
    rests = [
        f"{mark}{time}{zone}" for mark, time, zone in product(BETWEEN, TIME_FORMATS, ends) if mark.strip() in first
    ]
    return _day_format(sample, day_first, rests)


def date_format(column: pl.Series, day_first: bool | None) -> TimeFormat | None:
    """Return the format of a column of dates without a time; None where it holds none."""
    sample = _sample(column)
    return None if sample.is_empty() else _day_format(sample, day_first, [""])


def time_format(column: pl.Series) -> TimeFormat | None:
    """Return the format of a column of times of day; None where it holds none."""
    sample = _sample(column)
    plain = sample.str.replace(parsing.ZONE_AT_END, "")
    if sample.is_empty():
        return None
    for written in (None, *TIME_FORMATS):
        ways = [written] if written else list(timestamps.TIMES_OF_DAY)
        if _share(plain.to_frame(), pl.coalesce(pl.col(column.name).str.to_time(way, strict=False) for way in ways)):
            return TimeFormat(written)
    return None


def _day_format(sample: pl.Series, day_first: bool | None, rests: list[str]) -> TimeFormat | None:
    """Return the first format of a date, before one of the `rests`, that reads the sample."""
    plain = next((f"{day}{rest}" for day, rest in product(PLAIN_DAYS, rests) if _fits(sample, f"{day}{rest}")), None)
    if plain:
        return TimeFormat(None if plain == "%Y-%m-%d" else plain)
    day, month = (
        next((f"{day}{rest}" for day, rest in product(days, rests) if _fits(sample, f"{day}{rest}")), None)
        for days in (DAYS_FIRST, MONTHS_FIRST)
    )
    if day is None or month is None:
        return TimeFormat(day or month) if day or month else None
    if day_first is None:
        day_first = _span(sample, day) <= _span(sample, month) and "%p" not in day
    return TimeFormat(day if day_first else month, either=True)


def _fits(sample: pl.Series, written: str) -> bool:
    if "%H" not in written and "%I" not in written:
        return _reads(sample, pl.col(sample.name).str.to_date(written, strict=False).cast(pl.Datetime("us")))
    return _reads(sample, pl.coalesce(timestamps.read_stamp(sample.name, sample, written)))


def _span(sample: pl.Series, written: str) -> int:
    """Return the days from the first to the last. The right format of a month's export has the shorter span."""
    day = written.split("%H")[0].split("%I")[0].rstrip(" ,T")
    dates = sample.to_frame().select(
        pl.col(sample.name).str.extract(r"^(\S+?)(?:[ ,T]|$)").str.to_date(day, strict=False)
    )
    low, high = dates.to_series().min(), dates.to_series().max()
    return int((high - low).days) if low is not None and high is not None else 0  # type: ignore[operator,union-attr]


def _sample(column: pl.Series) -> pl.Series:
    cells = column.drop_nulls() if column.dtype == pl.String else pl.Series(column.name, [], pl.String)
    return cells.gather_every(max(1, cells.len() // SAMPLE_CELLS))


def _reads(sample: pl.Series, read: pl.Expr) -> bool:
    return _share(sample.to_frame(), pl.when(read.dt.year().is_between(*YEARS)).then(read))


def _share(frame: pl.DataFrame, read: pl.Expr) -> bool:
    return bool(frame.select(read.is_not_null().mean() >= MIN_READ_SHARE).item())
