"""The store's own clock and UTC. Both are naive datetimes here; the name of a column says which it is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import polars as pl

from daypart.features.business_day import business_date, late_stores

RepeatedHour = Literal["refuse", "first", "second", "both"]
MissingHour = Literal["refuse", "earlier", "later"]

LOCAL_STEP = "15m"
"""Every zone's offset from UTC is a multiple of a quarter of an hour."""


@dataclass(frozen=True)
class ClockChanges:
    """How local times are read where the store's clock changes; None is no choice, and such times are refused.

    `repeated_hour` is for times that the clock shows twice, in autumn. Rows of a table: two rows of the same key
    and local time are the first and the second in file order; a single row is `first` or `second` as chosen, and
    refused under `both`. Lines of a point of sale: `first` and `second` hold for all of them; `both` takes a
    store's lines for the second from where the clock steps back in file order (from below, where the newest line
    comes first), and refuses them where that does not show.

    `missing_hour` is for times that the clock skips, in spring. `later` reads them by the clock as it was before
    the change, `earlier` by the clock after it: 02:30, where 02:00 becomes 03:00, is 03:30 or 01:30.
    """

    repeated_hour: RepeatedHour | None = None
    missing_hour: MissingHour | None = None


NO_CHOICE = ClockChanges()


def zone_hours(zones: Iterable[str], first: date, last: date) -> pl.DataFrame:
    """Return one row per time zone and real clock hour whose local date lies from first to last.

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
    """Return one row per store and real clock hour of the business dates from first to last, as in `zone_hours`.

    `date` is the business date by the stores' `day_starts`, where they have that column.
    """
    late = not late_stores(stores).is_empty()
    # The last business day of a store that trades past midnight ends on the next date.
    hours = zone_hours(stores["timezone"].unique(), first, last + timedelta(days=1) if late else last).drop("repeated")
    placed = stores.lazy().select("store_id", "timezone").join(hours.lazy(), on="timezone")
    in_days = placed.with_columns(date=business_date(stores)).filter(pl.col("date").is_between(first, last))
    return in_days.select("store_id", "hour_utc", "hour_local", "date")


def origin_utc(origins: pl.DataFrame) -> pl.DataFrame:
    """Add `origin_utc` to rows of (timezone, day_starts, origin_date): the first moment of that business day.

    Where there is no column `day_starts`, or it is null, days begin at midnight.
    """
    first, last = origins["origin_date"].min(), origins["origin_date"].max()
    if not isinstance(first, date) or not isinstance(last, date):
        return origins.with_columns(origin_utc=pl.lit(None, dtype=pl.Datetime("us")))
    by = ["timezone", "day_starts"] if "day_starts" in origins.columns else ["timezone"]
    hours = zone_hours(origins["timezone"].unique(), first, last + timedelta(days=1))
    days = origins.select(by).unique().join(hours, on="timezone")
    start = pl.col("day_starts").fill_null(0).cast(pl.Int64) if len(by) > 1 else pl.lit(0, pl.Int64)
    business_day = (pl.col("hour_local") - pl.duration(hours=start)).dt.date()
    starts = days.group_by(*by, origin_date=business_day).agg(origin_utc=pl.col("hour_utc").min())
    return origins.join(starts, on=[*by, "origin_date"], how="left", nulls_equal=True)


def with_moments(frame: pl.DataFrame, local: str) -> pl.DataFrame:
    """Add `first_utc` and `last_utc`: the moments at which the clock of column `timezone` shows `local`.

    They are equal on ordinary hours, differ where clocks go back and show the time twice, and are both null
    where clocks go forward and never show it (or where `local` or `timezone` is null). Keeps the row order.
    """

    def moments(zone: str) -> list[pl.Expr]:
        clock = pl.col(local).dt
        first = clock.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        last = clock.replace_time_zone(zone, ambiguous="latest", non_existent="null")
        return [_naive_utc(first).alias("first_utc"), _naive_utc(last).alias("last_utc")]

    return _by_zone(frame, local, moments, ["first_utc", "last_utc"])


def with_existing(frame: pl.DataFrame, local: str, missing_hour: MissingHour | None) -> pl.DataFrame:
    """Replace the times of column `local` that the clock of column `timezone` skips, as `ClockChanges` says.

    Keeps all other times and the row order.
    """
    if missing_hour not in ("earlier", "later"):
        return frame
    # The offset on the other side of the change is that of a day away: no clock skips more than a day.
    day = pl.duration(days=1) if missing_hour == "earlier" else -pl.duration(days=1)

    def existing(zone: str) -> list[pl.Expr]:
        exists = pl.col(local).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").is_not_null()
        a_day_away = (pl.col(local) + day).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        moved = (a_day_away.dt.convert_time_zone("UTC") - day).dt.convert_time_zone(zone)
        return [pl.when(exists).then(local).otherwise(moved.dt.replace_time_zone(None)).alias("existing")]

    moved = _by_zone(frame, local, existing, ["existing"])
    return moved.with_columns(pl.coalesce("existing", local).alias(local)).drop("existing")


def with_hour(frame: pl.DataFrame, local: str, utc: str) -> pl.DataFrame:
    """Add `hour_local` and `hour_utc`: the last full hour on the clock of `timezone` at or before that moment.

    `local` and `utc` are the same moment on both clocks. A clock that changes by half an hour has an hour of 90
    minutes, as in `zone_hours`. Keeps the row order.
    """
    start = pl.col(utc) - (pl.col(local) - pl.col(local).dt.truncate("1h"))
    shown = with_local(frame.with_columns(hour_utc=start), "hour_utc", "hour_local")
    full = pl.col("hour_local").dt.truncate("1h")
    return shown.with_columns(hour_utc=pl.col("hour_utc") - (pl.col("hour_local") - full), hour_local=full)


def with_local(frame: pl.DataFrame, utc: str, name: str) -> pl.DataFrame:
    """Add column `name`: what the clock of column `timezone` shows at `utc`. Keeps the row order."""

    def shown(zone: str) -> list[pl.Expr]:
        at = pl.col(utc).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        return [at.dt.replace_time_zone(None).alias(name)]

    return _by_zone(frame, utc, shown, [name])


def utc_moment(at: datetime) -> datetime:
    """Return a moment in UTC, naive; a moment without a zone is in UTC already."""
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


def known_zones(zones: Iterable[str]) -> list[str]:
    """Return the names that the time zone database has, sorted."""
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
