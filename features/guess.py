"""A mapping proposed for an export that nobody has described: from its shape, or its columns' names and contents."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from features import cells, stamps, zones
from features.export_shapes import VOIDED, Shape, find_shape
from features.guess_times import Written, told_date, told_stamp, told_time

NAMES = {
    "ticket": r"(receipt|ticket|order|transaction|check|cheque|invoice|bill|sale|bon|beleg|facture)s?"
    r"([ _#.]*(id|no|nr|num|number|code|name|n[uú]mero|nummer))?[ .#]*$",
    "line_total": r"^(net|net[ _](sales|price|amount|total)|total[ _]money|.*line[ _]?total|.*sub[ _]?total|"
    r"(total|amount|sales|revenue|umsatz|betrag|montant|importe|total[ _]?(price|amount|net)?|money)|.*total.*)$",
    "unit_price": r".*(unit[ _]?price|price|prix|preis|pris|precio)",
    "quantity": r"(qty|quantity|quantit[eé]|menge|antal|cantidad|pieces|.*[ _](qty|quantity))$",
    "store": r"(store|shop|location|outlet|branch|site|venue|filiale|butik|restaurant|tienda)"
    r"([ _]?(id|name|no|code))?$",
    "item": r".*(item|product|article|artikel|produkt|menu|description|_name$|dish)",
    "till": r".*(register|till|terminal|kasse|caisse|device|workstation|pos)([ _]?(id|name|no|nr|number))?$",
    "timezone": r".*(time[ _]?zone|^tz$)",
    "state": r".*(void|status|state|cancel|deleted)",
}
"""What columns are called, by word, in whatever case."""

TIME_NAMES = (
    r".*(created|sold|order|sale|trans|receipt)",
    r".*(date|time|datum|fecha|heure|zeit|stamp)",
    r".*(at|on)$",
)
"""Names of the time that counts, the best first: a line may also say when it was sent, paid or closed."""

FLAG = r"(void|cancel|deleted)"


@dataclass
class Guess:
    """A mapping as its TOML would have it, the shape that it was told from, and what is unsure."""

    shape: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, Any]:
        return self.settings["columns"]  # type: ignore[no-any-return]


def guess_mapping(export: pl.DataFrame, stores: Sequence[str]) -> Guess:
    """The mapping of an export's columns, text or typed. `stores` are known ids, one of which is that of all lines.

    What the columns do not say is left out, or proposed with a doubt; so the mapping may not be one, where an export
    has no time at all.
    """
    frame = cells.clean(export.select(name for name in export.columns if name.strip()))
    shape = find_shape(frame.columns)
    words = {w: c for w, c in (shape.words if shape else {}).items() if c in frame.columns}
    guess = Guess(shape.name if shape else None, {"columns": dict(words)})
    if shape:
        guess.doubts += shape.doubts
    _add_money(guess, frame, words)
    times = _add_times(guess, frame, shape)
    _add_ticket(guess, frame, times)
    _add_store(guess, frame, stores)
    if "item" not in guess.columns and not shape:
        _add_named(guess, frame, "item", {guess.columns.get("store"), *guess.columns["ticket"], *times})
    _add_drops(guess, frame, shape, times)
    if len(guess.columns["ticket"]) == 1:
        guess.columns["ticket"] = guess.columns["ticket"][0]
    return guess


def _named(frame: pl.DataFrame, word: str) -> list[str]:
    """The columns that are called so, those nearest to the beginning of the pattern first."""
    pattern = re.compile(NAMES[word], re.IGNORECASE)
    return [name for name in frame.columns if pattern.match(name.strip())]


def _add_named(guess: Guess, frame: pl.DataFrame, word: str, taken: set[str | None]) -> None:
    found = [name for name in _named(frame, word) if name not in taken and frame[name].dtype == pl.String]
    found = [name for name in found if not _mostly_empty(frame[name])]
    if found:
        guess.columns[word] = found[0]


def _add_times(guess: Guess, frame: pl.DataFrame, shape: Shape | None) -> list[str]:
    """Maps the time, and gives the columns that it is in."""
    columns, day_first = guess.columns, shape.day_first if shape else None
    if "timestamp" not in columns and "date" not in columns:
        ranked = sorted(frame.columns, key=_time_rank)
        stamp = next((name for name in ranked if _is_stamp(frame[name], day_first)), None)
        date = next((name for name in ranked if _is_date(frame[name], day_first)), None)
        time = next((name for name in ranked if _is_time(frame[name])), None)
        if stamp:
            columns["timestamp"] = stamp
        elif date and time:
            columns |= {"date": date, "time": time}
        else:
            guess.doubts.append("no column holds times: name timestamp, or date and time")
            return []
    told = {
        "timestamp": lambda name: told_stamp(frame[name], day_first),
        "date": lambda name: told_date(frame[name], day_first),
        "time": lambda name: told_time(frame[name]),
    }
    words = [word for word in told if word in columns]
    written: dict[str, Written | None] = {word: told[word](columns[word]) for word in words}
    formats = {word: way.format for word, way in written.items() if way and way.format}
    if formats:
        guess.settings["formats"] = formats
    for word, way in written.items():
        if way is None and frame[columns[word]].dtype == pl.String:
            guess.doubts.append(f"no format reads column {columns[word]}: set formats.{word}")
        elif way and way.either:
            guess.doubts.append(f"day and month of {columns[word]} could be exchanged: formats.{word} is {way.format}")
    _add_zone(guess, frame)
    return [columns[word] for word in words]


def _add_zone(guess: Guess, frame: pl.DataFrame) -> None:
    if "timezone" not in guess.columns:
        for name in _named(frame, "timezone"):
            names = frame[name].cast(pl.String).drop_nulls().unique()
            if names.len() and len(zones.known(names)) == names.len():
                guess.columns["timezone"] = name
    if "timezone" not in guess.columns and not _says_instants(guess, frame):
        guess.doubts.append("times are read as the store's own: set timezone if the file is in another zone")


def _says_instants(guess: Guess, frame: pl.DataFrame) -> bool:
    written = guess.settings.get("formats", {}).get("timestamp")
    if written:
        return stamps.says_instant(written)
    column = frame[guess.columns["timestamp"]] if "timestamp" in guess.columns else None
    return column is not None and column.dtype == pl.String and bool(column.str.contains(cells.ZONED).any())


def _time_rank(name: str) -> int:
    return next((n for n, way in enumerate(TIME_NAMES) if re.match(way, name.strip(), re.IGNORECASE)), len(TIME_NAMES))


def _is_stamp(column: pl.Series, day_first: bool | None) -> bool:
    if isinstance(column.dtype, pl.Datetime):
        return True
    way = told_stamp(column, day_first)
    # Whole numbers may be epochs, and anything else as well.
    return way is not None and (way.format != "%s" or _time_rank(column.name) < len(TIME_NAMES))


def _is_date(column: pl.Series, day_first: bool | None) -> bool:
    return column.dtype == pl.Date or told_date(column, day_first) is not None


def _is_time(column: pl.Series) -> bool:
    return column.dtype == pl.Time or told_time(column) is not None


def _add_money(guess: Guess, frame: pl.DataFrame, words: dict[str, str]) -> None:
    """Maps what lines cost, and the decimal mark of it."""
    columns = guess.columns
    if not {"line_total", "unit_price"} & set(words):
        totals = [name for name in _named(frame, "line_total") if _mark(frame[name])]
        totals.sort(key=lambda name: _total_rank(name))
        prices = [name for name in _named(frame, "unit_price") if _mark(frame[name]) and name not in totals]
        pieces = [name for name in _named(frame, "quantity") if _mark(frame[name])]
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
    marks = [_mark(frame[name]) for name in money]
    if "," in marks:
        guess.settings["decimal"] = ","
    elif "?" in marks:
        guess.doubts.append("amounts such as 1,234 have a group of three digits, or decimals: set decimal if they do")


def _total_rank(name: str) -> int:
    ways = (r".*net", r".*sub", r".*line", r".*money")
    return next((n for n, way in enumerate(ways) if re.match(way, name, re.IGNORECASE)), len(ways))


def _mark(column: pl.Series) -> str | None:
    """The decimal mark with which a column holds amounts, `?` where it could be either, null where it holds none."""
    if column.dtype.is_numeric():
        return "."
    given = column.drop_nulls() if column.dtype == pl.String else column.clear()
    if not given.len():
        return None
    frame = given.to_frame()
    dot, comma = (
        frame.select(cells.read_amount(given.name, given.dtype, mark).is_not_null().mean()).item() for mark in ".,"
    )
    if max(dot, comma) < 0.9:
        return None
    if dot != comma:
        return "." if dot > comma else ","
    return "?" if given.str.contains(r"\d[.,]\d{3}\D*$").any() else "."


def _add_ticket(guess: Guess, frame: pl.DataFrame, times: list[str]) -> None:
    """Maps the number of a ticket, with the till where tills number alike; without one the time stands for it."""
    columns = guess.columns
    taken = {*times, *(columns.get(word) for word in ("line_total", "unit_price", "quantity", "item", "store"))}
    if "ticket" in columns:
        columns["ticket"] = [columns["ticket"]]
    else:
        found = [name for name in _named(frame, "ticket") if name not in taken and not _mostly_empty(frame[name])]
        columns["ticket"] = sorted(found, key=lambda name: -frame[name].n_unique())[:1] or list(times)
        if not found:
            guess.doubts.append("no column numbers tickets: lines of one time are one ticket")
        elif len(found) > 1:
            guess.doubts.append(f"a ticket is one {columns['ticket'][0]}; it could be one {' or '.join(found[:4])}")
        tills = [name for name in _named(frame, "till") if name not in {*taken, *columns["ticket"]}] if found else []
        alike = next((till for till in tills if _alike(frame, columns["ticket"][0], till)), None)
        if alike:
            columns["ticket"].insert(0, alike)
            guess.doubts.append(f"more than one {alike} gives out the same number: both together number a ticket")


def _alike(frame: pl.DataFrame, ticket: str, till: str) -> bool:
    """Whether more than one till gives out the same number."""
    tills = frame.drop_nulls([ticket, till]).group_by(ticket).agg(pl.col(till).n_unique())
    return not _mostly_empty(frame[till]) and bool((tills[till] > 1).any())


def _mostly_empty(column: pl.Series) -> bool:
    return 10 * column.null_count() >= column.len()


def _add_store(guess: Guess, frame: pl.DataFrame, stores: Sequence[str]) -> None:
    columns = guess.columns
    if "store" not in columns:
        taken = {*columns["ticket"], columns.get("item"), columns.get("timestamp")}
        found = [name for name in _named(frame, "store") if name not in taken and not _mostly_empty(frame[name])]
        if found:
            columns["store"] = found[0]
            return
        guess.settings["store_id"] = stores[0] if len(stores) == 1 else "STORE"
        if len(stores) != 1:
            guess.doubts.append('no column holds the store: replace "STORE" by its store_id')


def _add_drops(guess: Guess, frame: pl.DataFrame, shape: Shape | None, times: list[str]) -> None:
    """Drops what is void, and lines of totals: the last ones, without a ticket or a time."""
    rules = {c: values for c, values in (shape.drop if shape else {}).items() if c in frame.columns}
    for name in _named(frame, "state") if not shape else []:
        values = frame[name].cast(pl.String).drop_nulls().unique().sort().to_list()
        flag = re.search(FLAG, name, re.IGNORECASE)
        void = [value for value in values if value.lower() in (*VOIDED, *(("true", "yes", "y", "1") if flag else ()))]
        if void and len(void) < len(values) + frame[name].null_count():
            rules[name] = tuple(void)
            guess.doubts.append(f"lines whose {name} is {' or '.join(void)} are dropped as void")
    for name in dict.fromkeys([*guess.columns["ticket"], *times, *filter(None, [guess.columns.get("store")])]):
        empty = frame.filter(pl.col(name).is_null() & ~pl.all_horizontal(pl.all().is_null()))
        if 0 < empty.height <= max(5, frame.height // 100):
            rules[name] = (*rules.get(name, ()), "")
            guess.doubts.append(f"{empty.height} lines without {name} are dropped, as those of totals")
            break
    else:
        last = (
            frame.drop_nulls(times[:1]).tail(1)[times[0]].cast(pl.String) if times else pl.Series([], dtype=pl.String)
        )
        if last.len() and re.match(r"\D+$", str(last[0])):
            rules[times[0]] = (*rules.get(times[0], ()), str(last[0]))
            guess.doubts.append(f"lines whose {times[0]} is {last[0]} are dropped, as those of totals")
    if rules:
        guess.settings["drop"] = [{"column": name, "equals": list(values)} for name, values in rules.items()]
