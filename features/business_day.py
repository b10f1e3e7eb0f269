"""The business day: trade after midnight belongs to the day on which the store opened.

A store's business day runs from its `day_starts`, a clock hour, to the same hour of the next date, and has the name of
the date on which it begins. A store without a `day_starts` begins its days at midnight.
"""

import polars as pl


def late_stores(stores: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store whose day does not begin at midnight: store_id and `day_starts`, a clock hour."""
    if "day_starts" not in stores.columns:
        return pl.DataFrame(schema={"store_id": pl.String, "day_starts": pl.Int8})
    return stores.filter(pl.col("day_starts") > 0).select("store_id", "day_starts")


def day_start(stores: pl.DataFrame) -> pl.Expr:
    """Return the hour at which the business day of each row's `store_id` begins, a whole number from 0 to 23."""
    late = late_stores(stores)
    if late.is_empty():
        return pl.lit(0, pl.Int64)
    starts = dict(late.iter_rows())
    return pl.col("store_id").replace_strict(starts, default=0, return_dtype=pl.Int64)


def business_clock(stores: pl.DataFrame, moment: str = "hour_local") -> pl.Expr:
    """Return each row's local time `moment`, moved back so that its date is the business date.

    Rows have `store_id`; the time of day is the time since the business day began.
    """
    if late_stores(stores).is_empty():
        return pl.col(moment)
    return pl.col(moment) - pl.duration(hours=day_start(stores))


def local_time(stores: pl.DataFrame, date: str, hour: str) -> pl.Expr:
    """Return the local time at which the clock shows `hour` on each row's business date `date`."""
    local = pl.col(date).cast(pl.Datetime("us")) + pl.duration(hours=pl.col(hour))
    if late_stores(stores).is_empty():
        return local
    after_midnight = pl.col(hour).cast(pl.Int64) < day_start(stores)
    return local + pl.duration(days=after_midnight.cast(pl.Int64))


def business_date(stores: pl.DataFrame, moment: str = "hour_local") -> pl.Expr:
    """Return the business date of each row's local time `moment`; rows have `store_id`."""
    return business_clock(stores, moment).dt.date()
