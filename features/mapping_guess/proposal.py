"""A mapping proposed for an undescribed export: from its shape, or its columns' names and contents."""

import re
from collections.abc import Sequence

import polars as pl

from daypart.features.mapping_guess.column_names import Guess, matching_columns, often_empty
from daypart.features.mapping_guess.export_formats import Shape, find_shape
from daypart.features.mapping_guess.tickets import add_drops, add_ticket
from daypart.features.mapping_guess.time_formats import TimeFormat, date_format, stamp_format, time_format
from daypart.features.pos import time_zones, timestamps
from daypart.features.tables import parsing

MAPPING_WORDS = (
    "store",
    "timestamp",
    "date",
    "time",
    "timezone",
    "ticket",
    "item",
    "quantity",
    "unit_price",
    "line_total",
)
"""The words of a mapping, in the order of its TOML."""

TIME_NAMES = (
    r".*(created|sold|order|sale|trans|receipt)",
    r".*(date|time|datum|fecha|heure|zeit|stamp)",
    r".*(at|on)$",
)
"""Names of the time that counts, the best first: a line may also have the times when it was sent, paid or closed."""


def guess_mapping(export: pl.DataFrame, stores: Sequence[str]) -> Guess:
    """Return a proposed mapping of an export's columns, text or typed. `stores` are the known store ids.

    A setting that the columns do not show is left out, or proposed with a doubt. So the mapping may be invalid, such
    as where an export has no time at all.
    """
    frame = parsing.clean(export.select(name for name in export.columns if name.strip()))
    shape = find_shape(frame.columns)
    words = {w: c for w, c in (shape.words if shape else {}).items() if c in frame.columns}
    guess = Guess(shape.name if shape else None, {"columns": dict(words)})
    if shape:
        guess.doubts += shape.doubts
    _add_money(guess, frame, words)
    times = _add_times(guess, frame, shape)
    add_ticket(guess, frame, times)
    _add_store(guess, frame, stores)
    if "item" not in guess.columns and not shape:
        _add_named(guess, frame, "item", {guess.columns.get("store"), *guess.columns["ticket"], *times})
    add_drops(guess, frame, shape, times)
    if len(guess.columns["ticket"]) == 1:
        guess.columns["ticket"] = guess.columns["ticket"][0]
    guess.settings["columns"] = {word: guess.columns[word] for word in MAPPING_WORDS if word in guess.columns}
    return guess


def _add_named(guess: Guess, frame: pl.DataFrame, word: str, used: set[str | None]) -> None:
    candidates = [name for name in matching_columns(frame, word) if name not in used and frame[name].dtype == pl.String]
    candidates = [name for name in candidates if not often_empty(frame[name])]
    if candidates:
        guess.columns[word] = candidates[0]


def _add_times(guess: Guess, frame: pl.DataFrame, shape: Shape | None) -> list[str]:
    """Map the time, and return the columns that hold it."""
    columns, day_first = guess.columns, shape.day_first if shape else None
    if "timestamp" not in columns and "date" not in columns:
        time_columns = _find_time_columns(frame, day_first)
        if not time_columns:
            guess.doubts.append("no column holds times: name timestamp, or date and time")
            return []
        columns |= time_columns
    readers = {
        "timestamp": lambda name: stamp_format(frame[name], day_first),
        "date": lambda name: date_format(frame[name], day_first),
        "time": lambda name: time_format(frame[name]),
    }
    words = [word for word in readers if word in columns]
    written: dict[str, TimeFormat | None] = {word: readers[word](columns[word]) for word in words}
    formats = {word: way.format for word, way in written.items() if way and way.format}
    if formats:
        guess.settings["formats"] = formats
    for word, way in written.items():
        if way is None and frame[columns[word]].dtype == pl.String:
            guess.doubts.append(f"no format reads column {columns[word]}: set formats.{word}")
        elif way and way.either:
            guess.doubts.append(f"day and month of {columns[word]} could be exchanged: formats.{word} is {way.format}")
    if any(written.endswith("%Z") for written in formats.values()):
        guess.doubts.append("abbreviations of zones such as EST are not read: set timezone to the zone that they mean")
    _add_zone(guess, frame)
    return [columns[word] for word in words]


def _find_time_columns(frame: pl.DataFrame, day_first: bool | None) -> dict[str, str]:
    """Return the column by word, `timestamp` or `date` and `time`; empty where the frame has neither."""
    ranked = sorted(frame.columns, key=_time_rank)
    stamp = next((name for name in ranked if _is_stamp(frame[name], day_first)), None)
    date = next((name for name in ranked if _is_date(frame[name], day_first)), None)
    time = next((name for name in ranked if _is_time(frame[name])), None)
    if stamp:
        return {"timestamp": stamp}
    return {"date": date, "time": time} if date and time else {}


