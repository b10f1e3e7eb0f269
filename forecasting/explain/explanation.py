"""Why a published forecast is what it is: what a planner would have by hand, and by how much each thing moves it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import polars as pl

from daypart.features import matrix
from daypart.features.chain_data import ChainData, DataSource
from daypart.features.deterministic_sum import ordered_sum
from daypart.features.history import trading_hours
from daypart.features.history.demand_history import DemandHistory
from daypart.features.money import with_unit
from daypart.features.signals import weather
from daypart.features.signals.covariates import Covariates
from daypart.forecasting.explain.contributions import contributions
from daypart.forecasting.explain.feature_families import FAMILIES, LIMITS, USUAL, YOUNG, family
from daypart.forecasting.models.model import Model
from daypart.forecasting.serving import publication

KEY = ["store_id", "hour_utc"]
NOTHING = pl.Schema(
    {"store_id": pl.String(), "hour_utc": pl.Datetime("us"), "incumbent": pl.Float64(), "youth": pl.Float64()}
)
CLOSED = "closed"
"""What a planner would have by hand in an hour that is forecast as closed."""


@dataclass(frozen=True)
class Explanation:
    """Hours of one store and what their forecasts are made of.

    `hours` are rows as published, sorted, with the matrix's features (null where closed); `parts` has a row for each:
    one column per feature or family, in the target's unit. The hour's `incumbent` and its parts sum to its `forecast`.
    `holidays` and `events` are those of the store, `closures` its declared ones, `seen` is the weather they knew.
    """

    hours: pl.DataFrame
    parts: pl.DataFrame
    holidays: pl.DataFrame
    events: pl.DataFrame
    closures: pl.DataFrame
    seen: weather.WeatherView

    def of(self, condition: pl.Expr) -> "Explanation":
        """Those of the hours alone of which this holds."""
        mask = self.hours.select(condition).to_series().fill_null(value=False)
        return replace(self, hours=self.hours.filter(mask), parts=self.parts.filter(mask))

    def families(self) -> dict[str, float]:
        """By family, what it adds to the sum of the incumbents; they and it sum to that of the forecasts."""
        sums = self.features()
        parts = {name: [value for part, value in sums.items() if _family(part) == name] for name in (*FAMILIES, CLOSED)}
        return {name: sum(values) for name, values in parts.items() if any(values)}

    def features(self, of: str | None = None) -> dict[str, float]:
        """The same by feature, of one family or all."""
        sums = self.parts.sum().row(0, named=True)
        return {name: float(value or 0.0) for name, value in sums.items() if of is None or _family(name) == of}


def _family(part: str) -> str:
    return part if part == CLOSED else family(part)


def explain(
    window: ChainData, read: Callable[[Sequence[str]], ChainData], chain: DataSource, model: Model, origin: date,
    day: date | None = None,
) -> Explanation:  # fmt: skip
    """A store's local date `day`, by default its whole horizon; `window` and `read` as in `publication.of_night`.

    The forecasts are made anew as they were for publication; whoever has published ones compares.
    """
    view = matrix.View(model.target, model.recipe.weather, model.recipe.horizon_days)
    window = replace(window, weather=weather.known_at(window.weather, window.stores, origin))
    world = Covariates.from_data(window, view.weather, origin + timedelta(days=matrix.HORIZON_DAYS))
    states = publication.night_states(window, world, read, chain, view, origin, serving=[publication.Served(model, "")])
    block, past = next((block, past) for block, past in states if block.stores.height)
    return of_block(block, past, model, origin, day)


def of_block(block: ChainData, past: DemandHistory, model: Model, origin: date, day: date | None = None) -> Explanation:
    """The same of the stores of a block whose states are known."""
    view = matrix.View(model.target, model.recipe.weather, model.recipe.horizon_days)
    hours = publication.of_block(block, past, model, origin, "")
    if day is not None:
        hours = hours.filter(pl.col("business_date") == day)
    predictions, parts = pl.DataFrame(schema=NOTHING), pl.DataFrame(schema={USUAL: pl.Float64, LIMITS: pl.Float64})
    if matrix.has_rows(block, past, view, [origin]):
        rows = matrix.build(block, view, [origin], past)
        if day is not None:
            rows = rows.filter(pl.col("date") == day)
        if rows.height:
            predictions = model.predict(with_unit(rows, block.stores, model.units), past.totals)
            parts = contributions(model, predictions)
    at = predictions.select(*KEY, by_hand="incumbent", lent=pl.col("youth") > 0).hstack(parts)
    beside = _beside_incumbent(hours.join(at, on=KEY, how="left", maintain_order="left"), parts.columns)
    features = predictions.select(*KEY, *matrix.feature_names(predictions))
    hours = hours.join(features, on=KEY, how="left", maintain_order="left")
    closures = trading_hours.known_closures(block.closures, origin)
    return Explanation(hours, beside, past.covariates.holidays, past.covariates.event_days, closures, view.weather)


def _beside_incumbent(hours: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The parts of hours, that of what is usual less the incumbent; what publication changed since is a limit."""
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
