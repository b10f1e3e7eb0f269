"""The ticket number of an export's lines, and the lines to drop, proposed for a mapping."""

import re

import polars as pl

from daypart.features.mapping_guess.column_names import Guess, matching_columns, often_empty
from daypart.features.mapping_guess.export_formats import VOIDED, Shape

VOID_FLAG = r"(void|cancel|deleted)"


def add_ticket(guess: Guess, frame: pl.DataFrame, times: list[str]) -> None:
    """Map the number of a ticket, with the till where tills share numbers; without a number the time stands for it."""
    columns = guess.columns
    used = {*times, *(columns.get(word) for word in ("line_total", "unit_price", "quantity", "item", "store"))}
    if "ticket" in columns:
        columns["ticket"] = [columns["ticket"]]
    else:
        choices = [
            name for name in matching_columns(frame, "ticket") if name not in used and not often_empty(frame[name])
        ]
        columns["ticket"] = sorted(choices, key=lambda name: -frame[name].n_unique())[:1] or list(times)
        if not choices:
            guess.doubts.append("no column numbers tickets: lines of one time are one ticket")
        elif len(choices) > 1:
            guess.doubts.append(f"a ticket is one {columns['ticket'][0]}; it could be one {' or '.join(choices[:4])}")
        tills = (
            [name for name in matching_columns(frame, "till") if name not in {*used, *columns["ticket"]}]
            if choices
            else []
        )
        alike = next((till for till in tills if _tills_share_numbers(frame, columns["ticket"][0], till)), None)
        if alike:
            columns["ticket"].insert(0, alike)
            guess.doubts.append(f"more than one {alike} gives out the same number: both together number a ticket")


def _tills_share_numbers(frame: pl.DataFrame, ticket: str, till: str) -> bool:
    """Return whether more than one till issues the same number."""
    tills = frame.drop_nulls([ticket, till]).group_by(ticket).agg(pl.col(till).n_unique())
    return not often_empty(frame[till]) and bool((tills[till] > 1).any())


def add_drops(guess: Guess, frame: pl.DataFrame, shape: Shape | None, times: list[str]) -> None:
    """Add rules that drop void lines and lines of totals: the last ones, without a ticket or a time."""
    rules = {c: values for c, values in (shape.drop if shape else {}).items() if c in frame.columns}
    for name in matching_columns(frame, "state") if not shape else []:
        values = frame[name].cast(pl.String).drop_nulls().unique().sort().to_list()
        flag = re.search(VOID_FLAG, name, re.IGNORECASE)
        void = [value for value in values if value.lower() in (*VOIDED, *(("true", "yes", "y", "1") if flag else ()))]
        if void and len(void) < len(values) + frame[name].null_count():
            rules[name] = tuple(void)
            guess.doubts.append(f"lines whose {name} is {' or '.join(void)} are dropped as void")
    rules |= _totals(guess, frame, times)
    if rules:
        guess.settings["drop"] = [{"column": name, "equals": list(values)} for name, values in rules.items()]


def _totals(guess: Guess, frame: pl.DataFrame, times: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the rule for lines of totals: an empty cell in place of a ticket, or a word in place of a time."""
    filled = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    for name in dict.fromkeys([*guess.columns["ticket"], *times, *filter(None, [guess.columns.get("store")])]):
        empty = filled[name].null_count()
        if empty and filled[name].tail(empty).is_null().all() and empty < filled.height:
            guess.doubts.append(f"the last {empty} lines, without {name}, are dropped as those of totals")
            return {name: ("",)}
    last = filled[times[0]].tail(1).cast(pl.String).to_list() if times else []
    if last and last[0] and re.match(r"\D+$", last[0]):
        guess.doubts.append(f"lines whose {times[0]} is {last[0]} are dropped as those of totals")
        return {times[0]: (last[0],)}
    return {}