def _add_zone(guess: Guess, frame: pl.DataFrame) -> None:
    if "timezone" not in guess.columns:
        for name in matching_columns(frame, "timezone"):
            names = frame[name].cast(pl.String).drop_nulls().unique()
            if names.len() and len(time_zones.iana_zones(names)) == names.len():
                guess.columns["timezone"] = name
    if "timezone" not in guess.columns and not _has_instants(guess, frame):
        guess.doubts.append("times are read as the store's own: set timezone if the file is in another zone")


def _has_instants(guess: Guess, frame: pl.DataFrame) -> bool:
    written = guess.settings.get("formats", {}).get("timestamp")
    if written:
        return timestamps.says_instant(written)
    column = frame[guess.columns["timestamp"]] if "timestamp" in guess.columns else None
    return column is not None and column.dtype == pl.String and bool(column.str.contains(parsing.ZONED).any())


def _time_rank(name: str) -> int:
    return next((n for n, way in enumerate(TIME_NAMES) if re.match(way, name.strip(), re.IGNORECASE)), len(TIME_NAMES))


def _is_stamp(column: pl.Series, day_first: bool | None) -> bool:
    if isinstance(column.dtype, pl.Datetime):
        return True
    way = stamp_format(column, day_first)
    # Whole numbers may be epochs, and anything else as well.
    return way is not None and (way.format != "%s" or _time_rank(column.name) < len(TIME_NAMES))


def _is_date(column: pl.Series, day_first: bool | None) -> bool:
    return column.dtype == pl.Date or date_format(column, day_first) is not None


def _is_time(column: pl.Series) -> bool:
    return column.dtype == pl.Time or time_format(column) is not None


def _add_money(guess: Guess, frame: pl.DataFrame, words: dict[str, str]) -> None:
    """Map the columns of money, and its decimal mark."""
    columns = guess.columns
    if not {"line_total", "unit_price"} & set(words):
        totals = [name for name in matching_columns(frame, "line_total") if _decimal_mark(frame[name])]
        totals.sort(key=lambda name: _total_rank(name))
        prices = [
            name for name in matching_columns(frame, "unit_price") if _decimal_mark(frame[name]) and name not in totals
        ]
        pieces = [name for name in matching_columns(frame, "quantity") if _decimal_mark(frame[name])]
        if totals:
            columns["line_total"] = totals[0]
            if len(totals) > 1:
                guess.doubts.append(f"money is {totals[0]}; it could be {' or '.join(totals[1:4])}")
        elif prices:
            columns["unit_price"] = prices[0]
            columns |= {"quantity": pieces[0]} if pieces else {}
        else:
            guess.doubts.append("no column holds money: there are orders only")
    money = [columns[word] for word in ("line_total", "unit_price", "quantity") if word in columns]
    marks = [_decimal_mark(frame[name]) for name in money]
    if "," in marks:
        guess.settings["decimal"] = ","
    elif "?" in marks:
        guess.doubts.append("amounts such as 1,234 have a group of three digits, or decimals: set decimal if they do")


def _total_rank(name: str) -> int:
    ways = (r".*net", r".*sub", r".*line", r".*money")
    return next((n for n, way in enumerate(ways) if re.match(way, name, re.IGNORECASE)), len(ways))


def _decimal_mark(column: pl.Series) -> str | None:
    """Return the decimal mark of a column of amounts, `?` where it could be either, None where it holds no amounts."""
    if column.dtype.is_numeric():
        return "."
    cells = column.drop_nulls() if column.dtype == pl.String else column.clear()
    if not cells.len():
        return None
    frame = cells.to_frame()
    dot, comma = (
        frame.select(parsing.read_amount(cells.name, cells.dtype, mark).is_not_null().mean()).item() for mark in ".,"
    )
    if max(dot, comma) < 0.9:
        return None
    if dot != comma:
        return "." if dot > comma else ","
    return "?" if cells.str.contains(r"\d[.,]\d{3}\D*$").any() else "."


def _add_store(guess: Guess, frame: pl.DataFrame, stores: Sequence[str]) -> None:
    columns = guess.columns
    if "store" not in columns:
        used = {*columns["ticket"], columns.get("item"), columns.get("timestamp")}
        candidates = [
            name for name in matching_columns(frame, "store") if name not in used and not often_empty(frame[name])
        ]
        if candidates:
            columns["store"] = candidates[0]
            return
        guess.settings["store_id"] = stores[0] if len(stores) == 1 else "STORE"
        if len(stores) != 1:
            guess.doubts.append('no column holds the store: replace "STORE" by its store_id')
