"""How far back the rows of one origin look, and which stores look further: so much is read to forecast a night."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from daypart.features.history import demand_history

YEAR_DAYS = demand_history.YEAR_DAYS
"""As a rule it has half a year of plain weeks too, on which the shape of a day rests."""

DEMAND_DAYS = 490
"""What was usual on last year's days rests on the weeks before them."""

LATE_DAYS = 84
"""The last eight weeks of trade, with what weather, labor and events were on the incumbent's days."""

USUAL_WEEKS, TREND_DAYS = 4, 84


def since(origin: date) -> dict[str, date]:
    """By table, the first local date that the rows of an origin rest on, for stores that do not look further."""
    late = origin - timedelta(days=LATE_DAYS)
    return {"demand": origin - timedelta(days=DEMAND_DAYS), "labor": late, "weather": late}


def looking_further(stores: pl.DataFrame, totals: pl.DataFrame, origin: date) -> Sequence[str]:
    """The stores, sorted, of which a row of the origin may rest on more than `since` says.

    `totals` are the days of `history.day_totals`, of demand since then. A store does not look further if it has,
    of every weekday, 26 plain days for the shape of the day, 4 before the remembered year for what was usual in
    it, and 8 open days of late; and in that year as many open days as the longest trend. A store that is young,
    closes on a weekday or has a gap is among those who may.
    """
    day = pl.col("date")

    def ago(days: int) -> date:
        return origin - timedelta(days=days)

    past_days = totals.filter(day < origin).with_columns(weekday=day.dt.weekday())
    weekdays = past_days.group_by("store_id", "weekday").agg(
        enough=((pl.col("plain") & (day >= ago(YEAR_DAYS))).sum() >= demand_history.HALF_YEAR_WEEKS)
        & ((pl.col("plain") & (day < ago(YEAR_DAYS))).sum() >= USUAL_WEEKS)
        & ((day >= ago(LATE_DAYS)).sum() >= demand_history.SAME_HOUR_WEEKS),
        lately=(day >= ago(YEAR_DAYS)).sum(),
    )
    near = weekdays.group_by("store_id").agg(weekdays=pl.col("enough").sum(), lately=pl.col("lately").sum())
    near = near.filter(pl.col("weekdays") == 7, pl.col("lately") >= TREND_DAYS)
    return stores.join(near, on="store_id", how="anti")["store_id"].sort().to_list()
