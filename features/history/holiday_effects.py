"""The effect of a holiday on a day: on this store, else in its region, in the chain, or of any holiday.

Each is the mean log of actual over usual demand, shrunk to the next wider mean by its number of store-days.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from daypart.features.business_day import business_date
from daypart.features.deterministic_sum import exact_sum
from daypart.features.history.demand_history import YEARLY_MEMORY_DAYS
from daypart.features.signals import calendar

USUAL_WEEKS = 4
MIN_RATIO, MAX_RATIO = 0.2, 3.0
"""Range to which a store's ratio on a holiday is clipped."""
TRUST_OWN, TRUST_REGION, TRUST_CHAIN, TRUST_ANY = 2, 4, 6, 10
"""Store-days of holidays that weigh as much as the next wider mean; next wider than any holiday is no effect."""
SUMS_SCHEMA = pl.Schema({"region": pl.String(), "holiday": pl.String(), "date": pl.Date(), "logs": pl.Float64(),
                  "count": pl.Int64()})  # fmt: skip


def has_holidays(stores: pl.DataFrame, first: date, last: date) -> bool:
    """Return whether any store has a holiday in the span."""
    return calendar.public_holidays(stores, first, last).height > 0


def holiday_sums(demand: pl.LazyFrame, stores: pl.DataFrame, target: str, first: date, last: date) -> pl.DataFrame:
    """Return one row per region, holiday and date from first to last on which any store traded, sorted.

    `logs`: sum over stores of the log of the day's total over the median total of the last four same weekdays that
    were no holidays; `count`: number of stores. Only days of holidays and the weeks before them are read.
    """
    holidays = calendar.public_holidays(stores, first, last)
    weeks = [holidays.select("store_id", on="date", date=pl.col("date") - pl.duration(days=7 * week))
             for week in range(USUAL_WEEKS + 1)]  # fmt: skip
    store_days = pl.concat(weeks)
    day = business_date(stores)
    totals = (
        demand.filter(day.is_in(store_days["date"].unique().implode()), pl.col(target) > 0)
        .group_by("store_id", date=day).agg(total=exact_sum(pl.col(target)))
        .collect()
    )  # fmt: skip
    days = store_days.join(totals, on=["store_id", "date"])
    before = days.filter(pl.col("date") < pl.col("on")).join(holidays, on=["store_id", "date"], how="anti")
    usual = before.group_by("store_id", "on").agg(usual=pl.col("total").median())
    log = (pl.col("total") / pl.col("usual")).clip(MIN_RATIO, MAX_RATIO).log()
    return (
        holidays.join(totals, on=["store_id", "date"])
        .join(usual, left_on=["store_id", "date"], right_on=["store_id", "on"])
        .join(stores.select("store_id", "region"), on="store_id")
        .group_by("region", "holiday", "date").agg(logs=exact_sum(log), count=pl.len().cast(pl.Int64))
        .sort("date", "holiday", "region", nulls_last=True)
        .select(SUMS_SCHEMA.names())
    )  # fmt: skip


def holiday_effects(rows: pl.DataFrame, sums: pl.DataFrame) -> pl.Series:
    """Return the factor of the holiday on each row's date as known at its origin, in order; null on other dates.

    Rows have origin_date, region, holiday and holiday_ratio, the ratio of the store's own last one. Sums of dates
    before the origin count for YEARLY_MEMORY_DAYS.
    """
    joined = rows.select("origin_date", "region", "holiday")
    known_sums = _known_sums(sums, rows["origin_date"].unique().to_list())
    levels = {
        "any": ["origin_date"],
        "chain": ["origin_date", "holiday"],
        "region": ["origin_date", "holiday", "region"],
    }
    for name, by in levels.items():
        level_sums = known_sums.group_by(by).agg(
            exact_sum(pl.col("logs")).alias(f"{name}_logs"), pl.col("count").sum().alias(f"{name}_count")
        )
        joined = joined.join(level_sums, on=by, how="left", maintain_order="left", nulls_equal=True)
    wider = pl.lit(0.0)
    for name, trust in (("any", TRUST_ANY), ("chain", TRUST_CHAIN), ("region", TRUST_REGION)):
        count = pl.col(f"{name}_count").fill_null(0)
        wider = (pl.col(f"{name}_logs").fill_null(0.0) + trust * wider) / (count + trust)
    own_log = pl.col("holiday_ratio").clip(MIN_RATIO, MAX_RATIO).log()
    log = pl.when(own_log.is_not_null()).then((own_log + TRUST_OWN * wider) / (1 + TRUST_OWN)).otherwise(wider)
    level_sums = joined.with_columns(rows["holiday_ratio"])
    return level_sums.select(pl.when(pl.col("holiday").is_not_null()).then(log.exp())).to_series()


def _known_sums(sums: pl.DataFrame, origins: Sequence[date]) -> pl.DataFrame:
    """Return the sums that each origin knows, of YEARLY_MEMORY_DAYS before it."""
    frame = pl.DataFrame({"origin_date": origins}, schema={"origin_date": pl.Date})
    age = pl.col("origin_date") - pl.col("date")
    return frame.join(sums, how="cross").filter(age > timedelta(0), age <= timedelta(days=YEARLY_MEMORY_DAYS))
