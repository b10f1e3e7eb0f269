"""The hours of a horizon in which a store may trade, as known at an origin, each with its history."""

from collections.abc import Sequence
from datetime import date, timedelta
from zlib import crc32

import polars as pl

from daypart.features import clock
from daypart.features.business_day import day_start
from daypart.features.chain_data import ChainData
from daypart.features.history import demand_history, trading_hours
from daypart.features.history.demand_history import DemandHistory

ORIGIN = ["store_id", "origin_date"]
DAY_STATES = ("day_level_3", "day_level_7", "day_level_14", "day_level_28", "day_trend", "hourly_scale",
              "open_days_known")  # fmt: skip
WEEKDAY_STATES = ("row", "rank", "plain_row", "plain_rank", "weekday_last", "holidays_in_base")


def last_before(
    origin_rows: pl.DataFrame, right: pl.DataFrame, by: list[str], date_name: str, within: timedelta | None = None
) -> pl.DataFrame:
    """Join to each origin the right side's last row strictly before it, if `within`; its date becomes `date_name`."""
    return origin_rows.sort("origin_date").join_asof(
        right.with_columns(pl.col("date").alias(date_name)).sort("date"),
        left_on="origin_date", right_on="date", by=by, strategy="backward",
        tolerance=within, allow_exact_matches=False, check_sortedness=False,
    ).drop("date", strict=False)  # fmt: skip


