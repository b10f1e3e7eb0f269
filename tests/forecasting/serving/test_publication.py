"""The published incumbent is what a planner works out by hand, and so is what the shared protocol holds against us."""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from statistics import mean
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from daypart.features.chain_data import ChainData, days
from daypart.features.tables.conform import conform
from daypart.features.tables.schemas import CLOSURES, DEMAND, HOURS, STORES
from daypart.flows.jobs.backtest import level_scores
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest, rolling_origins
from daypart.forecasting.serving.publication import ServedModel, forecast_stores
from infra.bench.accuracy.real_sets import SETS
from infra.bench.accuracy.reference_scores import ReferenceScorer, assert_agrees

RECIPE = Recipe(weather="none", rounds=3, folds=1, max_rows=2000)
COPENHAGEN, UTC = ZoneInfo("Europe/Copenhagen"), ZoneInfo("UTC")
FIRST, ORIGIN = date(2023, 8, 28), date(2023, 10, 26)
"""Clocks go back on 2023-10-29, in the horizon of the first origin and in the history of the second."""
ORIGINS = (ORIGIN, ORIGIN + timedelta(days=14))
SHUT_DAY, SHUT_HOURS = date(2023, 11, 3), date(2023, 11, 13)
WHOLE, PART = ("night", SHUT_DAY), ("day", SHUT_HOURS)


@cache
def chain() -> ChainData:
    """Two stores, one that trades until 04:00, with odd days closed and odd hours absent.

    The other sells from 07:00 but declares to open at 09:00. Each has a closure in a horizon.
    """
    draw = random.Random(5)
    rows = [row for day in days(FIRST, ORIGINS[-1] + timedelta(days=20)) for row in _sold(day, draw)]
    stores = {
        "store_id": ["day", "night"],
        "timezone": [str(COPENHAGEN)] * 2,
        "country": ["DK"] * 2,
        "day_starts": [None, 4],
    }
    closures = {
        "store_id": ["night", "day"],
        "date": [SHUT_DAY, SHUT_HOURS],
        "from_hour": [None, 11],
        "to_hour": [None, 13],
    }
    hours = {"store_id": "day", "weekday": range(1, 8), "opens": "09:00", "closes": "16:00"}
    store_rows = conform(pl.DataFrame(stores), STORES).rows
    demand = pl.DataFrame(rows, schema=["store_id", "hour_utc", "orders"], orient="row")
    tables = {DEMAND: demand, CLOSURES: pl.DataFrame(closures), HOURS: pl.DataFrame(hours)}
    frames = {table.name: conform(frame, table, store_rows) for table, frame in tables.items()}
    assert all(frame.refused.is_empty() for frame in frames.values())
    return ChainData.from_tables({"stores": store_rows, **{name: frame.rows for name, frame in frames.items()}})


def _sold(day: date, draw: random.Random) -> Iterator[tuple[str, datetime, float]]:
    """One business day of both stores in UTC: every sixth closed, every eighth hour absent, Sundays short."""
    for store, first, last in (("day", 7, 16), ("night", 12, 28)):
        if draw.random() < 1 / 6 or (store, day) == WHOLE:
            continue
        at, end = (_utc(day, hour) for hour in (first, last - 2 * (day.isoweekday() == 7)))
        while at < end:
            shut = (store, day) == PART and 11 <= at.replace(tzinfo=UTC).astimezone(COPENHAGEN).hour <= 13
            if not shut and draw.random() > 1 / 8:
                yield store, at, float(draw.randint(1, 40))
            at += timedelta(hours=1)


