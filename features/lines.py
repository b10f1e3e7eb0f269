"""Lines of a point-of-sale export, read as a mapping says: which count, when each was, what it came to."""

from dataclasses import dataclass

import polars as pl

from features import cells, checks, clock
from features.checks import RAW, Check
from features.errors import InputError, SchemaError
from features.mapping import Mapping
from features.tables import Column

MILLIONTHS = 1_000_000
"""Money is held in whole millionths of the currency, whose sums are exact and do not depend on row order."""

MOST_MONEY = 1e9
"""What one line may come to, in the currency: of nine thousand such the sum in millionths is still exact."""

ROW = "row"

STEP_BACK = pl.duration(minutes=15)
"""Lines of one hour may be out of order by less; a clock that changes steps back by half an hour or more."""


@dataclass(frozen=True)
class Lines:
    """The lines of an export that count, and how many did not.

    `kept` has one row per line, in the export's order: row, store_id, ticket, item (null where none is mapped),
    hour_local, hour_utc, at_local, at_utc, millionths (of the currency; 0 where the export has no prices), instant
    (the export says the moment, so that at_local follows from it and the store's time zone).
    `refused` has the export's names of columns.
    `read` counts lines, blank ones apart; `dropped` counts them by rule.
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
    placed = clock.with_hour(good, "at_local", "at_utc")
    names = [ROW, "store_id", "ticket", "item", "hour_local", "hour_utc", "at_local", "at_utc", "millionths", "instant"]
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
    amounts = [cells.read_amount(word, dtypes[word], mapping.decimal).alias(word) for word in _money_words(mapping)]
    total = pl.lit(0.0)
    if mapping.priced:
        total = pl.col("line_total") if columns.line_total else pl.col("unit_price")
        total = total * pl.col("quantity") if len(amounts) == 2 else total
    # Null, and so refused, where sums could leave 64 bits.
    millionths = pl.when(total.abs() <= MOST_MONEY).then(total * MILLIONTHS)
    raw = [pl.col(word).alias(RAW + word) for word in kept.columns if word != ROW]
    raw_at = pl.concat_str(pl.col([*_time_words(mapping)]).cast(pl.String), separator=" ", ignore_nulls=True)
    timed = kept.with_columns(*raw, raw_at.alias(RAW + "at"), *_times(dtypes, mapping), *amounts)
    return timed.with_columns(
        store_id=store,
        ticket=ticket,
        item=pl.col("item").cast(pl.String) if columns.item else pl.lit(None, pl.String),
        millionths=millionths.round().cast(pl.Int64, strict=False),
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


def _times(dtypes: pl.Schema, mapping: Mapping) -> list[pl.Expr]:
    """Reads the time columns, and from them `at_local`, or `at_utc` where a stamp says the instant."""
    formats = mapping.formats
    if mapping.columns.timestamp:
        dtype, written = dtypes["timestamp"], formats.timestamp
        if written and dtype == pl.String:
            at = pl.col("timestamp").str.to_datetime(written, time_unit="us", strict=False)
            instant = "%z" in written
        else:
            instant = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
            at = cells.read(Column("timestamp", "utc" if instant else "local", ""), dtype)
        naive = at.dt.replace_time_zone(None)
        return [naive.alias("timestamp"), naive.alias("at_utc" if instant else "at_local")]
    day = cells.read(Column("date", "date", ""), dtypes["date"])
    if formats.date and dtypes["date"] == pl.String:
        day = pl.col("date").str.to_date(formats.date, strict=False)
    time = pl.col("time")
    if dtypes["time"] == pl.String:
        ways = [formats.time] if formats.time else ["%H:%M:%S%.f", "%H:%M"]
        time = pl.coalesce(time.str.to_time(way, strict=False) for way in ways)
    elif dtypes["time"] != pl.Time:
        raise SchemaError(f"column {mapping.columns.time} holds {dtypes['time']}, expected times of day")
    at = day.dt.combine(time, "us")
    return [day.alias("date"), time.alias("time"), at.alias("at_local")]


def _with_zone(read: pl.DataFrame, zones: pl.DataFrame) -> pl.DataFrame:
    known = zones.select("store_id", "timezone")
    strange = read.select("store_id").drop_nulls().unique().join(known, on="store_id", how="anti")
    if not strange.is_empty():
        names = ", ".join(strange["store_id"].sort().head(5))
        more = f" and {strange.height - 5} more" if strange.height > 5 else ""
        raise InputError(f"store {names}{more} not in stores: ingest stores first, or drop its lines")
    return read.join(known, on="store_id", how="left", maintain_order="left", validate="m:1")


def _settle(read: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Fills at_local and at_utc; a time that the clock shows twice or never is settled as the mapping says."""
    if "at_utc" in read.columns:
        settled = clock.with_local(read, "at_utc", "at_local")
        return settled.with_columns(first_utc="at_utc", last_utc="at_utc", instant=pl.lit(value=True))
    read = read.with_columns(instant=pl.lit(value=False))
    read = clock.with_moments(clock.with_existing(read, "at_local", mapping.missing_hour), "at_local")
    only = pl.when(pl.col("first_utc") == pl.col("last_utc")).then("first_utc")
    chosen = {"first": pl.col("first_utc"), "second": pl.col("last_utc"), "refuse": only}
    if mapping.repeated_hour != "both":
        return read.with_columns(at_utc=chosen[mapping.repeated_hour])
    read = read.join(_in_order(read), on=ROW, how="left", maintain_order="left", validate="1:1")
    return read.with_columns(at_utc=pl.coalesce(only, "settled")).drop("settled")


