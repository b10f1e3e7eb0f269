"""The window of data that the rows of one origin need, and the stores that need more: what a forecast reads."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from daypart.features.history import demand_history

DEMAND_WINDOW_DAYS = 490
"""YEARLY_MEMORY_DAYS, and the weeks before them, which give the usual demand of last year's days."""

RECENT_WINDOW_DAYS = 84
"""The last eight weeks of trade, with weather, labor and events on the incumbent's days."""

USUAL_WEEKS, TREND_DAYS = 4, 84


def window_starts(origin: date) -> dict[str, date]:
    """Return by table the first local date that the rows of an origin need, for stores within the window."""
    late = origin - timedelta(days=RECENT_WINDOW_DAYS)
    return {"demand": origin - timedelta(days=DEMAND_WINDOW_DAYS), "labor": late, "weather": late}


def stores_beyond_window(stores: pl.DataFrame, totals: pl.DataFrame, origin: date) -> Sequence[str]:
    """Return the stores, sorted, of which a row of the origin may need data before `window_starts`.

    `totals` are the days of `day_statistics.day_totals`, of demand in the window. The window is enough for a store
    that has, of every weekday, 26 plain days for the shape of the day, 4 before the remembered year for its usual
    demand, and 8 recent open days; and in that year as many open days as the longest trend. A store that is young,
    closes on a weekday or has a gap may need more.
    """
    day = pl.col("date")

    def ago(days: int) -> date:
        return origin - timedelta(days=days)

    year_start = ago(demand_history.YEARLY_MEMORY_DAYS)
    past_days = totals.filter(day < origin).with_columns(weekday=day.dt.weekday())
    weekdays = past_days.group_by("store_id", "weekday").agg(
        enough=((pl.col("plain") & (day >= year_start)).sum() >= demand_history.HALF_YEAR_WEEKS)
        & ((pl.col("plain") & (day < year_start)).sum() >= USUAL_WEEKS)
        & ((day >= ago(RECENT_WINDOW_DAYS)).sum() >= demand_history.SAME_HOUR_WEEKS),
        lately=(day >= year_start).sum(),
    )
    near = weekdays.group_by("store_id").agg(weekdays=pl.col("enough").sum(), lately=pl.col("lately").sum())
    near = near.filter(pl.col("weekdays") == 7, pl.col("lately") >= TREND_DAYS)
    return stores.join(near, on="store_id", how="anti")["store_id"].sort().to_list()
