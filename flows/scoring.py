"""Scoring: published hours beside what came, kept by the hour and tallied."""

from datetime import date, timedelta

import polars as pl

from features.matrix import HORIZON_DAYS
from features.tables import TARGETS
from flows.adapters.lake import Lake
from flows.forecast import LATE_DAYS
from flows.reading import Chain
from forecasting.backtest import with_actuals
from forecasting.tallies import tally

DAY = pl.col("hour_local").dt.date().alias("date")
CELL = ("store_id", "target", "hour_utc")


def score(lake: Lake, chain: Chain) -> None:
    """Scores every published store-hour that has an actual, anew where late actuals changed it.

    Writes `tallies` and `scores`, one row per hour. An hour without demand counts as 0 once its store has ingested a
    later one of an open day. An origin is scored until its horizon has been known for LATE_DAYS; demand that changes
    later leaves its scores as they are. Only days whose actuals are new or another are scored, and origins that were
    published since; scoring again changes nothing. A process that is killed leaves days that the next one scores.
    """
    last = chain.last_day()
    published = lake.scan("forecasts").select(pl.col("origin_date").unique()).collect().to_series().sort()
    if last is None or (due := _due(lake, last, published)).is_empty():
        return
    demand = _demand(lake, due, last)
    whole = _unscored(lake, due)
    changed = _changed(lake, due, demand, last)
    for origin in due.filter(due.is_in(sorted(whole)) | (due <= (changed["date"].max() or date.min))):
        _score(lake, origin, last, demand, None if origin in whole else changed)


def _due(lake: Lake, last: date, published: pl.Series) -> pl.Series:
    """Published origins that have no score yet or whose horizon may still bring one."""
    scored = lake.scan_or_empty("tallies").select(pl.col("origin_date").unique()).collect().to_series()
    open_since = last - timedelta(days=HORIZON_DAYS + LATE_DAYS)
    return published.filter((published <= last) & ((published >= open_since) | ~published.is_in(scored.implode())))


def _demand(lake: Lake, due: pl.Series, last: date) -> pl.DataFrame:
    """The demand of the due horizons."""
    first = pl.lit(due.min()).cast(pl.Datetime("us"))
    end = pl.lit(last).cast(pl.Datetime("us"))
    # A day more on either side: stores' clocks differ from UTC.
    span = pl.col("hour_utc").is_between(first - timedelta(days=1), end + timedelta(days=2))
    return lake.scan("demand").filter(span).collect()


def _unscored(lake: Lake, due: pl.Series) -> set[date]:
    """Origins that were published after they were last scored, or never were."""
    published, scored = lake.written("forecasts", "origin_date"), lake.written("tallies", "origin_date")
    return {origin for origin in due if origin not in scored or scored[origin] < published[origin]}


def _changed(lake: Lake, due: pl.Series, demand: pl.DataFrame, last: date) -> pl.DataFrame:
    """One row per store, target and date whose actuals are others than were scored: seen in its latest origin."""
    days = pl.select(date=pl.date_range(pl.lit(due.min()), pl.lit(last)))
    latest = days.join_asof(due.to_frame("origin_date").with_columns(date="origin_date"), on="date")
    # Files are told apart by their origins alone: the horizon of each is read, and its latest days kept.
    told = lake.scan("forecasts").filter(pl.col("origin_date").is_in(due.implode())).with_columns(DAY)
    fresh = told.join(latest.lazy(), on=["origin_date", "date"], how="semi").select(*CELL, "hour_local").collect()
    now = _beside(fresh, demand).select(*CELL, DAY, "actual")
    scores = lake.scan_or_empty("scores").filter(pl.col("origin_date").is_in(due.implode())).with_columns(DAY)
    before = (
        scores.join(latest.lazy(), on=["origin_date", "date"], how="semi").select(*CELL, "date", "actual").collect()
    )
    key = ["store_id", "target", "date"]
    differs = [
        one.join(other, on=[*CELL, "actual"], how="anti").select(key) for one, other in ((now, before), (before, now))
    ]
    return pl.concat(differs).unique()


def _score(lake: Lake, origin: date, last: date, demand: pl.DataFrame, days: pl.DataFrame | None) -> None:
    """Writes what is known of one origin's forecasts, of some stores' days or all."""
    told = (
        lake.scan("forecasts").filter(pl.col("origin_date") == origin).with_columns(DAY).filter(pl.col("date") <= last)
    )
    if days is not None:
        told = told.filter(pl.col("date").is_between(days["date"].min(), days["date"].max()))
        told = told.join(days.lazy(), on=["store_id", "target", "date"], how="semi")
    scored = _beside(told.drop("date").collect(), demand)
    if scored.height:
        # Scores come last: until they are there the next run sees that these days are not scored.
        lake.upsert("tallies", tally(scored).select(lake.columns("tallies")))
        lake.upsert("scores", scored.select(lake.columns("scores")))


def _beside(told: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    """Published hours with the actual that is known of them, others left out."""
    found = with_actuals(_reported(told, demand), demand)
    return found.filter(pl.col("actual").is_not_null())


def _reported(forecasts: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    """Published hours up to the last one that their store has ingested: later ones are not known to be 0 yet."""
    told = demand.unpivot(TARGETS, index=["store_id", "hour_utc"], variable_name="target").drop_nulls("value")
    until = told.group_by("store_id", "target").agg(until=pl.col("hour_utc").max())
    known = forecasts.join(until, on=["store_id", "target"])
    return known.filter(pl.col("hour_utc") <= pl.col("until")).drop("until")
