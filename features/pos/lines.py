"""Lines of a point-of-sale export, read by a mapping: which lines count, their times and their amounts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from daypart.features import clock
from daypart.features.errors import InputError, SchemaError
from daypart.features.pos.line_times import EMPTY, ROW, settle, time_checks, time_label, with_times
from daypart.features.pos.mapping import Mapping
from daypart.features.tables import checks, parsing
from daypart.features.tables.checks import RAW, Check
from daypart.features.tables.schemas import Column

MILLIONTHS = 1_000_000
"""Money is held in whole millionths of the currency, whose sums are exact and do not depend on row order."""

MOST_MONEY = 1e9
"""Largest amount of one line, in the currency: the sum of nine thousand of them in millionths is still exact."""

MOST_LINES = 1_000
"""A ticket has fewer lines on a day; a number with as many is no ticket number."""

SHORTENED = r"^\d([.,]\d+)?[eE]\+\d+$"
"""A long number as a spreadsheet shows and saves it, such as 1.3E+18."""


@dataclass(frozen=True)
class Lines:
    """The lines of an export that count, and how many do not.

    `rows` has one row per line, in the export's order: row, store_id, ticket, item (null where none is mapped),
    hour_local, hour_utc, at_local, at_utc, millionths (of the currency; 0 where the export has no prices), instant
    (the export says the moment, so that at_local follows from it and the store's time zone).
    `refused` has the export's names of columns.
    `read` counts lines, blank ones apart; `dropped` counts them by rule.
    """

    rows: pl.DataFrame
    refused: pl.DataFrame
    read: int
    dropped: dict[str, int]


def read_lines(export: pl.DataFrame, mapping: Mapping, zones: pl.DataFrame, now: datetime | None = None) -> Lines:
    """Return the lines of an export, text or typed; lines that a rule drops are not read further.

    With `now`, UTC, later lines are refused. Raises SchemaError for columns that the mapping names and the export
    lacks, InputError for unknown stores.
    """
    absent = [name for name in mapping.column_names if name not in export.columns]
    if absent:
        columns = ", ".join(export.columns)
        raise SchemaError(f"mapping: no column {', '.join(absent)} in the export, which has {columns}")
    arrived = _arrived(export, mapping)
    lines, dropped = _without_dropped(arrived, mapping)
    read = settle(_with_zone(_parsed(lines, mapping), zones), mapping)
    labels = {**mapping.columns.words, "at": time_label(mapping)}
    refused = checks.refusals(read, list(_checks(read, mapping, now))).with_columns(pl.col("column").replace(labels))
    good = read.join(refused, on=ROW, how="anti", maintain_order="left")
    placed = clock.with_hour(good, "at_local", "at_utc").with_columns(ticket=_ticket_key(mapping.columns.ticket_words))
    names = [ROW, "store_id", "ticket", "item", "hour_local", "hour_utc", "at_local", "at_utc", "millionths", "instant"]
    return Lines(placed.select(names), refused, arrived.height, dropped)


def _arrived(export: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Return the mapped columns under the mapping's own words, rows counted from 1, without blank rows."""
    words = mapping.columns.words
    clues = {f"drop {n}": drop.column for n, drop in enumerate(mapping.drop)}
    chosen = export.select(pl.col(name).alias(word) for word, name in {**words, **clues}.items())
    arrived = parsing.clean(chosen).with_row_index(ROW, 1).cast({ROW: pl.Int64})
    return arrived.filter(pl.any_horizontal(pl.exclude(ROW).is_not_null()))


def _without_dropped(arrived: pl.DataFrame, mapping: Mapping) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return the lines that no rule drops, and how many lines each rule drops; the first rule that matches counts."""
    rules = {
        f"{drop.column} is {' or '.join(value or 'empty' for value in drop.equals)}": _equals(
            pl.col(f"drop {n}"), arrived.schema[f"drop {n}"], drop.equals
        )
        for n, drop in enumerate(mapping.drop)
    }
    if mapping.columns.item:
        rules[f"{mapping.columns.item} is empty"] = pl.col("item").is_null()
    if not rules:
        return arrived, {}
    first = pl.coalesce(pl.when(fits).then(pl.lit(rule)) for rule, fits in rules.items())
    marked = arrived.with_columns(first.alias("rule"))
    counts = dict(marked.drop_nulls("rule").group_by("rule").len().rows())
    return marked.filter(pl.col("rule").is_null()), {rule: counts.get(rule, 0) for rule in rules}


def _equals(cell: pl.Expr, dtype: pl.DataType, values: Sequence[str]) -> pl.Expr:
    """Return whether a cleaned cell is one of the values as people write them; `""` is an empty cell."""
    same = cell.cast(pl.String).is_in(values)
    if dtype.is_float():  # 1 is held as 1.0
        same |= cell.cast(pl.Int64, strict=False).cast(pl.String).is_in(values) & (cell == cell.round())
    return pl.when(cell.is_null()).then(pl.lit("" in values)).otherwise(same)


def _ticket_key(words: Sequence[str]) -> pl.Expr:
    """Return one text of the words' cells. Different cells give different text: no cell begins or ends with a space."""
    if len(words) == 1:
        return pl.col(words[0])
    return pl.concat_str(pl.col(words).str.replace_all("|", "||", literal=True), separator=" | ")


def _parsed(lines: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Return store, ticket, time and money of each line parsed, and beside them the cells as they arrived."""
    dtypes, columns = lines.schema, mapping.columns
    raw = [pl.col(word).alias(RAW + word) for word in lines.columns if word != ROW]
    text = [_text(word, dtypes[word]) for word in (*columns.ticket_words, *(["store"] if columns.store else []))]
    amounts = [parsing.read_amount(word, dtypes[word], mapping.decimal).alias(word) for word in _money_words(mapping)]
    total = pl.lit(0.0)
    if mapping.has_prices:
        total = pl.col("line_total") if columns.line_total else pl.col("unit_price")
        total = total * pl.col("quantity") if len(amounts) == 2 else total
    # Null, and so refused, where sums could exceed 64 bits.
    millionths = pl.when(total.abs() <= MOST_MONEY).then(total * MILLIONTHS)
    return (
        with_times(lines.with_columns(raw), mapping)
        .with_columns(*text, *amounts)
        .with_columns(
            store_id=pl.col("store") if columns.store else pl.lit(mapping.store_id),
            item=pl.col("item").cast(pl.String) if columns.item else pl.lit(None, pl.String),
            millionths=millionths.round().cast(pl.Int64, strict=False),
        )
    )


def _text(word: str, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_temporal():  # a time that stands for the number of a ticket
        return pl.col(word).cast(pl.String)
    return parsing.read(Column(word, "text", ""), dtype)


def _money_words(mapping: Mapping) -> list[str]:
    """Return the columns of a line's total; none where the export has no prices."""
    if mapping.columns.line_total:
        return ["line_total"]
    if mapping.columns.unit_price:
        return ["unit_price", "quantity"] if mapping.columns.quantity else ["unit_price"]
    return []


def _with_zone(read: pl.DataFrame, zones: pl.DataFrame) -> pl.DataFrame:
    store_zones = zones.select("store_id", "timezone")
    strange = read.select("store_id").drop_nulls().unique().join(store_zones, on="store_id", how="anti")
    if not strange.is_empty():
        names = ", ".join(strange["store_id"].sort().head(5))
        more = f" and {strange.height - 5} more" if strange.height > 5 else ""
        raise InputError(f"store {names}{more} not in stores: ingest stores first, or drop its lines")
    return read.join(store_zones, on="store_id", how="left", maintain_order="left", validate="m:1")


def _checks(read: pl.DataFrame, mapping: Mapping, now: datetime | None) -> Iterator[Check]:
    """Yield the checks of a line; a line with any fault is refused as a whole."""
    columns, money = mapping.columns, _money_words(mapping)
    reasons = dict.fromkeys(columns.ticket_words, "is not text")
    reasons |= {"store": "is not text"} if columns.store else {}
    reasons |= dict.fromkeys(money, f"is not a number with decimal mark {mapping.decimal!r}")
    for word, reason in reasons.items():
        empty = EMPTY if word not in money else "is empty"
        yield Check(word, pl.col(RAW + word).is_null(), empty)
        yield Check(word, pl.col(word).is_null(), reason)
    yield from _ticket_checks(read, columns.ticket_words)
    yield from time_checks(mapping, now)
    if money:
        yield Check(money[0], pl.col("millionths").is_null(), "is too large")


def _ticket_checks(read: pl.DataFrame, words: Sequence[str]) -> Iterator[Check]:
    """Yield the checks that a number is a ticket number."""
    for word in words:
        arrived, dtype = pl.col(RAW + word), read.schema[RAW + word]
        shortened = arrived.str.contains(SHORTENED) if dtype == pl.String else pl.lit(value=False)
        if dtype.is_float():
            shortened = arrived.abs() >= 2**53
        yield Check(word, shortened, "is a long number that a spreadsheet has cut short: export it anew, as text")
    same_day = pl.struct("store_id", *words, pl.col("at_local").dt.date())
    crowded = pl.len().over(same_day) >= MOST_LINES
    reason = f"is on {MOST_LINES:,} lines or more of one day: map the column, or the columns, that number the tickets"
    yield Check(words[0], crowded, reason)
