"""Scoring: published hours beside what came, kept by the hour and tallied."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.matrix import HORIZON_DAYS
from daypart.features.tables.schemas import TARGETS
from daypart.flows.jobs.forecast import LATE_DAYS
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.staging import Staging
from daypart.forecasting.metrics.actuals import idle_days, with_actuals
from daypart.forecasting.metrics.score_tallies import tally

MOST_ORIGINS = 100
"""Origins that are written in one commit; a night has some 20, more only after nights that were not scored."""
DAY = pl.col("business_date").alias("date")
CELL = ("store_id", "target", "hour_utc")


def score(lake: Lake, chain: Chain) -> None:
    """Scores every published store-hour that has an actual, anew where late actuals changed it.

    Writes `tallies` and `scores`, one row per hour, in one commit each. An hour without demand counts as 0 once its
    store has ingested a later one, on a day with demand or on which its hours say that it was open
    (`actuals.idle_days`); other days that were forecast as open are left out: their actuals are null. An origin is
    scored until its horizon has been known for LATE_DAYS; demand that changes later leaves its scores as they are. Only
    days whose actuals are new or another are scored, and origins that were published since; scoring again changes
    nothing. A process that is killed leaves days that the next one scores.
    """
    last = chain.last_day()
    if last is None or (due := _due(lake, last)).is_empty():
        return
    actuals = _actuals(lake, chain, due, last)
    unscored = _unscored(lake, due)
    changed = _changed(lake, due, actuals, last)
    end = changed["date"].max() or date.min
    origins = [origin for origin in due if origin in unscored or origin <= end]
    # The latest origins come last: until they are scored the next run sees which days are not.
    for first in range(0, len(origins), MOST_ORIGINS):
        chosen = origins[first : first + MOST_ORIGINS]
        days = ((origin, None if origin in unscored else changed) for origin in chosen)
        _score(lake, (_scored(lake, origin, last, actuals, part) for origin, part in days))


def _score(lake: Lake, scored: Iterable[pl.DataFrame]) -> None:
    """Writes the scored hours of several origins in one commit a table; one origin at a time is in memory."""
    with Staging("tallies", lake.root.parent) as tallies, Staging("scores", lake.root.parent) as scores:
        for rows in scored:
            if rows.height:
                tallies.add(tally(rows).select(lake.columns("tallies")))
                scores.add(rows.select(lake.columns("scores")))
        # Scores come last: until they are there the next run sees that these days are not scored.
        if not scores.is_empty:
            lake.upsert("tallies", tallies)
            lake.upsert("scores", scores)


def _due(lake: Lake, last: date) -> pl.Series:
    """Published origins that have no score yet or whose horizon may still bring one, sorted."""
    scored = lake.written("scores", "origin_date")
    open_since = last - timedelta(days=HORIZON_DAYS + LATE_DAYS)
    published = sorted(lake.written("forecasts", "origin_date"))
    due = [origin for origin in published if origin <= last and (origin >= open_since or origin not in scored)]
    return pl.Series(due, dtype=pl.Date)


@dataclass(frozen=True)
class Actuals:
    """The demand of the due horizons, and their days without any on which an open store sold nothing."""

    demand: pl.DataFrame
    idle: pl.DataFrame
    stores: pl.DataFrame

    def beside(self, forecasts: pl.DataFrame) -> pl.DataFrame:
        """Published hours that their store has reported with `actual`, null where left out, and `idle`."""
        return with_actuals(_reported(forecasts, self.demand), self.demand, self.idle, self.stores)


def _actuals(lake: Lake, chain: Chain, due: pl.Series, last: date) -> Actuals:
    first = pl.lit(due.min()).cast(pl.Datetime("us"))
    end = pl.lit(last).cast(pl.Datetime("us"))
    # A day more on either side: stores' clocks differ from UTC. And a week, in which most stores trade.
    since, hour, rows = first - timedelta(days=8), pl.col("hour_utc"), chain.scan_demand()
    demand = rows.filter(hour.is_between(since, end + timedelta(days=2))).collect()
    # Whether a store that begins within the horizons traded before them is for its earlier rows to say: one will do.
    begun = demand.group_by("store_id").agg(hour.min()).filter(hour >= first)["store_id"]
    moments = pl.col("hour_local", "hour_utc").max()
    before = rows.filter(hour < since, pl.col("store_id").is_in(begun.implode())).group_by("store_id")
    earlier = before.agg(moments, pl.col(TARGETS).drop_nulls().last()).collect().select(demand.columns)
    tables = {name: lake.scan_or_empty(name).collect() for name in ("hours", "closures")}
    records = ChainData.from_tables({**tables, "stores": chain.stores, "demand": pl.concat([earlier, demand])})
    return Actuals(demand, idle_days(records, due.min()), chain.stores)  # type: ignore[arg-type]


def _unscored(lake: Lake, due: pl.Series) -> set[date]:
    """Origins that were published after they were last scored, or never were."""
    published, scored = lake.written("forecasts", "origin_date"), lake.written("scores", "origin_date")
    return {origin for origin in due if origin not in scored or scored[origin] < published[origin]}


def _changed(lake: Lake, due: pl.Series, actuals: Actuals, last: date) -> pl.DataFrame:
    """One row per store, target and date whose actuals are others than were scored: seen in its latest origin."""
    days = pl.select(date=pl.date_range(pl.lit(due.min()), pl.lit(last)))
    latest = days.join_asof(due.to_frame("origin_date").with_columns(date="origin_date"), on="date")
    # Files are told apart by their origins alone: the horizon of each is read, and its latest days kept.
    forecasts = lake.scan("forecasts").filter(pl.col("origin_date").is_in(due.implode())).with_columns(DAY)
    fresh = (
        forecasts.join(latest.lazy(), on=["origin_date", "date"], how="semi")
        .select(*CELL, "hour_local", "business_date", "forecast")
        .collect()
    )
    now = actuals.beside(fresh).with_columns(DAY)
    scores = lake.scan_or_empty("scores").filter(pl.col("origin_date").is_in(due.implode())).with_columns(DAY)
    before = (
        scores.join(latest.lazy(), on=["origin_date", "date"], how="semi")
        .select(*CELL, "date", "actual", "forecast")
        .collect()
    )
    now, before = (_counted(rows).select(*CELL, "date", "actual") for rows in (now, before))
    key = ["store_id", "target", "date"]
    differs = [
        one.join(other, on=[*CELL, "actual"], how="anti", nulls_equal=True).select(key)
        for one, other in ((now, before), (before, now))
    ]
    return pl.concat(differs).unique()


def _scored(lake: Lake, origin: date, last: date, actuals: Actuals, days: pl.DataFrame | None) -> pl.DataFrame:
    """What is known of one origin's forecasts beside its actuals, of some stores' days or all."""
    forecasts = (
        lake.scan("forecasts").filter(pl.col("origin_date") == origin).with_columns(DAY).filter(pl.col("date") <= last)
    )
    if days is not None:
        forecasts = forecasts.filter(pl.col("date").is_between(days["date"].min(), days["date"].max()))
        forecasts = forecasts.join(days.lazy(), on=["store_id", "target", "date"], how="semi")
    scored = actuals.beside(forecasts.collect()).with_columns(DAY)
    # Of days that changed all hours are written: those of one that lost its demand lose their actuals.
    return _counted(scored) if days is None else scored


def _counted(rows: pl.DataFrame) -> pl.DataFrame:
    """Hours of the days that have an actual or were forecast as open; of others nothing is to say."""
    is_scorable = pl.col("actual").is_not_null() | (pl.col("forecast") > 0.0)
    return rows.filter(is_scorable.any().over("store_id", "target", "date"))


def _reported(forecasts: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    """Published hours up to the last one that their store has ingested: later ones are not known to be 0 yet."""
    actuals = demand.unpivot(TARGETS, index=["store_id", "hour_utc"], variable_name="target").drop_nulls("value")
    until = actuals.group_by("store_id", "target").agg(until=pl.col("hour_utc").max())
    joined = forecasts.join(until, on=["store_id", "target"])
    return joined.filter(pl.col("hour_utc") <= pl.col("until")).drop("until")
