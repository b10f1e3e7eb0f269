"""Rows of stores whose time zone was corrected, moved to the clock of the right zone."""

import polars as pl

from daypart.features import clock

SUMMED_COLUMNS = ("orders", "sales", "scheduled_hours", "worked_hours")
"""Columns that are added up where two rows fall in one hour; other columns take the later row's value."""


def move_to_zone(rows: pl.DataFrame, stem: str) -> pl.DataFrame:
    """Return the rows with `*_local` and `*_utc` of a moment as the clock of `timezone`, the right zone, has them.

    Rows have store_id and `instant`. Where that is true the moment is a fact, and its local time follows; else the
    local time is the fact. A local time that the right clock shows twice is the first, or the second where the rows of
    its hour already lie on two moments; one that it skips is read by the clock as it was before the change. Rows that
    are settled already stay as they are.
    """
    local, utc = f"{stem}_local", f"{stem}_utc"
    second = (pl.col(utc) - pl.col(local)).rank("dense").over("store_id", pl.col(local).dt.truncate("1h")) > 1
    placed = clock.with_local(rows.with_columns(second=second), utc, "shown")
    existing = clock.with_existing(placed.select("timezone", local), local, "later")[local]
    placed = clock.with_moments(placed.with_columns(existing.alias("existing")), "existing")
    moment = pl.when("instant").then(utc).when("second").then("last_utc").otherwise("first_utc")
    shown = pl.when("instant").then("shown").otherwise("existing")
    return placed.with_columns(moment.alias(utc), shown.alias(local)).select(rows.columns)


def move_hours_to_zone(rows: pl.DataFrame, stem: str, key: list[str]) -> pl.DataFrame:
    """Return `move_to_zone` rows of a table with one row per `key`: rows that come to lie on one key are one row.

    They meet where the wrong zone's clock went back and the right one's does not, or where facts of both kinds lie in
    one hour. All are on the full local hour.
    """
    placed = _on_full_hour(move_to_zone(rows.sort(key), stem), stem)
    if not placed.select(key).is_duplicated().any():
        return placed
    names = [name for name in rows.columns if name not in key]
    added = [name for name in names if name in SUMMED_COLUMNS]
    values = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name) for name in added]
    last = [pl.col(name).last() for name in names if name not in SUMMED_COLUMNS]
    return placed.group_by(key, maintain_order=True).agg(*values, *last).select(rows.columns)


def _on_full_hour(rows: pl.DataFrame, stem: str) -> pl.DataFrame:
    """Return the rows on full hours, as zones may differ by part of an hour."""
    at = rows.rename({f"{stem}_local": "at_local", f"{stem}_utc": "at_utc"})
    placed = clock.with_hour(at, "at_local", "at_utc").drop("at_local", "at_utc")
    return placed.rename({"hour_local": f"{stem}_local", "hour_utc": f"{stem}_utc"}).select(rows.columns)
