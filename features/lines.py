"""Lines of a point-of-sale export, read as a mapping says: which are kept, when each was and what it came to."""

from dataclasses import dataclass

import polars as pl

from features import cells, checks, clock
from features.checks import RAW, Check
from features.errors import InputError, SchemaError
from features.mapping import Mapping
from features.tables import Column

MILLIONTHS = 1_000_000
"""Money is held in whole millionths of the currency, whose sums are exact and do not depend on row order."""

ROW = "row"


@dataclass(frozen=True)
class Lines:
    """The lines of an export that count, and how many did not.

    `kept` has one row per line: row, store_id, ticket, hour_local, hour_utc, at_local, at_utc, millionths (of
    the currency; 0 where the export has no prices). `refused` is as `conform` gives it, with the export's names.
    """

    kept: pl.DataFrame
    refused: pl.DataFrame
    read: int
    dropped: dict[str, int]


def read_lines(export: pl.DataFrame, mapping: Mapping, zones: pl.DataFrame) -> Lines:
    """The lines of an export, text or typed, dropped by rule before anything else of them is read.

    Raises SchemaError for columns that the mapping names and the export lacks, InputError for unknown stores.
    """
    absent = [name for name in mapping.named if name not in export.columns]
    if absent:
        found = ", ".join(export.columns)
        raise SchemaError(f"mapping: no column {', '.join(absent)} in the export, which has {found}")
    arrived = _arrived(export, mapping)
    kept, dropped = _without_dropped(arrived, mapping)
    read = _settle(_with_zone(_meant(kept, mapping), zones), mapping)
    labels = {**mapping.columns.model_dump(exclude_none=True), "at": _time_label(mapping)}
    refused = checks.refusals(read, _checks(read, mapping)).with_columns(pl.col("column").replace(labels))
    good = read.join(refused, on=ROW, how="anti", maintain_order="left")
    hour = pl.col("at_local").dt.truncate("1h")
    placed = good.with_columns(hour_local=hour, hour_utc=pl.col("at_utc") - (pl.col("at_local") - hour))
    names = [ROW, "store_id", "ticket", "hour_local", "hour_utc", "at_local", "at_utc", "millionths"]
    return Lines(placed.select(names), refused, arrived.height, dropped)


def _time_label(mapping: Mapping) -> str:
    columns = mapping.columns
    return columns.timestamp or f"{columns.date}, {columns.time}"


def _arrived(export: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """The named columns under the mapping's own words, rows counted from 1, without blank rows."""
    words = mapping.columns.model_dump(exclude_none=True)
    clues = {f"drop {n}": drop.column for n, drop in enumerate(mapping.drop)}
    chosen = export.select(pl.col(name).alias(word) for word, name in {**words, **clues}.items())
    arrived = cells.clean(chosen).with_row_index(ROW, 1).cast({ROW: pl.Int64})
    return arrived.filter(pl.any_horizontal(pl.exclude(ROW).is_not_null()))


def _without_dropped(arrived: pl.DataFrame, mapping: Mapping) -> tuple[pl.DataFrame, dict[str, int]]:
    """The lines that no rule drops, and how many each rule dropped; the first that fits counts."""
    rules = {
        f"{drop.column} is {' or '.join(drop.equals)}": pl.col(f"drop {n}").cast(pl.String).is_in(drop.equals)
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


def _meant(kept: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Store, ticket, time and money of each line as meant, and beside them as they arrived."""
    dtypes, columns = kept.schema, mapping.columns
    store = pl.lit(mapping.store_id)
    if columns.store:
        store = cells.read(Column("store", "text", ""), dtypes["store"])
    ticket = cells.read(Column("ticket", "text", ""), dtypes["ticket"])
    amounts = [
        cells.read_amount(word, dtypes[word], mapping.decimal).alias(word) for word in _money_words(mapping)
    ]
    total = pl.lit(0.0)
    if mapping.priced:
        total = pl.col("line_total") if columns.line_total else pl.col("unit_price")
        total = total * pl.col("quantity") if len(amounts) == 2 else total
    raw = [pl.col(word).alias(RAW + word) for word in kept.columns if word != ROW]
    raw_at = pl.concat_str(pl.col([*_time_words(mapping)]).cast(pl.String), separator=" ", ignore_nulls=True)
    timed = kept.with_columns(*raw, raw_at.alias(RAW + "at"), *_times(dtypes, mapping), *amounts)
    return timed.with_columns(
        store_id=store, ticket=ticket, millionths=(total * MILLIONTHS).round().cast(pl.Int64, strict=False)
    )


def _time_words(mapping: Mapping) -> list[str]:
    return ["timestamp"] if mapping.columns.timestamp else ["date", "time"]


def _money_words(mapping: Mapping) -> list[str]:
    """The columns that make a line's total; none where the export has no prices."""
    if mapping.columns.line_total:
        return ["line_total"]
    if mapping.columns.unit_price:
        return ["unit_price", "quantity"] if mapping.columns.quantity else ["unit_price"]
    return []
