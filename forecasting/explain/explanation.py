"""Explain a published forecast: the incumbent, and by how much each family of features moves it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from daypart.features import matrix
from daypart.features.deterministic_sum import ordered_sum
from daypart.features.history import trading_hours
from daypart.features.money import with_unit
from daypart.features.signals import weather
from daypart.forecasting.explain.contributions import contributions
from daypart.forecasting.explain.feature_families import FAMILIES, LIMITS, USUAL, YOUNG, family
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.training_data import StoreBlock
from daypart.forecasting.serving import night, publication

HOUR_KEY = ["store_id", "hour_utc"]
NO_PREDICTIONS = pl.Schema(
    {"store_id": pl.String(), "hour_utc": pl.Datetime("us"), "incumbent": pl.Float64(), "youth": pl.Float64()}
)
CLOSED = "closed"
"""The part that takes the incumbent of an hour that is forecast as closed."""


@dataclass(frozen=True)
class Explanation:
    """Hours of one store and the parts of their forecasts.

    `hours` are rows as published, sorted, with the matrix's features (null where closed); `parts` has a row for each:
    one column per feature or family, in the target's unit. The hour's `incumbent` and its parts sum to its `forecast`.
    `holidays` and `events` are those of the store, `closures` its declared ones. `weather_view` says which weather the
    forecasts knew.
    """

    hours: pl.DataFrame
    parts: pl.DataFrame
    holidays: pl.DataFrame
    events: pl.DataFrame
    closures: pl.DataFrame
    weather_view: weather.WeatherView

    def filter(self, condition: pl.Expr) -> "Explanation":
        """Return the explanation of the hours for which the condition holds."""
        mask = self.hours.select(condition).to_series().fill_null(value=False)
        return replace(self, hours=self.hours.filter(mask), parts=self.parts.filter(mask))

    def families(self) -> dict[str, float]:
        """Return by family what it adds to the sum of the incumbents; with it they sum to that of the forecasts."""
        sums = self.features()
        parts = {name: [value for part, value in sums.items() if _family(part) == name] for name in (*FAMILIES, CLOSED)}
        return {name: sum(values) for name, values in parts.items() if any(values)}

    def features(self, family_name: str | None = None) -> dict[str, float]:
        """Return the same by feature, of one family or all."""
        sums = self.parts.sum().row(0, named=True)
        return {
            name: float(value or 0.0)
            for name, value in sums.items()
            if family_name is None or _family(name) == family_name
        }


def _family(part: str) -> str:
    return part if part == CLOSED else family(part)


def explain(inputs: night.NightInputs, model: Model, day: date | None = None) -> Explanation:
    """Explain a store's forecast of one local date, by default of its whole horizon.

    The forecasts are made anew as they were for publication; callers compare them with published ones.
    """
    view, origin = publication.ServedModel(model, "").view, inputs.origin
    covariates = inputs.covariates(view.weather)
    holiday_sums = night.chain_holiday_sums(inputs.chain, [view.target], origin)[view.target]
    serving = [publication.ServedModel(model, "")]
    blocks = night.night_blocks(inputs, view, covariates, holiday_sums, serving)
    block = next(block for block in blocks if block.records.stores.height)
    return explain_block(block, model, origin, day)


def explain_block(block: StoreBlock, model: Model, origin: date, day: date | None = None) -> Explanation:
    """Explain the forecasts of a block of stores: of one local date, by default of the whole horizon."""
    served = publication.ServedModel(model, "")
    view = served.view
    hours = publication.forecast_block(block, [served], origin)
    if day is not None:
        hours = hours.filter(pl.col("business_date") == day)
    predictions, parts = (
        pl.DataFrame(schema=NO_PREDICTIONS),
        pl.DataFrame(schema={USUAL: pl.Float64, LIMITS: pl.Float64}),
    )
    if block.any_known(view, [origin]):
        rows = block.build_matrix(view, [origin])
        if day is not None:
            rows = rows.filter(pl.col("date") == day)
        if rows.height:
            predictions = model.predict(with_unit(rows, block.records.stores, model.units), block.history.totals)
            parts = contributions(model, predictions)
    at = predictions.select(*HOUR_KEY, by_hand="incumbent", lent=pl.col("youth") > 0).hstack(parts)
    hour_parts = _parts_beyond_incumbent(hours.join(at, on=HOUR_KEY, how="left", maintain_order="left"), parts.columns)
    features = predictions.select(*HOUR_KEY, *matrix.feature_names(predictions))
    hours = hours.join(features, on=HOUR_KEY, how="left", maintain_order="left")
    closures = trading_hours.known_closures(block.records.closures, origin)
    covariates = block.history.covariates
    return Explanation(hours, hour_parts, covariates.holidays, covariates.event_days, closures, view.weather)


def _parts_beyond_incumbent(hours: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Return the parts of hours beyond their incumbent; what publication changed afterwards is a limit."""
    is_open = pl.col("by_hand").is_not_null()
    borrowed = pl.when(is_open & pl.col("lent")).then(pl.col("by_hand") - pl.col("incumbent")).otherwise(0.0)
    parts = hours.select(pl.col(names).fill_null(0.0), "forecast", "incumbent", **{YOUNG: borrowed}, open=is_open)
    parts = parts.with_columns(
        pl.when("open").then(pl.col(USUAL) - pl.col("incumbent") - pl.col(YOUNG)).otherwise(0.0).alias(USUAL),
        pl.when("open").then(0.0).otherwise(pl.col("forecast") - pl.col("incumbent")).alias(CLOSED),
    )
    part_names = [name for name in (*names, YOUNG) if name != LIMITS]
    rest = pl.col("forecast") - pl.col("incumbent") - ordered_sum(map(pl.col, part_names))
    return parts.select(*part_names, pl.when("open").then(rest).otherwise(0.0).alias(LIMITS), CLOSED)