def _in_order(read: pl.DataFrame) -> pl.DataFrame:
    """Rows and moments (`settled`) of the lines at times that exist twice, by the order of a store's lines.

    They are the second from where the clock steps back once, by STEP_BACK or more. A store most of whose lines
    come before the line above them is read from below. Null where no step, or more than one, shows.
    """
    twice = read.filter(pl.col("first_utc") != pl.col("last_utc"))
    steps = read.join(twice, on="store_id", how="semi", maintain_order="left").group_by("store_id")
    step = pl.col("at_local").diff().dt.total_microseconds().sign().sum()
    night = (pl.col("at_local") - pl.duration(hours=12)).dt.date()
    newest_first = twice.join(steps.agg(newest_first=step < 0), on="store_id", how="left", validate="m:1")
    ordered = newest_first.with_columns(night=night).sort(pl.when("newest_first").then(-pl.col(ROW)).otherwise(ROW))
    back = pl.col("at_local").shift() - pl.col("at_local") >= STEP_BACK
    ordered = ordered.with_columns(back=back.over("store_id", "night").fill_null(value=False))
    shown = pl.col("back").sum().over("store_id", "night") == 1
    second = pl.col("back").cum_sum().over("store_id", "night") == 1
    moment = pl.when(second).then("last_utc").otherwise("first_utc")
    return ordered.select(ROW, settled=pl.when(shown).then(moment))


def _checks(read: pl.DataFrame, mapping: Mapping) -> list[Check]:
    """What can be wrong with a line; a line with any fault is refused whole."""
    formats, money = mapping.formats.model_dump(), _money_words(mapping)
    words = {"ticket": "is not text", **({"store": "is not text"} if mapping.columns.store else {})}
    words |= {w: f"is not written {formats[w] or 'as in 2024-03-31 14:05:00'}" for w in _time_words(mapping)}
    words |= dict.fromkeys(money, f"is not a number with decimal mark {mapping.decimal!r}")
    found = []
    for word, reason in words.items():
        meant = pl.col("store_id" if word == "store" else word)
        found += [Check(word, pl.col(RAW + word).is_null(), "is empty"), Check(word, meant.is_null(), reason)]
    year = pl.col("at_local").dt.year()
    slips = f"is before {cells.EARLIEST_YEAR} or after {cells.LATEST_YEAR}"
    found.append(Check("at", ~year.is_between(cells.EARLIEST_YEAR, cells.LATEST_YEAR), slips))
    on_clock = pl.col("at_local").is_not_null() & pl.col("timezone").is_not_null()
    never = "does not exist on the store's clock, which goes forward: correct it, or set missing_hour in the mapping"
    found.append(
        Check("at", on_clock & pl.col("first_utc").is_null(), f"{never} or --missing-hour to earlier or later")
    )
    twice = (
        "exists twice on the store's clock, which goes back: set repeated_hour in the mapping or --repeated-hour to "
    )
    twice += "first, second or both"
    if mapping.repeated_hour == "both":
        twice = "exists twice on the store's clock, and the order of lines does not show where it goes back: "
        twice += "set repeated_hour in the mapping or --repeated-hour to first or second"
    found.append(Check("at", (pl.col("first_utc") != pl.col("last_utc")) & pl.col("at_utc").is_null(), twice))
    if money:
        found.append(Check(money[0], pl.col("millionths").is_null(), "is too large"))
    return found
