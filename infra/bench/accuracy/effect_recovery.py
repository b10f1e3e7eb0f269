"""Share of simulated effects that the forecast recovers: promotions, local events, holidays and rain.

python -m infra.bench.accuracy.effect_recovery [--stores N] [--days N] [--seed N]
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.signals.calendar import public_holidays
from daypart.features.signals.events import event_days
from daypart.features.signals.weather import known_at
from daypart.features.simulator import ChainSpec, simulate
from daypart.features.simulator.demand import weather_effect
from daypart.features.simulator.events import LOCAL_EVENTS, PROMOTIONS
from daypart.features.simulator.places import DAYPART_OF_HOUR, FORMATS
from daypart.features.simulator.stores import HOLIDAY_ORDERS, OTHER_HOLIDAY
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.publication import ServedModel, forecast_stores
from infra.bench.harness.chain_options import parse_chain_spec

RECOVERY_RECIPE = Recipe(weather="issued", rounds=150, max_rows=150_000, folds=1)
RAIN_LEAD_DAYS = 2
"""Forecasts of rain at longer leads say little of rain."""


@dataclass(frozen=True)
class RecoveredEffect:
    """Mean factor of an effect on the hours that it touches: as simulated, and as forecast."""

    what: str
    hours: int
    planted: float
    forecast: float

    @property
    def share(self) -> float:
        """The share of the effect that the forecast has, in logs; 1 is all of it."""
        return float(np.log(self.forecast) / np.log(self.planted))


def offer_factors(records: ChainData, first: date, last: date) -> pl.DataFrame:
    """Return one row per store and hour touched by offers: store_id, date, hour, kind, product of all factors."""
    days = event_days(records.events, records.stores, first, last).filter(pl.col("kind") != "price")
    factors = {offer.name: offer.orders for offer in (*PROMOTIONS, *LOCAL_EVENTS)}
    hours = days.join(pl.DataFrame({"hour": range(24)}, schema={"hour": pl.Int8}), how="cross")
    factor = [factors[name][DAYPART_OF_HOUR[hour]] for name, hour in hours.select("name", "hour").iter_rows()]
    touched = hours.with_columns(factor=pl.Series(factor)).group_by("store_id", "date", "hour")
    return touched.agg(pl.col("factor").product(), kind=pl.col("kind").unique().sort().str.join(" and "))


def counterfactual(trainer: ModelTrainer, records: ChainData, origin: date) -> pl.DataFrame:
    """Return the forecast of the origin that the records would give: store_id, hour_utc, lead_days, forecast, date, hour."""
    other = ModelTrainer(TrainingData(records, "orders", origin), RECOVERY_RECIPE)
    rows = forecast_stores(other, records, ServedModel(trainer.train(origin), "1"), origin)
    return rows.select("store_id", "hour_utc", "lead_days", "forecast", date=pl.col("hour_local").dt.date(),
                       hour=pl.col("hour_local").dt.hour())  # fmt: skip


def offer_recovery(trainer: ModelTrainer, records: ChainData, origin: date) -> Iterator[RecoveredEffect]:
    """Compare forecasts with the offers to come to forecasts without them: one effect per kind of offer."""
    without_offers = replace(records, events=records.events.filter(pl.col("starts_local") < origin))
    without = counterfactual(trainer, without_offers, origin).select("store_id", "hour_utc", without="forecast")
    coming = records.events.filter(pl.col("starts_local") >= origin)
    touched = offer_factors(replace(records, events=coming), origin, origin + timedelta(days=13))
    rows = counterfactual(trainer, records, origin).join(without, on=["store_id", "hour_utc"])
    rows = rows.join(touched, on=["store_id", "date", "hour"]).filter(pl.col("without") > 0)
    for (kind,), hours in rows.group_by("kind", maintain_order=True):
        base = float(hours["without"].sum())
        planted = float((hours["without"] * hours["factor"]).sum()) / base
        yield RecoveredEffect(str(kind), hours.height, planted, float(hours["forecast"].sum()) / base)


def holiday_recovery(
    trainer: ModelTrainer, records: ChainData, truth: pl.DataFrame, origin: date
) -> Iterator[RecoveredEffect]:
    """Compare forecasts of holidays to the true means without the holiday, less the bias of other days."""
    rows = counterfactual(trainer, records, origin).join(truth, on=["store_id", "hour_utc"])
    holidays = public_holidays(records.stores, origin, origin + timedelta(days=13))
    marked = rows.join(holidays, on=["store_id", "date"], how="left")
    other = marked.filter(pl.col("holiday").is_null())
    bias = float(other["forecast"].sum()) / float(other["orders_mean"].sum())
    for (name,), hours in marked.drop_nulls("holiday").group_by("holiday", maintain_order=True):
        planted = HOLIDAY_ORDERS.get(str(name), OTHER_HOLIDAY)
        usual = float(hours["orders_mean"].sum()) / planted
        yield RecoveredEffect(str(name), hours.height, planted, float(hours["forecast"].sum()) / usual / bias)


def rain_recovery(trainer: ModelTrainer, records: ChainData, origin: date) -> RecoveredEffect:
    """Compare forecasts of the first days with the issued rain and snow to forecasts without them."""
    later = pl.col("valid_local") >= origin
    wet = ("precipitation_mm", "snowfall_cm")
    dry = records.weather.with_columns(pl.when(later).then(0.0).otherwise(name).alias(name) for name in wet)
    without = counterfactual(trainer, replace(records, weather=dry), origin).select(
        "store_id", "hour_utc", without="forecast"
    )
    known = known_at(records.weather, records.stores, origin)
    issued = known.drop_nulls("issued_utc").rename({"valid_utc": "hour_utc"})
    rows = (
        counterfactual(trainer, records, origin)
        .join(without, on=["store_id", "hour_utc"])
        .join(issued, on=["store_id", "hour_utc"])
    )
    rows = rows.join(records.stores.select("store_id", "format"), on="store_id")
    rows = rows.filter(pl.col("lead_days") <= RAIN_LEAD_DAYS, pl.col("without") > 0, pl.sum_horizontal(wet) > 0.5)
    measures = {name: rows[name].to_numpy() for name in ("temperature_c", *wet)}
    nothing = measures | {name: np.zeros(rows.height) for name in wet}
    hour = rows["hour"].to_numpy()
    exposure = rows["format"].replace_strict({item.name: item.exposure for item in FORMATS}).to_numpy()
    factor = np.exp(exposure * (weather_effect(measures, hour) - weather_effect(nothing, hour)))
    base = rows["without"].to_numpy()
    return RecoveredEffect("rain or snow", rows.height, float((base * factor).sum() / base.sum()),
                 float(rows["forecast"].sum() / base.sum()))  # fmt: skip


def main() -> int:
    """Forecast one simulated chain and print one line per effect."""
    spec = parse_chain_spec(__doc__, ChainSpec(stores=16, days=599, seed=11, issues_days=200))
    chain = simulate(spec)
    records = ChainData.from_tables(chain.tables)
    trainer = ModelTrainer(TrainingData(records, "orders", spec.end), RECOVERY_RECIPE)
    for effect in (*offer_recovery(trainer, records, spec.end), *holiday_recovery(trainer, records, chain.truth, spec.end),
                  rain_recovery(trainer, records, spec.end)):  # fmt: skip
        print(f"{effect.what}: {effect.hours} hours, {effect.planted:.3f} planted, {effect.forecast:.3f} found, "
              f"{effect.share:.0%} of it")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
