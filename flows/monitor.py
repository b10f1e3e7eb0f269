"""Monitor: scores published forecasts whose actuals have arrived, and says whether to retrain."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from features.errors import NotKnownError
from features.matrix import HORIZON_DAYS
from features.tables import TARGETS
from flows.adapters.lake import Lake
from flows.adapters.registry import Registry
from flows.forecast import LATE_DAYS
from flows.reading import Chain
from forecasting import accuracy
from forecasting.backtest import with_actuals
from forecasting.retrain import Decision, decide

RECENT_ORIGINS_DAYS = 28


@dataclass(frozen=True)
class Watch:
    """What monitoring found: accuracy of what was published by target and level, and a decision per target."""

    scores: pl.DataFrame
    decisions: dict[str, Decision]


def monitor(lake: Lake, registry: Registry) -> Watch:
    """Scores every published store-hour that has an actual, writes the scores, decides by target.

    An hour without demand counts as 0 once its store has ingested a later one of an open day. An origin is scored
    until its horizon has been known for LATE_DAYS; demand that changes later leaves its scores as they are. Running
    it again changes nothing unless actuals or forecasts did. Raises NotKnownError where nothing was published.
    """
    if not lake.exists("forecasts"):
        raise NotKnownError("no forecast was ever published: run `daypart forecast` first")
    chain = Chain.of(lake)
    published = lake.scan("forecasts").select("origin_date", "target").unique().collect()
    for origin in _due(lake, chain, published["origin_date"].unique().sort()):
        _score(lake, origin, chain.edges[1])
    recent, targets = _recent(lake), sorted(published["target"].unique())
    return Watch(_levels(recent), {target: _decision(recent, registry, target) for target in targets})


def _due(lake: Lake, chain: Chain, published: pl.Series) -> list[date]:
    """Published origins that have no score yet or whose horizon may still bring one."""
    last = chain.last_day()
    if last is None:
        return []
    known = published <= last
    scored = lake.scan_or_empty("scores").select(pl.col("origin_date").unique()).collect().to_series()
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


def _recent(lake: Lake) -> pl.DataFrame:
    """Scores of the latest origins that have any."""
    scores = lake.scan_or_empty("scores")
    last = scores.select(pl.col("origin_date").max()).collect().item()
    since = last - timedelta(days=RECENT_ORIGINS_DAYS) if isinstance(last, date) else date.min
    return scores.filter(pl.col("origin_date") > since).collect()


def _reported(forecasts: pl.DataFrame, demand: pl.DataFrame) -> pl.DataFrame:
    """Published hours up to the last one that their store has ingested: later ones are not known to be 0 yet."""
    told = demand.unpivot(TARGETS, index=["store_id", "hour_utc"], variable_name="target").drop_nulls("value")
    until = told.group_by("store_id", "target").agg(until=pl.col("hour_utc").max())
    known = forecasts.join(until, on=["store_id", "target"])
    return known.filter(pl.col("hour_utc") <= pl.col("until")).drop("until")


def _levels(scored: pl.DataFrame) -> pl.DataFrame:
    if scored.is_empty():
        return pl.DataFrame()
    return pl.concat(
        accuracy.score(scored, level, by=["target"]).with_columns(level=pl.lit(level))
        for level in ("hour", "daypart", "day")
    )


def _decision(scored: pl.DataFrame, registry: Registry, target: str) -> Decision:
    version = registry.version_of(target, "champion")
    promised = registry.describe(target, version)["metrics"] if version is not None else {}
    mine = scored.filter(pl.col("target") == target)
    if mine.is_empty():
        return decide(0, None, None, promised)
    row = accuracy.score(mine, "hour").row(0, named=True)
    if row["accuracy_bps"] is None:
        return decide(0, None, None, promised)
    return decide(row["cells"], 1e4 - row["accuracy_bps"], 1e4 - row["incumbent_bps"], promised)
