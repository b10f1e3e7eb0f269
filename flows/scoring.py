"""Scoring: published hours beside what came, kept by the hour and tallied."""

from datetime import date, datetime, timedelta

import polars as pl

from features.matrix import HORIZON_DAYS
from features.tables import TARGETS
from flows.adapters.lake import Lake
from flows.forecast import LATE_DAYS
from flows.reading import Chain
from forecasting.backtest import with_actuals
from forecasting.tallies import tally


def score(lake: Lake, chain: Chain) -> None:
    """Scores every published store-hour that has an actual, anew where late actuals changed it.

    Writes `scores`, one row per hour, and their `tallies`. An hour without demand counts as 0 once its store has
    ingested a later one of an open day. An origin is scored until its horizon has been known for LATE_DAYS; demand
    that changes later leaves its scores as they are. Scoring again changes nothing unless actuals or forecasts did.
    """
    published = lake.scan("forecasts").select(pl.col("origin_date").unique()).collect().to_series().sort()
    for origin in _due(lake, chain, published):
        _score(lake, origin, chain.edges[1])


def _due(lake: Lake, chain: Chain, published: pl.Series) -> list[date]:
    """Published origins that have no score yet or whose horizon may still bring one."""
    last = chain.last_day()
    if last is None:
        return []
    known = published <= last
    scored = lake.scan_or_empty("tallies").select(pl.col("origin_date").unique()).collect().to_series()
    open_since = last - timedelta(days=HORIZON_DAYS + LATE_DAYS)
    return published.filter(known & ((published >= open_since) | ~published.is_in(scored.implode()))).to_list()


def _score(lake: Lake, origin: date, until: datetime) -> None:
    """Writes what is known of one origin's forecasts; the last demand is of `until`."""
    mine = (pl.col("origin_date") == origin) & (pl.col("hour_utc") <= until)
    told = lake.scan("forecasts").filter(mine).collect()
    span = pl.col("hour_utc").is_between(told["hour_utc"].min(), told["hour_utc"].max())
    demand = lake.scan("demand").filter(span).collect()
    scored = with_actuals(_reported(told, demand), demand).filter(pl.col("actual").is_not_null())
    if scored.height:
        lake.upsert("scores", scored.select(lake.columns("scores")))
        # Last, for it is what says that an origin is scored.
        lake.upsert("tallies", tally(scored).select(lake.columns("tallies")))


def _reported(forecasts: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    """Published hours up to the last one that their store has ingested: later ones are not known to be 0 yet."""
    told = demand.unpivot(TARGETS, index=["store_id", "hour_utc"], variable_name="target").drop_nulls("value")
    until = told.group_by("store_id", "target").agg(until=pl.col("hour_utc").max())
    known = forecasts.join(until, on=["store_id", "target"])
    return known.filter(pl.col("hour_utc") <= pl.col("until")).drop("until")
