"""The store's own clock and UTC. Both are naive datetimes here; the name of a column says which it is."""

from collections.abc import Iterable
from datetime import date, timedelta

import polars as pl

LOCAL_STEP = "15m"
"""Every zone's offset from UTC is a multiple of a quarter of an hour."""


def zone_hours(zones: Iterable[str], first: date, last: date) -> pl.DataFrame:
    """One row per time zone and real clock hour whose local date lies from first to last.

    Columns: timezone, hour_utc, hour_local, date, repeated (the clock shows this hour twice). A day on which
    clocks go forward has 23 rows, one on which they go back 25. In zones off by half an hour `hour_local` is on
    the full hour and `hour_utc` is not. Sorted by timezone and hour_utc.
    """
    around = pl.datetime_range(first - timedelta(days=2), last + timedelta(days=2), LOCAL_STEP, eager=True)
    utc = pl.DataFrame({"hour_utc": around.cast(pl.Datetime("us"))})
    schema = {"timezone": pl.String, "hour_utc": pl.Datetime("us"), "hour_local": pl.Datetime("us")}
    per_zone = [
        utc.select(
            timezone=pl.lit(zone),
            hour_utc="hour_utc",
            hour_local=pl.col("hour_utc")
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone(zone)
            .dt.replace_time_zone(None),
        )
        for zone in sorted(set(zones))
    ]
    local = pl.col("hour_local")
    return (
        pl.concat([pl.DataFrame(schema=schema), *per_zone])
        .filter((local.dt.minute() == 0) & local.dt.date().is_between(first, last))
        .with_columns(date=local.dt.date(), repeated=pl.len().over("timezone", "hour_local") > 1)
    )


def hour_grid(stores: pl.DataFrame, first: date, last: date) -> pl.LazyFrame:
    """One row per store and real clock hour of the local dates from first to last, as `zone_hours` has them."""
    hours = zone_hours(stores["timezone"].unique(), first, last).drop("repeated")
    placed = stores.lazy().select("store_id", "timezone").join(hours.lazy(), on="timezone")
    return placed.select("store_id", "hour_utc", "hour_local", "date")


def origin_utc(origins: pl.DataFrame) -> pl.DataFrame:
    """Adds to rows of (timezone, origin_date) `origin_utc`: the first moment of that local date."""
    first, last = origins["origin_date"].min(), origins["origin_date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        return origins.with_columns(origin_utc=pl.lit(None, dtype=pl.Datetime("us")))
    starts = (
        zone_hours(origins["timezone"].unique(), first, last)
        .group_by("timezone", origin_date="date")
        .agg(origin_utc=pl.col("hour_utc").min())
    )
    return origins.join(starts, on=["timezone", "origin_date"], how="left")
