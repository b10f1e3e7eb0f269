"""Rolling origins: at each, the forecast that would have been published, with what was sold."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from daypart.features.chain_data import days
from daypart.forecasting.metrics.actuals import idle_days, with_actuals
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.progress import Progress, part, silent, split, track
from daypart.forecasting.serving.levels import Level, aggregate
from daypart.forecasting.serving.publication import FORECAST_ORDER, ServedModel, forecast_block

TRAINING_SHARE = 0.8
"""Share of a backtest's progress that the trainings make up; the rest is forecasting."""


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
    progress: Progress = silent,
    label: VersionLabel | None = None,
) -> tuple[pl.DataFrame, dict[str, Model]]:
    """Return forecasts of rolling origins with what was sold, and the models by version.

    One row per store of the trainer, origin and hour of the horizon, as published, with `actual`. Models are retrained
    every `retrain_every_days` from the first origin, each on what was known at its date, and each origin uses the
    latest. `actual` is as `actuals.with_actuals` has it: null on days without demand that are closed or not yet known,
    0 in an hour without demand on an open day.
    """
    label = label or VersionLabel()
    as_of = {day: day - timedelta(days=(day - origins[0]).days % retrain_every_days) for day in origins}
    retrainings = split(part(progress, 0.0, TRAINING_SHARE), list(dict.fromkeys(as_of.values())))
    trained = {day: trainer.train(day, progress=training_progress) for day, training_progress in retrainings}
    serving = {origin: trained[as_of[origin]] for origin in origins}
    forecasts = []
    block_parts = split(part(progress, TRAINING_SHARE, 1.0), range(trainer.block_count))
    for block, (_, block_progress) in zip(trainer.blocks(), block_parts, strict=True):
        for origin in track(block_progress, origins, lambda origin: f"forecast {trainer.target} from {origin} on"):
            model = serving[origin]
            forecasts.append(forecast_block(block, [ServedModel(model, label.version(model), label.tier)], origin))
    models = {label.version(model): model for model in serving.values()}
    rows = pl.concat(forecasts).sort(FORECAST_ORDER)
    history = trainer.records.block(rows["store_id"].unique().to_list())
    return with_actuals(rows, history.demand, idle_days(history, origins[0]), history.stores).drop("idle"), models


def at_level(rows: pl.DataFrame, models: Mapping[str, Model], stores: pl.DataFrame, level: Level) -> pl.DataFrame:
    """Return the backtest rows that have an actual, added up by `levels.aggregate` with the models they are from."""
    scored_rows = rows.filter(pl.col("actual").is_not_null())
    parts = scored_rows.partition_by("model_version", "origin_date", as_dict=True, maintain_order=True)
    return pl.concat(aggregate(part, models[version], stores, level) for (version, _), part in parts.items())
