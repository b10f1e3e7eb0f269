"""The store's own clock and UTC. Both are naive datetimes here; the name of a column says which it is."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta

import polars as pl

LOCAL_STEP = "15m"
"""Every zone's offset from UTC is a multiple of a quarter of an hour."""


def zone_hours(zones: Iterable[str], first: date, last: date) -> pl.DataFrame:
    """One row per time zone and real clock hour whose local date lies from first to last.

    Columns: timezone, hour_utc, hour_local, date, repeated (the clock shows this hour twice). A day on which
    clocks go forward has 23 rows, one on which they go back 25. In zones off by half an hour `hour_local` is
    on the full hour and `hour_utc` is not. Sorted by timezone and hour_utc.
    """
    around = pl.datetime_range(first - timedelta(days=2), last + timedelta(days=2), LOCAL_STEP, eager=True)
    utc = pl.DataFrame({"hour_utc": around.cast(pl.Datetime("us"))})
    moment = pl.Datetime("us")
    schema = pl.Schema({"timezone": pl.String(), "hour_utc": moment, "hour_local": moment})
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
    """One row per store and real clock hour of the local dates from first to last, as in `zone_hours`."""
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


def with_moments(frame: pl.DataFrame, local: str) -> pl.DataFrame:
    """Adds `first_utc` and `last_utc`: the moments at which the clock of column `timezone` shows `local`.

    They are equal on ordinary hours, differ where clocks go back and show the time twice, and are both null
    where clocks go forward and never show it (or where `local` or `timezone` is null). Keeps the row order.
    """

    def moments(zone: str) -> list[pl.Expr]:
        clock = pl.col(local).dt
        first = clock.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        last = clock.replace_time_zone(zone, ambiguous="latest", non_existent="null")
        return [_naive_utc(first).alias("first_utc"), _naive_utc(last).alias("last_utc")]

    return _by_zone(frame, local, moments, ["first_utc", "last_utc"])


def with_local(frame: pl.DataFrame, utc: str, name: str) -> pl.DataFrame:
    """Adds column `name`: what the clock of column `timezone` shows at `utc`. Keeps the row order."""

    def shown(zone: str) -> list[pl.Expr]:
        at = pl.col(utc).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        return [at.dt.replace_time_zone(None).alias(name)]

    return _by_zone(frame, utc, shown, [name])


def known_zones(zones: Iterable[str]) -> list[str]:
    """Those of the names that the time zone database has, sorted."""
    return sorted(zone for zone in set(zones) if zone[:1].isalpha() and _is_zone(zone))


def _is_zone(zone: str) -> bool:
    try:
        pl.select(pl.datetime(2000, 1, 1).dt.replace_time_zone(zone))
    except pl.exceptions.ComputeError:
        return False
    return True


def _naive_utc(at: pl.Expr) -> pl.Expr:
    return at.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _by_zone(frame: pl.DataFrame, time: str, read: Callable[[str], list[pl.Expr]], names: list[str]) -> pl.DataFrame:
    nothing = [pl.lit(None, pl.Datetime("us")).alias(name) for name in names]
    zones = frame.select("timezone", time).with_row_index("row").partition_by("timezone", as_dict=True)
    per_zone = [part.select("row", *(nothing if zone is None else read(str(zone)))) for (zone,), part in zones.items()]
    schema = pl.Schema({"row": pl.UInt32(), **dict.fromkeys(names, pl.Datetime("us"))})
    placed = pl.concat([pl.DataFrame(schema=schema), *per_zone]).sort("row")
    return frame.with_columns(placed.select(names))
