"""Faults in a store's data, checked before a model is blamed: missing, stale, out of scale or suddenly empty."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from daypart.features.errors import some_stores

MISSING_SHARE = 0.25
"""Hours are missing from this share of a day's forecast on, in hours that are 0 although the band excludes it."""
MISSING_HOURS = 3
SHIFT = 1.6
"""A day's demand is out of scale if it is this many times its forecast, or its forecast this many times it."""
SHIFT_DAYS = 2
CHAIN_SHIFT = 1.35
"""The same for the median store: if all stores are this far off, the fault lies in the feed, or in the world."""
STALE_HOURS = 36
LOST_SHARE, FILLED_SHARE = 0.05, 0.5
"""A column is lost if no more than the first share is filled lately and at least the second was in the weeks before."""
HOLIDAY_SHARE = 0.5
"""Where more than this share of the stores sold nothing on a day, the day is reported as one fault."""
CHAIN_STORES = 10
"""Least number of stores whose median stands for the chain."""
LASTING_DAYS = 14


@dataclass(frozen=True)
class Fault:
    """One data fault: its kind, what it affects (store ids, or table.column), its first day, and a message, `told`."""

    kind: str
    where: tuple[str, ...]
    since: date
    told: str


def store_days(hours: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per store and business date of published hours, as `demand_faults` takes them.

    `hours`: store_id, origin_date, business_date, forecast, q10, actual (null where no row of the store arrived). Of
    several origins of a day the latest counts.
    """
    day = pl.col("business_date")
    latest = hours.filter(pl.col("origin_date") == pl.col("origin_date").max().over("store_id", day))
    silent = (pl.col("actual").fill_null(0.0) == 0.0) & (pl.col("q10") > 0.0)
    return latest.group_by("store_id", day.alias("date")).agg(
        pl.col("forecast").sum(),
        pl.when(pl.col("actual").is_not_null().any()).then(pl.col("actual").sum()).alias("actual"),
        silent=pl.col("forecast").filter(silent).sum(),
        silent_hours=silent.sum(),
    )


def demand_faults(days: pl.DataFrame, on: date) -> list[Fault]:
    """Return the faults in the demand of forecast days before `on`.

    `days`: one row per store and local date: store_id, date, forecast (sum of the day), actual (sum; null where no row
    of the store arrived, on a day without a closure), silent (forecast of the hours that are 0 although the lower end
    of their band is above 0), silent_hours.
    """
    due = days.filter(pl.col("forecast") > 0.0, pl.col("date") < on)
    return [*_missing_days(due), *_missing_hours(due), *_level_shifts(due)]


def _missing_days(due: pl.DataFrame) -> list[Fault]:
    empty = due.with_columns(share=pl.col("actual").is_null().mean().over("date")).filter(pl.col("actual").is_null())
    dates = empty.filter(pl.col("share") >= HOLIDAY_SHARE).group_by("date").agg(pl.col("store_id").sort()).sort("date")
    faults = []
    for day, ids in dates.iter_rows():
        line = f"no demand of {len(ids)} stores on {day}: ingest it, or its closures where they were closed"
        faults.append(Fault("no demand", tuple(ids), day, line))
    some = empty.filter(pl.col("share") < HOLIDAY_SHARE)
    days = some["date"].n_unique()
    return faults + _store_fault(
        "missing stores", some, f"no demand of {{stores}} on {days} days since {{since}}: ingest it"
    )


def _missing_hours(due: pl.DataFrame) -> list[Fault]:
    cut = due.filter(
        pl.col("actual").is_not_null(),
        pl.col("silent_hours") >= MISSING_HOURS,
        pl.col("silent") >= MISSING_SHARE * pl.col("forecast"),
    )
    return _store_fault("missing hours", cut, "hours of {stores} came empty since {since}: ingest them again")


def _level_shifts(due: pl.DataFrame) -> list[Fault]:
    ratio = (pl.col("actual") / pl.col("forecast")).log().clip(-9.0, 9.0)
    arrived = due.filter(pl.col("actual").is_not_null()).with_columns(ratio=ratio)
    recent = pl.col("date") >= pl.col("date").max().over("store_id") - timedelta(days=SHIFT_DAYS - 1)
    least = pl.min_horizontal(pl.col("ratio").max().abs(), pl.col("ratio").min().abs())
    by_store = arrived.filter(recent).group_by("store_id").agg(
        pl.len(), pl.col("date").min(), least.alias("least"),
        same=(pl.col("ratio").max() < 0.0) | (pl.col("ratio").min() > 0.0),
    )  # fmt: skip
    out = by_store.filter(pl.col("len") >= SHIFT_DAYS, pl.col("same"), pl.col("least") > math.log(SHIFT))
    message = f"demand of {{stores}} is over {SHIFT:g} times off its forecast since {{since}}: check its feed"
    off = arrived.filter(
        pl.col("ratio").median().over("date").abs() > math.log(CHAIN_SHIFT),
        pl.col("store_id").n_unique().over("date") >= CHAIN_STORES,
    )
    many = off if off["date"].n_unique() >= SHIFT_DAYS else off.clear()
    chain_message = (
        f"the median store is over {CHAIN_SHIFT:g} times off its forecast since {{since}}: a fault, or a new world"
    )
    return _store_fault("level shift", out, message) + _store_fault("level shift", many, chain_message)


def _store_fault(kind: str, rows: pl.DataFrame, template: str) -> list[Fault]:
    """Return one fault of the rows' stores since their first date; none without rows."""
    since = rows["date"].min()
    if not isinstance(since, date):
        return []
    ids = tuple(rows["store_id"].unique().sort())
    return [Fault(kind, ids, since, template.format(stores=some_stores(ids), since=since))]


def stale_weather(latest: pl.DataFrame, on: date) -> list[Fault]:
    """Return the faults of stores without recent forecast weather.

    `latest` has one row per store: store_id and issued_utc, its latest issue.
    """
    midnight = pl.lit(on).cast(pl.Datetime("us"))
    old = latest.filter(pl.col("issued_utc") < midnight - timedelta(hours=STALE_HOURS))
    dated = old.with_columns(date=pl.col("issued_utc").dt.date())
    return _store_fault("stale weather", dated, "the last weather for {stores} was issued on {since}: see the feed")


def lost_columns(table: str, recent: pl.DataFrame, before: pl.DataFrame, since: date) -> list[Fault]:
    """Return the fault of a table's columns that were filled in the weeks before and are empty since `since`.

    `recent`, `before`: one row, the share of rows in which each column is filled; none where there are no rows.
    """
    if recent.is_empty() or before.is_empty():
        return []
    now, then = recent.row(0, named=True), before.row(0, named=True)
    where = tuple(f"{table}.{name}" for name in now if now[name] <= LOST_SHARE and then[name] >= FILLED_SHARE)
    message = f"{', '.join(where)} came empty since {since}: has the feed changed?"
    return [Fault("lost column", where, since, message)] if where else []


def stores_at_fault(faults: Collection[Fault], on: date) -> set[str]:
    """Return the stores whose accuracy does not measure a model: their demand is at fault, or their weather stopped.

    Where weather stopped more than LASTING_DAYS ago, the store counts: a model has to learn to forecast without it.
    """
    lately = on - timedelta(days=LASTING_DAYS)
    of_stores = (fault for fault in faults if fault.kind != "lost column")
    return {
        store for fault in of_stores if fault.kind != "stale weather" or fault.since > lately for store in fault.where
    }
