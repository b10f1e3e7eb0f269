"""Monitor: scores published forecasts whose actuals have arrived, and says whether to retrain."""

from dataclasses import dataclass

import polars as pl

from features.errors import NotKnownError
from features.tables import TARGETS
from flows.adapters.lake import Lake
from flows.adapters.registry import Registry
from flows.reading import read_records
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

    An hour without demand counts as 0 once its store has ingested a later one of an open day.
    Running it again changes nothing unless actuals or forecasts did. Raises NotKnownError where nothing was
    published.
    """
    if not lake.exists("forecasts"):
        raise NotKnownError("no forecast was ever published: run `daypart forecast` first")
    records, _ = read_records(lake)
    due = _reported(lake.scan("forecasts").collect(), records.demand)
    scored = with_actuals(due, records.demand).filter(pl.col("actual").is_not_null())
    columns = lake.columns("scores")
    if scored.height:
        lake.upsert("scores", scored.select(columns))
    recent = scored.filter(pl.col("origin_date") > pl.col("origin_date").max() - pl.duration(days=RECENT_ORIGINS_DAYS))
    targets = sorted(due["target"].unique()) or list(TARGETS)
    return Watch(_levels(recent), {target: _decision(recent, registry, target) for target in targets})


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
