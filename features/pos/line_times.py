"""The time of each line of a point-of-sale export: as written, on the export's clock and on the store's clock."""

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from daypart.features import clock
from daypart.features.pos import time_zones, timestamps
from daypart.features.pos.mapping import Mapping
from daypart.features.tables import parsing
from daypart.features.tables.checks import RAW, Check, future_check

STEP_BACK = pl.duration(minutes=15)
"""Lines of one hour may be out of order by less than this. A clock that changes steps back by 30 minutes or more."""

ROW = "row"

EMPTY = 'is empty; drop such lines, as those of totals, with [[drop]] and equals = [""] in the mapping'
"""Why a line without a ticket, a store or a time is refused."""

NEVER_SHOWN = "does not exist on {whose} clock, which goes forward: correct it, or set missing_hour in the mapping or "
SHOWN_TWICE = "exists twice on {whose} clock, which goes back: set repeated_hour in the mapping or --repeated-hour to "
SHOWN_TWICE_UNORDERED = "exists twice on {whose} clock, and the order of lines does not show where it goes back: set "


def time_words(mapping: Mapping) -> list[str]:
    """Return the words of the columns that hold the time of a line."""
    return ["timestamp"] if mapping.columns.timestamp else ["date", "time"]


def time_label(mapping: Mapping) -> str:
    """Return the export's names of the columns of `time_words`, for messages."""
    return ", ".join(mapping.columns.words[word] for word in time_words(mapping))


def with_times(lines: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Read the columns of time, and add `at_local`, or `at_utc` where a line says its instant, and `zone`.

    `zone` is the IANA zone in which local times are written: null is the store's own, and also a name that is no zone.
    `RAW at` is the time as it arrived.
    """
    dtypes, formats, words = lines.schema, mapping.formats, time_words(mapping)
    arrived = pl.concat_str(pl.col(words).cast(pl.String), separator=" ", ignore_nulls=True)
    if words == ["timestamp"]:
        local, instant = timestamps.read_stamp("timestamp", lines["timestamp"], formats.timestamp)
        read = [pl.coalesce(local, instant).alias("timestamp")]
    else:
        written = formats.date, formats.time
        day, time, local, instant = timestamps.read_date_and_time(
            ("date", "time"), lines["time"], dtypes["date"], written
        )
        read = [day.alias("date"), time.alias("time")]
    zone = pl.lit(time_zones.iana_zones([mapping.timezone])[mapping.timezone] if mapping.timezone else None, pl.String)
    if mapping.columns.timezone:
        names = lines["timezone"].cast(pl.String)
        zones = time_zones.iana_zones(names.drop_nulls().unique())
        zone = pl.col("timezone").cast(pl.String).replace_strict(zones, default=None, return_dtype=pl.String)
    timed = lines.with_columns(*read, arrived.alias(RAW + "at"), at_local=local, at_utc=instant, zone=zone)
    return timed.drop("timezone", strict=False)


def settle(read: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Fill `at_local` on the clock of column `timezone`, the store's, and `at_utc`.

    A local time that its clock shows twice or never is settled as the mapping says. `first_utc` and `last_utc` are
    the moments that it can mean: null where the clock never shows it, different where the clock shows it twice.
    `instant` says whether the line gives its moment without the store's clock.
    """
    elsewhere = mapping.timezone is not None or mapping.columns.timezone is not None
    store_zone = read["timezone"]
    written = read.with_columns(timezone="zone") if elsewhere else read
    written = clock.with_existing(written, "at_local", mapping.missing_hour)
    written = clock.with_moments(written.rename({"at_utc": "instant"}), "at_local")
    written = written.with_columns(pl.coalesce("instant", name).alias(name) for name in ("first_utc", "last_utc"))
    settled = _settle_repeated(written, mapping).with_columns(store_zone)
    is_instant = pl.col("instant").is_not_null() | (pl.col("zone").is_not_null() if elsewhere else pl.lit(value=False))
    settled = settled.with_columns(instant=is_instant)
    if not settled["instant"].any():
        return settled
    shown = clock.with_local(settled, "at_utc", "shown")
    return shown.with_columns(at_local=pl.coalesce("shown", "at_local")).drop("shown")


def _settle_repeated(written: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    only = pl.when(pl.col("first_utc") == pl.col("last_utc")).then("first_utc")
    chosen = {"first": pl.col("first_utc"), "second": pl.col("last_utc"), "refuse": only}
    if mapping.repeated_hour != "both":
        return written.with_columns(at_utc=chosen[mapping.repeated_hour])
    ordered = written.join(_settled_by_order(written), on=ROW, how="left", maintain_order="left", validate="1:1")
    return ordered.with_columns(at_utc=pl.coalesce(only, "settled")).drop("settled")


def _settled_by_order(written: pl.DataFrame) -> pl.DataFrame:
    """Return rows and moments (`settled`) of the lines at times that exist twice, by the order of a store's lines.

    They are the second from where the clock steps back once, by STEP_BACK or more. A store most of whose lines
    come before the line above them is read from below. Null where no step, or more than one, shows.
    """
    twice = written.filter(pl.col("first_utc") != pl.col("last_utc"))
    steps = written.join(twice, on="store_id", how="semi", maintain_order="left").group_by("store_id")
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


def time_checks(mapping: Mapping, now: datetime | None) -> Iterator[Check]:
    """Yield the checks of the time of a line, once it is settled; with `now`, also that it is not in the future."""
    formats, columns = mapping.formats.model_dump(), mapping.columns
    for word in time_words(mapping):
        reason = f"is not written {formats[word] or 'as in 2024-03-31 14:05:00'}; drop lines of totals with [[drop]]"
        yield Check(word, pl.col(RAW + word).is_null(), EMPTY)
        yield Check(word, pl.col(word).is_null(), reason)
    on_clock = pl.col("at_local").is_not_null() & pl.col("timezone").is_not_null()
    if columns.timezone:
        yield Check("timezone", pl.col(RAW + "timezone").is_null(), "is empty")
        yield Check("timezone", pl.col("zone").is_null(), time_zones.UNKNOWN_ZONE)
        on_clock &= pl.col("zone").is_not_null()
    year = pl.col("at_local").dt.year()
    slips = f"is before {parsing.EARLIEST_YEAR} or after {parsing.LATEST_YEAR}"
    yield Check("at", ~year.is_between(parsing.EARLIEST_YEAR, parsing.LATEST_YEAR), slips)
    whose = "the export's" if mapping.timezone or columns.timezone else "the store's"
    never = NEVER_SHOWN.format(whose=whose) + "--missing-hour to earlier or later"
    yield Check("at", on_clock & pl.col("first_utc").is_null(), never)
    twice = SHOWN_TWICE.format(whose=whose) + "first, second or both"
    if mapping.repeated_hour == "both":
        twice = (
            SHOWN_TWICE_UNORDERED.format(whose=whose)
            + "repeated_hour in the mapping or --repeated-hour to first or second"
        )
    yield Check("at", (pl.col("first_utc") != pl.col("last_utc")) & pl.col("at_utc").is_null(), twice)
    if now is not None:
        yield future_check("at", "at_utc", now)
