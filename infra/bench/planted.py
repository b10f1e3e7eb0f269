"""How much of what the simulator planted the forecast finds again: promotions, local events, holidays and rain.

python -m infra.bench.planted [--stores N] [--days N] [--seed N]
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
from infra.bench.asked import asked

RECIPE = Recipe(weather="issued", rounds=150, max_rows=150_000, folds=1)
RAIN_DAYS = 2
"""Later than so many days ahead a forecast of rain says little of rain."""


@dataclass(frozen=True)
class Found:
    """Mean factor on the hours touched: as planted, and as forecast."""

    what: str
    hours: int
    planted: float
    forecast: float

    @property
    def share(self) -> float:
        """How much of the effect is found, in logs: 1 is all of it."""
        return float(np.log(self.forecast) / np.log(self.planted))


def offers(records: ChainData, first: date, last: date) -> pl.DataFrame:
    """One row per store and hour touched by offers: store_id, date, hour, kind, factor of all of them together."""
    days = event_days(records.events, records.stores, first, last).filter(pl.col("kind") != "price")
    offer_factors = {offer.name: offer.orders for offer in (*PROMOTIONS, *LOCAL_EVENTS)}
    hours = days.join(pl.DataFrame({"hour": range(24)}, schema={"hour": pl.Int8}), how="cross")
    factor = [offer_factors[name][DAYPART_OF_HOUR[hour]] for name, hour in hours.select("name", "hour").iter_rows()]
    touched = hours.with_columns(factor=pl.Series(factor)).group_by("store_id", "date", "hour")
    return touched.agg(pl.col("factor").product(), kind=pl.col("kind").unique().sort().str.join(" and "))


def told(shop: ModelTrainer, records: ChainData, origin: date) -> pl.DataFrame:
    """The forecast of what would be known had the records been these."""
    trainer = ModelTrainer(TrainingData(records, "orders", origin), RECIPE)
    rows = forecast_stores(trainer, records, ServedModel(shop.train(origin), "1"), origin)
    return rows.select("store_id", "hour_utc", "lead_days", "forecast", date=pl.col("hour_local").dt.date(),
                       hour=pl.col("hour_local").dt.hour())  # fmt: skip


def of_offers(shop: ModelTrainer, records: ChainData, origin: date) -> Iterator[Found]:
    """Forecasts with the offers to come over forecasts without them."""
    bare = replace(records, events=records.events.filter(pl.col("starts_local") < origin))
    without = told(shop, bare, origin).select("store_id", "hour_utc", without="forecast")
    coming = records.events.filter(pl.col("starts_local") >= origin)
    touched = offers(replace(records, events=coming), origin, origin + timedelta(days=13))
    rows = told(shop, records, origin).join(without, on=["store_id", "hour_utc"])
    rows = rows.join(touched, on=["store_id", "date", "hour"]).filter(pl.col("without") > 0)
    for (kind,), hours in rows.group_by("kind", maintain_order=True):
        base = float(hours["without"].sum())
        planted = float((hours["without"] * hours["factor"]).sum()) / base
        yield Found(str(kind), hours.height, planted, float(hours["forecast"].sum()) / base)


def of_holidays(shop: ModelTrainer, records: ChainData, truth: pl.DataFrame, origin: date) -> Iterator[Found]:
    """Forecasts over what would be true without the holiday, beside those of other days over what is true."""
    rows = told(shop, records, origin).join(truth, on=["store_id", "hour_utc"])
    holidays = public_holidays(records.stores, origin, origin + timedelta(days=13))
    marked = rows.join(holidays, on=["store_id", "date"], how="left")
    other = marked.filter(pl.col("holiday").is_null())
    bias = float(other["forecast"].sum()) / float(other["orders_mean"].sum())
    for (name,), hours in marked.drop_nulls("holiday").group_by("holiday", maintain_order=True):
        planted = HOLIDAY_ORDERS.get(str(name), OTHER_HOLIDAY)
        usual = float(hours["orders_mean"].sum()) / planted
        yield Found(str(name), hours.height, planted, float(hours["forecast"].sum()) / usual / bias)


def of_rain(shop: ModelTrainer, records: ChainData, origin: date) -> Found:
    """Forecasts of the first days with the rain and snow that were issued over those without."""
    later = pl.col("valid_local") >= origin
    wet = ("precipitation_mm", "snowfall_cm")
    dry = records.weather.with_columns(pl.when(later).then(0.0).otherwise(name).alias(name) for name in wet)
    without = told(shop, replace(records, weather=dry), origin).select("store_id", "hour_utc", without="forecast")
    issued = (
        known_at(records.weather, records.stores, origin).drop_nulls("issued_utc").rename({"valid_utc": "hour_utc"})
    )
    rows = (
        told(shop, records, origin).join(without, on=["store_id", "hour_utc"]).join(issued, on=["store_id", "hour_utc"])
    )
    rows = rows.join(records.stores.select("store_id", "format"), on="store_id")
    rows = rows.filter(pl.col("lead_days") <= RAIN_DAYS, pl.col("without") > 0, pl.sum_horizontal(wet) > 0.5)
    measures = {name: rows[name].to_numpy() for name in ("temperature_c", *wet)}
    nothing = measures | {name: np.zeros(rows.height) for name in wet}
    hour = rows["hour"].to_numpy()
    exposure = rows["format"].replace_strict({item.name: item.exposure for item in FORMATS}).to_numpy()
    factor = np.exp(exposure * (weather_effect(measures, hour) - weather_effect(nothing, hour)))
    base = rows["without"].to_numpy()
    return Found("rain or snow", rows.height, float((base * factor).sum() / base.sum()),
                 float(rows["forecast"].sum() / base.sum()))  # fmt: skip


def main() -> int:
    spec = asked(__doc__, ChainSpec(stores=16, days=599, seed=11, issues_days=200))
    chain = simulate(spec)
    records = ChainData.from_tables(chain.tables)
    shop = ModelTrainer(records, "orders", RECIPE, spec.end)
    for effect in (*of_offers(shop, records, spec.end), *of_holidays(shop, records, chain.truth, spec.end),
                  of_rain(shop, records, spec.end)):  # fmt: skip
        print(f"{effect.what}: {effect.hours} hours, {effect.planted:.3f} planted, {effect.forecast:.3f} found, "
              f"{effect.share:.0%} of it")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
