"""Labor as scheduled. Hours worked are never a feature of their own hour: they follow demand."""

from datetime import date

import polars as pl

from daypart.features.business_day import business_date

SCHEDULED = "scheduled_hours"
"""Person-hours: the only column of the table that is known before its hour."""


def with_known_on(labor: pl.DataFrame, stores: pl.DataFrame, last_demand: date, horizon_days: int) -> pl.DataFrame:
    """Return the rows, in order, with `known_on` estimated for schedules without one that were entered late.

    A store whose undated schedule ends N days after the chain's last day of demand enters its schedules N days
    ahead: its undated rows count as known N days before their own day, so that a past origin sees as much of the
    schedule as the next one will. A store that has the whole horizon keeps its nulls, which mean "always known".
    """
    on = business_date(stores)
    undated = pl.col(SCHEDULED).is_not_null() & pl.col("known_on").is_null()
    days_ahead = (on.filter(undated).max().over("store_id") - last_demand).dt.total_days().clip(0)
    estimate = on - pl.duration(days=1) * days_ahead
    late = undated & (days_ahead < horizon_days)
    return labor.with_columns(known_on=pl.when(late).then(estimate).otherwise("known_on"))


def known_in_time(labor: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose schedule was known by its own day: one recorded later tells no origin what to expect."""
    return labor.filter(pl.col("known_on").is_null() | (pl.col("known_on") <= business_date(stores)))
