"""Odd stores in a sane chain get forecasts that a planner would accept: none is NaN, negative or beyond belief."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cache

import polars as pl
import pytest

from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving import forecast_limits
from daypart.forecasting.serving.publication import FORECAST_VALUES, ServedModel, forecast_stores

START, DAYS = date(2023, 1, 2), 560
END = START + timedelta(days=DAYS)
RECIPE = Recipe(rounds=20, max_rows=8000, folds=1, weather="none")


def usual(at: datetime) -> float:
    """About 12 orders an hour from 8 to 17, half as many again at the weekend."""
    ripple = (at.toordinal() * 7 + at.hour * 3) % 5 - 2
    return 0.0 if not 8 <= at.hour <= 17 else (18 if at.isoweekday() > 5 else 12) + ripple


def ago(days: int) -> date:
    return END - timedelta(days=days)


def shifted(at: datetime) -> float:
    return usual(at) * (4 if at.date() >= ago(30) else 1)


def gapped(at: datetime) -> float:
    return 0.0 if ago(400) <= at.date() < ago(20) else usual(at)


def constant(at: datetime) -> float:
    return 10.0 if 8 <= at.hour <= 17 else 0.0


def week_old(at: datetime) -> float:
    return 2 * usual(at) if at.date() >= ago(7) else 0.0


def slipped(at: datetime) -> float:
    """One hour a thousand times too large, twelve days before the origin."""
    return usual(at) * (1000 if at.date() == ago(12) and at.hour == 12 else 1)


def slipped_day(at: datetime) -> float:
    return usual(at) * (1000 if at.date() == ago(5) else 1)


STORES: dict[str, Callable[[datetime], float]] = {
    "constant": constant, "gapped": gapped, "plain": usual, "shifted": shifted, "slipped": slipped,
    "slipped day": slipped_day, "week old": week_old, "zero": lambda at: 0.0,
}  # fmt: skip


@cache
def chain() -> ChainData:
    """The stores above, and `no sales`, which records orders alone; a 0 is an absent row, but in `zero`."""
    hours = [datetime.combine(START, datetime.min.time()) + timedelta(hours=k) for k in range(24 * DAYS)]
    sold = [
        (name, at, value)
        for name, demand_at in STORES.items()
        for at in hours
        if (value := demand_at(at)) or name == "zero"
    ]
    schema = {"store_id": pl.String, "hour_local": pl.Datetime("us"), "orders": pl.Float64}
    demand = pl.DataFrame(sold, schema=schema, orient="row").with_columns(sales=pl.col("orders") * 8)
    plain = demand.filter(pl.col("store_id") == "plain")
    bare = plain.with_columns(store_id=pl.lit("no sales"), sales=pl.lit(None, dtype=pl.Float64))
    demand = pl.concat([demand, bare]).with_columns(hour_utc="hour_local")
    store_rows = pl.DataFrame({"store_id": [*STORES, "no sales"], "timezone": "UTC", "country": "XX"})
    empty = ChainData.from_tables({})
    table = store_rows.select(
        pl.col(name).cast(kind) if name in store_rows.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in empty.stores.schema.items()
    )
    return replace(empty, stores=table, demand=demand.select(empty.demand.columns))


@cache
def forecast(target: str) -> pl.DataFrame:
    shop = ModelTrainer(TrainingData(chain(), target, END), RECIPE)
    return forecast_stores(shop, chain(), ServedModel(shop.train(END), "1"), END)


def forecast_of(store: str, target: str = "orders") -> pl.DataFrame:
    forecasts = forecast(target).filter(pl.col("store_id") == store)
    assert forecasts.height == 14 * 24
    return forecasts


def against_usual(store: str, factor: float = 1.0) -> float:
    """Sum of the forecast over what a usual fortnight would bring."""
    rows = forecast_of(store)
    return float(rows["forecast"].sum() / sum(factor * usual(at) for at in rows["hour_local"]))


@pytest.mark.parametrize("target", ["orders", "sales"])
def test_no_value_is_missing_or_negative_or_out_of_order(target: str) -> None:
    rows = forecast(target)
    for name in (*FORECAST_VALUES, "incumbent"):
        assert rows[name].is_finite().all(), name
        assert rows[name].min() >= 0, name  # type: ignore[operator]
    assert rows.select((pl.col("q10") <= pl.col("q50")) & (pl.col("q50") <= pl.col("q90"))).to_series().all()


@pytest.mark.parametrize(
    ("store", "factor"),
    [("plain", 1.0), ("shifted", 4.0), ("gapped", 1.0), ("slipped", 1.0), ("slipped day", 1.0), ("week old", 2.0)],
)
def test_a_fortnight_is_forecast_at_its_level(store: str, factor: float) -> None:
    assert against_usual(store, factor) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("store", ["slipped", "slipped day"])
def test_a_fault_stands_in_the_published_incumbent_alone(store: str) -> None:
    assert forecast_of(store)["incumbent"].max() > 2000  # type: ignore[operator]
    assert forecast_of(store)["q90"].max() < 3 * 22  # type: ignore[operator]


def test_a_store_that_sold_nothing_is_forecast_to_sell_nothing_and_says_so() -> None:
    assert forecast_of("zero")["q90"].sum() == 0
    assert forecast_of("zero")["basis"][0].startswith("rests on nothing: it has sold nothing yet")


def test_a_constant_store_is_forecast_as_it_is() -> None:
    opened = forecast_of("constant").filter(pl.col("hour_local").dt.hour().is_between(8, 17))
    assert opened["forecast"].to_list() == pytest.approx([10.0] * 140, rel=0.05)


def test_a_target_that_a_store_does_not_record_is_not_forecast_there() -> None:
    assert set(forecast("sales")["store_id"]) == set(STORES)
    assert set(forecast("orders")["store_id"]) == {*STORES, "no sales"}


def test_no_hour_is_forecast_beyond_thrice_the_busiest_and_the_basis_says_so() -> None:
    shop = ModelTrainer(TrainingData(chain(), "orders", END), RECIPE)
    past = next(shop.blocks()).history
    rows = pl.DataFrame({
        "store_id": ["plain", "plain", "week old"], "forecast": [20.0, 900.0, 900.0], "smooth": [12.0, 12.0, 100.0],
        "open_days": [500, 500, 7], "borrows": [False, False, True], "stale_on": [None, date(2024, 3, 1), None],
    })  # fmt: skip
    predictions = rows.with_columns(pl.col("forecast").alias(name) for name in ("q10", "q50", "q90"))
    limited_rows = forecast_limits.cap(forecast_limits.with_limit(predictions, past, END))
    assert limited_rows["forecast"].to_list() == limited_rows["q90"].to_list() == [20.0, 60.0, 300.0]
    assert limited_rows.select(forecast_limits.basis_text().alias("basis"))["basis"].to_list() == [
        None,
        "stale: its demand ends on 2024-03-01; held to 3 times its busiest hour",
        "rests on 7 open days of its own, on stores like it and on the model of all stores; held to 3 times its "
        "busiest hour",
    ]


def test_a_weather_feed_that_stopped_leaves_a_forecast_as_good_as_without_weather() -> None:
    records = ChainData.from_tables(simulate(ChainSpec(stores=4, days=150, seed=5, issues_days=150)).tables)
    last = records.last_demand_on("orders")
    assert last is not None
    origin = last + timedelta(days=1)
    stopped = pl.coalesce("issued_utc", "valid_utc").dt.date() < last - timedelta(days=40)
    silent = replace(records, weather=records.weather.filter(stopped))
    recipe = RECIPE.model_copy(update={"weather": "issued"})
    shop, bare = (
        ModelTrainer(TrainingData(silent, "orders", origin), recipe),
        ModelTrainer(TrainingData(records, "orders", origin), RECIPE),
    )
    forecasts = forecast_stores(shop, silent, ServedModel(shop.train(origin), "1"), origin)
    without = forecast_stores(bare, records, ServedModel(bare.train(origin), "1"), origin)
    assert forecasts["q90"].is_finite().all()
    assert forecasts["forecast"].sum() == pytest.approx(without["forecast"].sum(), rel=0.1)
    assert (forecasts["forecast"] - without["forecast"]).abs().sum() < 0.15 * without["forecast"].sum()
