"""Rolling origins: at each, the forecast that would have been published, with what was sold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from daypart.features.chain_data import days
from daypart.forecasting.metrics.actuals import idle_days, with_actuals
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.serving.levels import Level, aggregate
from daypart.forecasting.serving.publication import FORECAST_ORDER, ServedModel, forecast_block


def rolling_origins(start: date, end: date, every_days: int, horizon_days: int) -> list[date]:
    """Return the origins from start whose whole horizon ends by end."""
    return days(start, end - timedelta(days=horizon_days - 1), every_days)


@dataclass(frozen=True)
class VersionLabel:
    """The label of a backtest's models: the prefix of their version names, and their tier."""

    prefix: str = ""
    tier: str = "standard"

    def version(self, model: Model) -> str:
        """Return the name of a model's version."""
        return f"{self.prefix}as-of-{model.as_of}"


def backtest(
    trainer: ModelTrainer,
    origins: list[date],
    retrain_every_days: int,
    progress: Callable[[date], None] = lambda origin: None,
    label: VersionLabel | None = None,
) -> tuple[pl.DataFrame, dict[str, Model]]:
    """Return forecasts of rolling origins with what was sold, and the models by version.

    One row per store of the trainer, origin and hour of the horizon, as published, with `actual`. Models are retrained
    every `retrain_every_days` from the first origin, each on what was known at its date, and each origin uses the
    latest. `actual` is as `actuals.with_actuals` has it: null on days without demand that are closed or not yet known,
    0 in an hour without demand on an open day.
    """
    label = label or VersionLabel()
    trained: dict[date, Model] = {}
    serving: dict[date, Model] = {}
    for origin in origins:
        as_of = origin - timedelta(days=(origin - origins[0]).days % retrain_every_days)
        serving[origin] = trained[as_of] = trained.get(as_of) or trainer.train(as_of)
        progress(origin)
    forecasts = [
        forecast_block(block, [ServedModel(model, label.version(model), label.tier)], origin)
        for block in trainer.blocks()
        for origin, model in serving.items()
    ]
    models = {label.version(model): model for model in serving.values()}
    rows = pl.concat(forecasts).sort(FORECAST_ORDER)
    history = trainer.records.block(rows["store_id"].unique().to_list())
    return with_actuals(rows, history.demand, idle_days(history, origins[0]), history.stores).drop("idle"), models


def at_level(rows: pl.DataFrame, models: Mapping[str, Model], stores: pl.DataFrame, level: Level) -> pl.DataFrame:
    """Return the backtest rows that have an actual, added up by `levels.aggregate` with the models they are from."""
    scored_rows = rows.filter(pl.col("actual").is_not_null())
    parts = scored_rows.partition_by("model_version", "origin_date", as_dict=True, maintain_order=True)
    return pl.concat(aggregate(part, models[version], stores, level) for (version, _), part in parts.items())
