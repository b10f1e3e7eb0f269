"""The forecast as published: every hour of every open store's horizon; closed hours are exactly 0."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import polars as pl

from daypart.features import clock, matrix
from daypart.features.chain_data import ChainData
from daypart.features.dayparts import daypart
from daypart.features.history import horizon, trading_hours
from daypart.features.money import with_unit
from daypart.forecasting.models.engine import LOCAL, Engine
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import StoreBlock
from daypart.forecasting.serving import forecast_limits
from daypart.forecasting.serving.forecast_limits import FORECAST_VALUES


@dataclass(frozen=True)
class ServedModel:
    """A model that serves, the name of its version, its tier, and the stores it is for: all where null."""

    model: Model
    version: str
    tier: str = "standard"
    store_ids: frozenset[str] | None = None

    @property
    def view(self) -> matrix.View:
        """The target, weather and horizon of its matrix."""
        return matrix.View(self.model.target, self.model.recipe.weather, self.model.recipe.horizon_days)


FORECAST_SCHEMA = pl.Schema({
    "store_id": pl.String(), "target": pl.String(), "origin_date": pl.Date(), "lead_days": pl.Int16(),
    "hour_local": pl.Datetime("us"), "hour_utc": pl.Datetime("us"), "business_date": pl.Date(),
    "daypart": pl.String(), "forecast": pl.Float64(), "q10": pl.Float64(), "q50": pl.Float64(), "q90": pl.Float64(),
    "incumbent": pl.Float64(), "model_version": pl.String(), "tier": pl.String(), "basis": pl.String(),
    "scale": pl.Float64(), "youth": pl.Float64(),
})  # fmt: skip
FORECAST_COLUMNS = tuple(FORECAST_SCHEMA)
FORECAST_ORDER = ("store_id", "target", "origin_date", "hour_utc")
SPREAD = ("scale", "youth")
NUMBER_COLUMNS = (*FORECAST_VALUES, "incumbent", *SPREAD)
PREDICTIONS = pl.Schema({name: FORECAST_SCHEMA[name] for name in ("store_id", "hour_utc", *FORECAST_VALUES, *SPREAD)}
                        | {"hour": pl.Int8(), "date": pl.Date(), "smooth": pl.Float64()})  # fmt: skip


def forecast_stores(trainer: ModelTrainer, records: ChainData, served: ServedModel, origin: date) -> pl.DataFrame:
    """Return the forecast of all stores by one model, as `forecast_block` has it.

    Stores and closures are those of `records`, their histories those of the trainer.
    """
    return pl.concat(
        forecast_block(replace(block, records=_with_stores_of(block.records, records)), [served], origin)
        for block in trainer.blocks()
    )


def _with_stores_of(block: ChainData, records: ChainData) -> ChainData:
    ids = block.stores["store_id"].implode()
    in_block = pl.col("store_id").is_in(ids)
    return replace(block, stores=records.stores.filter(in_block), closures=records.closures.filter(in_block))


def forecast_block(
    block: StoreBlock,
    serving: Sequence[ServedModel],
    origin: date,
    matrix_rows: pl.DataFrame | None = None,
    engine: Engine = LOCAL,
) -> pl.DataFrame:
    """Return one row per store, target and real clock hour of the horizon, sorted; FORECAST_COLUMNS.

    The models share a view.
    `matrix_rows` is the block's matrix of the origin, where it is built already.

    Every store open in the horizon that a model is for has all its hours (23 or 25 on the days when clocks change).
    The incumbent of an hour does not depend on whether it is forecast as closed: see `_incumbent`. Bands of sums
    are made by `scale`, the store's mean trading hour of late, and `youth`, as the matrix has it; 0 where closed.
    """
    view, stages = serving[0].view, engine.stages
    stores = forecast_limits.open_stores(block, view.target, origin, view.horizon_days)
    stores = stores.join(_serving_rows(stores, serving), on="store_id", maintain_order="left")
    if stores.is_empty():
        return pl.DataFrame(schema=FORECAST_SCHEMA)
    block = _of_stores(block, stores)
    predictions = pl.DataFrame(schema=PREDICTIONS)
    if (stores["open_days"] > 0).any() or block.any_known(view, [origin]):
        with stages("matrix") as count:
            rows = block.build_matrix(view, [origin]) if matrix_rows is None else matrix_rows
            count(rows.height)
        with stages("predict"):
            predictions = pl.concat(_predict(rows, block, served, engine) for served in serving)
    with stages("predict"):
        return _assemble(block, stores, predictions, view, origin)


def block_features(block: StoreBlock, served: ServedModel, origin: date, engine: Engine = LOCAL) -> pl.DataFrame:
    """Return the rows from which a model forecasts its stores of a block: the columns of `Model.features` and LIMIT.

    There is a row for every hour in which a store may trade.
    """
    view = served.view
    stores = _rows_for(forecast_limits.open_stores(block, view.target, origin, view.horizon_days), served)
    block = _of_stores(block, stores)
    if stores.is_empty() or not ((stores["open_days"] > 0).any() or block.any_known(view, [origin])):
        return pl.DataFrame()
    rows = with_unit(block.build_matrix(view, [origin]), block.records.stores, served.model.units)
    features = served.model.features(rows, _rows_for(block.history.totals, served), engine)
    lends = stores.select("store_id", "borrows")
    limited = features.join(lends, on="store_id", maintain_order="left")
    return forecast_limits.with_limit(limited, block.history, origin).drop("borrows")


def predict_features(model: Model, features: pl.DataFrame) -> pl.DataFrame:
    """Return forecast, q10, q50 and q90 of each row of `block_features`, in order, as they are published."""
    return forecast_limits.cap(forecast_limits.widen_young(model.predict_features(features))).select(FORECAST_VALUES)


def _of_stores(block: StoreBlock, stores: pl.DataFrame) -> StoreBlock:
    """Return the block of some of its stores, which are rows of `forecast_limits.open_stores`."""
    rows = block.records.stores.join(stores.select("store_id"), on="store_id", how="semi", maintain_order="left")
    return replace(block, records=replace(block.records, stores=rows))


def _serving_rows(stores: pl.DataFrame, serving: Sequence[ServedModel]) -> pl.DataFrame:
    """Return one row per store that a model is for: store_id, model_version, tier."""
    names = stores.select("store_id")
    return pl.concat(
        _rows_for(names, served).with_columns(model_version=pl.lit(served.version), tier=pl.lit(served.tier))
        for served in serving
    )


def _rows_for(rows: pl.DataFrame, served: ServedModel) -> pl.DataFrame:
    """Return the rows of the stores that a model is for."""
    return rows if served.store_ids is None else rows_of_stores(rows, sorted(served.store_ids))


def rows_of_stores(rows: pl.DataFrame, ids: Sequence[str]) -> pl.DataFrame:
    """Return the rows of some stores."""
    return rows.filter(pl.col("store_id").is_in(pl.Series(ids, dtype=pl.String).implode()))


def _predict(rows: pl.DataFrame, block: StoreBlock, served: ServedModel, engine: Engine) -> pl.DataFrame:
    """Return a model's predictions of its stores' rows of the matrix; PREDICTIONS."""
    model_rows = _rows_for(rows, served)
    if model_rows.is_empty():
        return pl.DataFrame(schema=PREDICTIONS)
    model_rows = with_unit(model_rows, block.records.stores, served.model.units)
    totals = _rows_for(block.history.totals, served)
    predictions = forecast_limits.widen_young(served.model.predict(model_rows, totals, engine))
    return predictions.select(PREDICTIONS.names())


def _assemble(
    block: StoreBlock, stores: pl.DataFrame, predictions: pl.DataFrame, view: matrix.View, origin: date
) -> pl.DataFrame:
    """Return all hours of `forecast_limits.open_stores`, with the predictions of those in which they may trade."""
    store_facts = stores.select("store_id", "open_days", "borrows", "stale_on", "model_version", "tier")
    predictions = forecast_limits.with_limit(predictions.join(store_facts, on="store_id"), block.history, origin)
    predictions = forecast_limits.cap(predictions)
    rows = _hours(stores, predictions, origin, view.horizon_days)
    return (
        rows.join(_incumbent(block, rows, origin), on=["store_id", "hour_utc"], how="left")
        .join(store_facts, on="store_id")
        .with_columns(
            target=pl.lit(view.target),
            origin_date=pl.lit(origin),
            lead_days=(pl.col("date") - pl.lit(origin)).dt.total_days().cast(pl.Int16),
            daypart=daypart(pl.col("hour")),
            basis=forecast_limits.basis_text(),
        )
        .with_columns(pl.col(NUMBER_COLUMNS).fill_null(0.0))
        .select(FORECAST_COLUMNS)
        .sort(FORECAST_ORDER)
    )


def _hours(stores: pl.DataFrame, predictions: pl.DataFrame, origin: date, horizon_days: int) -> pl.DataFrame:
    """Return one row per store and real clock hour of the horizon's business days, with forecasts null where closed."""
    last = origin + timedelta(days=horizon_days - 1)
    grid = clock.hour_grid(stores, origin, last).collect().with_columns(hour=pl.col("hour_local").dt.hour())
    values = predictions.select("store_id", "hour_utc", *FORECAST_VALUES, *SPREAD, "capped")
    return grid.join(values, on=["store_id", "hour_utc"], how="left").with_columns(business_date="date")


def _incumbent(block: StoreBlock, rows: pl.DataFrame, origin: date) -> pl.DataFrame:
    """Return the planner's `incumbent` (`horizon.planner_incumbent`) of those hours that no declared closure covers."""
    records = block.records
    ends = records.stores.select("store_id", "closed_on")
    return (
        trading_hours.without_closures(rows, trading_hours.known_closures(records.closures, origin), records.stores)
        .join(ends, on="store_id")
        .filter(pl.col("closed_on").is_null() | (pl.col("date") < pl.col("closed_on")))
        .with_columns(weekday=pl.col("date").dt.weekday())
        .join(horizon.planner_incumbent(block.history, origin), on=["store_id", "weekday", "hour"])
        .select("store_id", "hour_utc", "incumbent")
    )