def store_codes(stores: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store: `store_code`, its number in the order of ids, and `store_hash`, a hash of its id."""
    coded = stores.select("store_id").sort("store_id").with_row_index("store_code").cast({"store_code": pl.Int32})
    hashes = pl.Series("store_hash", [crc32(name.encode()) for name in coded["store_id"]], dtype=pl.UInt64)
    return coded.with_columns(hashes)


def store_origins(stores: pl.DataFrame, history: DemandHistory, origins: Sequence[date]) -> pl.DataFrame:
    """Return one row per store and origin at which the store has history: its day-level state, the origin in UTC."""
    frame = pl.DataFrame({"origin_date": sorted(set(origins))}, schema={"origin_date": pl.Date})
    coded = stores.select("store_id", "timezone", day_starts=day_start(stores)).join(history.store_codes, on="store_id")
    crossed = coded.join(frame, how="cross")
    at = last_before(crossed, history.totals.select("store_id", "date", "row", *DAY_STATES), ["store_id"], "last_on")
    at = at.drop_nulls("last_on")
    return clock.origin_utc(at).drop("timezone", "day_starts").sort(ORIGIN)


def in_sample(one_in: int) -> pl.Expr:
    """Return whether a store's pair of origin and lead is in a fixed sample of one in `one_in`, spread evenly over all.

    No other store affects it, and a smaller sample is a part of each larger one.
    """
    pair = pl.col("origin_date").cast(pl.Int32).cast(pl.UInt64) * 31 + pl.col("lead_days").cast(pl.UInt64)
    # Multiplicative hashing (Knuth, TAOCP 3, 6.4): neighbours in time fall far apart.
    return ((pair + pl.col("store_hash")) * 2_654_435_761) % 2**32 * one_in < 2**32


def store_dates(
    stores: pl.DataFrame, history: DemandHistory, at_origin: pl.DataFrame, horizon_days: int, one_in: int = 1
) -> pl.DataFrame:
    """Return one row per store, origin and business date of the horizon before the store closes for good.

    With `one_in` only a fixed sample of the pairs of origin and lead is kept. Columns `holiday_ratio` and
    `holiday_closed` are those of the last occurrence of the date's holiday in the year before.
    """
    leads = pl.DataFrame({"lead_days": range(horizon_days)}, schema={"lead_days": pl.Int16})
    dates = (
        at_origin.select(*ORIGIN, "store_hash")
        .join(stores.select("store_id", "closed_on"), on="store_id")
        .join(leads, how="cross")
        .with_columns(date=pl.col("origin_date") + pl.duration(days=1) * pl.col("lead_days"))
        .filter(pl.col("closed_on").is_null() | (pl.col("date") < pl.col("closed_on")))
        .filter(in_sample(one_in))
        .with_columns(weekday=pl.col("date").dt.weekday())
        .drop("closed_on", "store_hash")
    )
    marked = dates.select(*ORIGIN, target_on="date").join(
        history.covariates.holidays, left_on=["store_id", "target_on"], right_on=["store_id", "date"]
    )
    year = timedelta(days=demand_history.YEARLY_MEMORY_DAYS)
    earlier = last_before(marked, history.holiday_ratios, ["store_id", "holiday"], "holiday_on", year)
    earlier = earlier.select(*ORIGIN, date="target_on", holiday_ratio="holiday_ratio", holiday_closed="holiday_closed")
    return dates.join(earlier, on=[*ORIGIN, "date"], how="left")


def open_hours(data: ChainData, history: DemandHistory, at_origin: pl.DataFrame, dates: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store, origin and real clock hour in which the store may trade, with history joined on.

    Declared hours decide on dates for which a store has any. Elsewhere an hour trades if it traded on one of the last
    eight known days of that weekday, unless the weekday or holiday has been closed. Closures known before the origin
    override both.
    """
    hours = _hour_states(history, at_origin, dates)
    days = ["store_id", "date"]
    covered = trading_hours.declared_days(data.hours, dates.select(days).unique())
    by_states, by_hours = (dates.join(covered, on=days, how=how, maintain_order="left") for how in ("anti", "semi"))
    learned = _learned(hours.join(by_states, on=ORIGIN, how="semi", maintain_order="left"), by_states)
    declared = _declared(hours.join(by_hours, on=ORIGIN, how="semi", maintain_order="left"), by_hours, data)
    trade = pl.concat([learned, declared.select(learned.columns)])
    trade = trading_hours.without_known_closures(trade, data.closures, data.stores)
    first, last = at_origin["origin_date"].min(), dates["date"].max() or date.min
    assert isinstance(first, date)
    assert isinstance(last, date)
    grid = clock.hour_grid(data.stores, first, last).with_columns(hour=pl.col("hour_local").dt.hour()).collect()
    day_state = at_origin.drop("row", "last_on", "open_days_known")
    return (
        trade.join(grid, on=["store_id", "date", "hour"]).join(day_state, on=ORIGIN).rename({"hourly_scale": "scale"})
    )


def planner_incumbent(history: DemandHistory, origin: date) -> pl.DataFrame:
    """Return one row per store, weekday and hour with a value known at the origin: the planner's `incumbent`.

    It is the mean of the last four known same-weekday values, or of as many as there are; an hour without demand on
    an open day counts as 0, a closed day has no value.
    """
    before = history.weekdays.filter(pl.col("date") < origin)
    last = before.unique(["store_id", "weekday"], keep="last", maintain_order=True)
    return history.incumbent(last.join(history.hours, on="store_id")).select("store_id", "weekday", "hour", "incumbent")


def _hour_states(history: DemandHistory, at_origin: pl.DataFrame, dates: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store, origin, weekday and hour that the store ever trades or declares."""
    weekdays = dates.select(*ORIGIN, "weekday").unique()
    pairs = at_origin.select(*ORIGIN, "last_on", "open_days_known", "row").join(weekdays, on=ORIGIN)
    indexed = history.totals.select("store_id", "date", weekday_index="open_days_known")
    states = history.weekdays.select("store_id", "weekday", "date", *WEEKDAY_STATES)
    weekly = last_before(
        pairs.drop("row"), states.join(indexed, on=["store_id", "date"]), ["store_id", "weekday"], "weekday_on"
    )
    levels = history.hour_levels(pairs.drop("weekday", "last_on").unique(ORIGIN).join(history.hours, on="store_id"))
    points = weekly.join(levels.drop("row", "open_days_known"), on=ORIGIN)
    hour_rows = history.hour_states(points).drop("row", "rank", "plain_row", "plain_rank")
    return hour_rows.with_columns(incumbent=pl.coalesce("base", "hour_mean_28"))


def _learned(hours: pl.DataFrame, dates: pl.DataFrame) -> pl.DataFrame:
    traded = pl.coalesce("last_8", "hour_mean_28") > 0
    lapsed = (pl.col("last_on") - pl.col("weekday_on")).dt.total_days() >= trading_hours.CLOSED_WEEKDAY_DAYS
    other_days_open = pl.col("open_days_known") - pl.col("weekday_index") >= trading_hours.CLOSED_WEEKDAY_DAYS // 2
    never = pl.col("weekday_on").is_null() & (pl.col("open_days_known") >= trading_hours.CLOSED_WEEKDAY_DAYS // 2)
    shut = (lapsed & other_days_open).fill_null(value=False) | never
    rows = dates.join(hours.filter(traded & ~shut), on=[*ORIGIN, "weekday"])
    return rows.filter(~pl.col("holiday_closed").fill_null(value=False))


def _declared(hours: pl.DataFrame, dates: pl.DataFrame, data: ChainData) -> pl.DataFrame:
    trade = trading_hours.declared_trade(data.hours, dates.select("store_id", "date").unique(), data.stores)
    rows = dates.join(trade, on=["store_id", "date"]).join(
        hours.drop("last_on", "open_days_known"), on=[*ORIGIN, "weekday", "hour"], how="left"
    )
    ages = hours.select(*ORIGIN, "last_on", "open_days_known").unique()
    return rows.join(ages, on=ORIGIN).with_columns(pl.col("incumbent").fill_null(0.0))