def _utc(day: date, hour: int) -> datetime:
    local = datetime.combine(day, time(hour % 24), COPENHAGEN) + timedelta(days=hour // 24)
    return local.astimezone(UTC).replace(tzinfo=None)


def by_hand(records: ChainData, origin: date) -> Iterator[tuple[str, date, int, float]]:
    """The incumbent of each store, business date and clock hour of 14 days, value by value."""
    sold = defaultdict(list)
    for store, at, orders in records.demand.select("store_id", "hour_local", "orders").iter_rows():
        sold[store, (at - timedelta(hours=4 if store == "night" else 0)).date(), at.hour].append(orders)
    assert len(sold["night", date(2023, 10, 28), 2]) == 2
    opened = {(store, day) for store, day, _ in sold}
    for store in ("day", "night"):
        for day in days(origin, origin + timedelta(days=13)):
            earlier = [origin - timedelta(days=back) for back in range(1, (origin - FIRST).days + 1)]
            open_days = [on for on in earlier if on.isoweekday() == day.isoweekday() and (store, on) in opened][:4]
            for hour in range(24):
                # An hour that the clock shows twice has the mean of its two values.
                values = [mean(sold.get((store, on, hour), [0.0])) for on in open_days]
                shut = (store, day) == WHOLE or ((store, day) == PART and 11 <= hour <= 13)
                yield store, day, hour, 0.0 if shut or not values else mean(values)


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_incumbent_of_every_hour_is_the_planners(origin: date) -> None:
    shop = ModelTrainer(TrainingData(chain(), "orders", ORIGINS[-1]), RECIPE)
    rows = forecast_stores(shop, chain(), ServedModel(shop.train(ORIGIN), "1"), origin)
    expected = {cell[:3]: cell[3] for cell in by_hand(chain(), origin)}
    assert len(set(expected.values())) > 50
    incumbents = rows.select("store_id", "business_date", pl.col("hour_local").dt.hour().alias("hour"), "incumbent")
    assert set(incumbents.select(pl.exclude("incumbent")).iter_rows()) == set(expected)
    for *cell, incumbent in incumbents.iter_rows():
        assert incumbent == pytest.approx(expected[tuple(cell)], abs=1e-9), cell


def test_an_hour_forecast_as_closed_keeps_its_incumbent_and_belongs_to_the_day_that_it_would_trade_in() -> None:
    shop = ModelTrainer(TrainingData(chain(), "orders", ORIGINS[-1]), RECIPE)
    rows = [forecast_stores(shop, chain(), ServedModel(shop.train(ORIGIN), "1"), origin) for origin in ORIGINS]
    forecasts = pl.concat(rows).with_columns(date=pl.col("hour_local").dt.date(), hour=pl.col("hour_local").dt.hour())
    assert forecasts.filter(pl.col("forecast") == 0, pl.col("incumbent") > 0).height > 0
    late = forecasts.filter(pl.col("store_id") == "night", pl.col("hour") < 4)
    assert (late["business_date"] == late["date"] - timedelta(days=1)).all()
    shut = late.filter(pl.col("business_date") == SHUT_DAY)
    assert shut.select("forecast", "incumbent").sum().row(0) == (0, 0)


def test_a_later_sale_changes_no_incumbent() -> None:
    cut = replace(chain(), demand=chain().until(ORIGIN - timedelta(days=1)).demand)
    forecasts = []
    for records in (chain(), cut):
        shop = ModelTrainer(TrainingData(records, "orders", ORIGIN), RECIPE)
        forecasts.append(forecast_stores(shop, records, ServedModel(shop.train(ORIGIN), "1"), ORIGIN))
    assert forecasts[0].equals(forecasts[1])


@pytest.mark.parametrize(
    ("name", "target", "start", "end", "no_such_hours"),
    [
        ("bread", "orders", date(2017, 2, 1), date(2017, 4, 9), 2),
        ("french", "sales", date(2022, 1, 28), date(2022, 3, 20), 0),
    ],
)
def test_real_figures_are_the_protocols_to_the_basis_point(
    name: str, target: str, start: date, end: date, no_such_hours: int, real_data: Path, tmp_path: Path
) -> None:
    """The judge wants a forecast of 24 hours a day, so an hour that the clock leaves out is missing to it."""
    data = next(dataset for dataset in SETS if dataset.name == name)
    records = data.load(real_data).until(end)
    rows, _ = backtest(
        ModelTrainer(TrainingData(records, target, rolling_origins(start, end, 7, 14)[-1]), RECIPE),
        rolling_origins(start, end, 7, 14),
        400,
    )
    judge = ReferenceScorer(real_data, tmp_path).score(rows, records.demand, target, start, end)
    assert judge["missing"] == no_such_hours
    assert_agrees(judge, level_scores(rows).to_dicts())
