"""Rolling origins: at each, the forecast that would have been published, beside what came."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from daypart.features.chain_data import ChainData, days
from daypart.forecasting.metrics.actuals import idle_days, with_actuals
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import Workshop
from daypart.forecasting.serving.levels import Level, summed
from daypart.forecasting.serving.publication import ORDER, of_block


def rolling_origins(start: date, end: date, every_days: int, horizon_days: int) -> list[date]:
    """Origins from start while the whole horizon ends by end."""
    return days(start, end - timedelta(days=horizon_days - 1), every_days)


@dataclass(frozen=True)
class Segment:
    """Some stores that have models of their own: what versions' names begin with, and the tier.

    `sums` are the chain's (`workshop.chain_sums`) up to the last origin.
    """

    before: str
    tier: str
    store_ids: Sequence[str]
    sums: pl.DataFrame


def backtest(
    records: ChainData,
    target: str,
    recipe: Recipe,
    origins: list[date],
    retrain_every_days: int,
    progress: Callable[[date], None] = lambda origin: None,
    segment: Segment | None = None,
) -> tuple[pl.DataFrame, dict[str, Model]]:
    """One row per store, origin and hour of the horizon, as published, with `actual`; and the models by version.

    Of all stores, or of a segment of them.

    Models are retrained every `retrain_every_days` from the first origin, each on what was known at its date,
    and each origin uses the latest. `actual` is as `actuals.with_actuals` has it: null on days without demand that are
    closed or not yet known, 0 in an hour without demand on an open day.
    """
    ids, sums = (segment.store_ids, segment.sums) if segment else (None, None)
    workshop = Workshop(records, target, recipe, origins[-1], store_ids=ids, sums=sums)
    before, tier = (segment.before, segment.tier) if segment else ("", "standard")
    trained: dict[date, Model] = {}
    served: dict[date, Model] = {}
    for origin in origins:
        as_of = origin - timedelta(days=(origin - origins[0]).days % retrain_every_days)
        served[origin] = trained[as_of] = trained.get(as_of) or workshop.train(as_of)
        progress(origin)
    forecasts = [
        of_block(block, past, model, origin, _version(before, model), tier=tier)
        for block, past in workshop.blocks()
        for origin, model in served.items()
    ]
    models = {_version(before, model): model for model in served.values()}
    rows = pl.concat(forecasts).sort(ORDER)
    history = records.block(rows["store_id"].unique().to_list())
    return with_actuals(rows, history.demand, idle_days(history, origins[0]), history.stores).drop("idle"), models


def at_level(rows: pl.DataFrame, models: Mapping[str, Model], stores: pl.DataFrame, level: Level) -> pl.DataFrame:
    """The rows of a backtest that have an actual, added up as `levels.summed` has it, each by the model it is from."""
    scored_rows = rows.filter(pl.col("actual").is_not_null())
    parts = scored_rows.partition_by("model_version", "origin_date", as_dict=True, maintain_order=True)
    return pl.concat(summed(part, models[version], stores, level) for (version, _), part in parts.items())


def _version(before: str, model: Model) -> str:
    return f"{before}as-of-{model.as_of}"
