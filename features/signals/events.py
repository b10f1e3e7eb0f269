"""Promotions and local events, as they were known at an origin."""

from datetime import date

import polars as pl

from daypart.features.business_day import business_clock, day_start
from daypart.features.tables.schemas import EVENT_KINDS, known_before

ACTIVE = "active_events"
"""Column of the matrix with the names of the events active in an hour; a model's vocabulary gives their codes."""


def event_days(events: pl.DataFrame, stores: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """Return one row per store, business date and event that touches it.

    Columns: store_id, date, name, kind, first_hour, last_hour (counted from the hour at which the store's day starts),
    day_start (that hour), known_on (null = always).
    Events of a region touch its stores; those with neither store nor region touch the whole chain.
    """
    starts, ends = (business_clock(stores, name) for name in ("starts_local", "ends_local"))
    from_on = pl.max_horizontal(starts.dt.date(), pl.lit(first))
    to_on = pl.min_horizontal(ends.dt.date(), pl.lit(last))
    return (
        _by_store(events, stores)
        .filter(from_on <= to_on)
        .with_columns(date=pl.date_ranges(from_on, to_on))
        .explode("date")
        .select(
            "store_id", "date", "name", "kind", "known_on", day_start=day_start(stores),
            first_hour=pl.when(pl.col("date") == starts.dt.date()).then(starts.dt.hour()).otherwise(0),
            last_hour=pl.when(pl.col("date") == ends.dt.date()).then(ends.dt.hour()).otherwise(23),
        )
    )  # fmt: skip


def _by_store(events: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return one row per event and store that it touches."""
    return pl.concat(
        [
            events.filter(pl.col("store_id").is_not_null()).join(stores.select("store_id"), on="store_id"),
            events.filter(pl.col("store_id").is_null() & pl.col("region").is_not_null())
            .drop("store_id")
            .join(stores.select("store_id", "region"), on="region"),
            events.filter(pl.col("store_id").is_null() & pl.col("region").is_null())
            .drop("store_id")
            .join(stores.select("store_id"), how="cross"),
        ],
        how="diagonal",
    )


def busy_days(days: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store and date on which a temporary event (not a price change) touches the store."""
    return _temporary(days).select("store_id", "date").unique()


def _temporary(days: pl.DataFrame) -> pl.DataFrame:
    """Return the days of temporary events that were known on the day."""
    is_known = pl.col("known_on").is_null() | (pl.col("known_on") <= pl.col("date"))
    return days.filter(is_known & (pl.col("kind") != "price"))


def name_codes(events: pl.DataFrame) -> pl.DataFrame:
    """Return one row per event name: name and code, a whole number, by the date on which it was first known.

    A null known_on comes first. Codes depend on all of the rows: a model keeps those of its training (`Vocabulary`).
    """
    known_on = pl.col("known_on").fill_null(pl.date(1900, 1, 1))
    return (
        events.filter(pl.col("kind") != "price").group_by("name").agg(first_known=known_on.min())
        .sort("first_known", "name")
        .select("name", code=pl.int_range(pl.len(), dtype=pl.Int32))
    )  # fmt: skip


def _column(kind: str) -> str:
    return "event_" + kind.replace(" ", "_")


EVENT_COLUMNS = [*(_column(kind) for kind in EVENT_KINDS), "event_other"]


def _kind_column() -> pl.Expr:
    column = pl.lit("event_other")
    for kind in EVENT_KINDS:
        column = pl.when(pl.col("kind") == kind).then(pl.lit(_column(kind))).otherwise(column)
    return column


def temporary_event_days(days: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return by column the days of temporary events that were known on the day."""
    kinds = _temporary(days).with_columns(column=_kind_column())
    return {name: kinds.filter(pl.col("column") == name) for name in EVENT_COLUMNS}


def active_events(rows: pl.DataFrame, days: pl.DataFrame, codes: pl.DataFrame) -> pl.DataFrame:
    """Add to rows of (store_id, origin_date, date, hour) the number of active events known before the origin, by kind.

    `active_events` lists their names, sorted, null without one; `event_code` is the highest of their `codes`, null
    where none has one. Price changes are not temporary: recent levels contain them. Row order is not kept.
    """
    keys = ["store_id", "origin_date", "date", "hour"]
    is_known = known_before(pl.col("origin_date"))
    since_start = (pl.col("hour").cast(pl.Int64) - pl.col("day_start")) % 24
    passing = days.filter(pl.col("kind") != "price").join(codes, on="name", how="left")
    active = (
        rows.select(keys)
        .unique()
        .join(passing, on=["store_id", "date"])
        .filter(since_start.is_between("first_hour", "last_hour") & is_known)
        .with_columns(column=_kind_column())
        .group_by(keys)
        .agg(*((pl.col("column") == name).sum().cast(pl.Float64).alias(name) for name in EVENT_COLUMNS),
             pl.col("name").unique().sort().alias(ACTIVE), event_code=pl.col("code").max())
    )  # fmt: skip
    counts = [pl.col(name).fill_null(0.0) for name in EVENT_COLUMNS]
    return rows.join(active, on=keys, how="left").with_columns(counts)


def active_code(active: pl.Series, codes: pl.DataFrame) -> pl.Series:
    """Return `event_code`, the highest of `codes` (name, code) among each row's names; null where none has one."""
    names = active.to_frame("name").with_row_index("row").drop_nulls().explode("name", empty_as_null=False)
    highest = names.join(codes, on="name").group_by("row").agg(pl.col("code").max())
    rows = pl.DataFrame({"row": pl.int_range(len(active), dtype=pl.UInt32, eager=True)})
    with_code = rows.join(highest, on="row", how="left", maintain_order="left")
    return with_code.select(event_code=pl.col("code").cast(pl.Int32)).to_series()
