"""Whole models: the same bits every time, and sane on odd stores."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import cache

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.chain_data import ChainData
from daypart.features.errors import NotKnownError
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.publication import ServedModel, forecast_stores

START, DAYS = date(2024, 4, 1), 91
END = START + timedelta(days=DAYS)
RECIPE = Recipe(rounds=10, max_rows=5000, folds=1, history_days=DAYS)


@cache
def chain() -> ChainData:
    return ChainData.from_tables(
        simulate(ChainSpec(stores=3, start=START, days=DAYS, seed=11, issues_days=DAYS)).tables
    )


def trained(records: ChainData, recipe: Recipe = RECIPE) -> tuple[ModelTrainer, Model]:
    shop = ModelTrainer(TrainingData(records, "orders", END), recipe)
    return shop, shop.train(END)


def published(records: ChainData, origin: date = END) -> pl.DataFrame:
    shop, model = trained(records)
    return forecast_stores(shop, records, ServedModel(model, "1"), origin)


def records_of(
    stores: dict[str, Callable[[datetime], float]], days: int = DAYS, country: str = "XX", start: date = START
) -> ChainData:
    """Stores on UTC clocks that sell what their function says of each hour; a 0 is an absent row."""
    hours = [datetime.combine(start, time()) + timedelta(hours=k) for k in range(24 * days)]
    empty = ChainData.from_tables({})
    sold = [
        (name, at, at, float(value(at)), 10.0 * value(at))
        for name, value in stores.items()
        for at in hours
        if value(at)
    ]
    schema = {"store_id": pl.String, "hour_local": pl.Datetime("us"), "hour_utc": pl.Datetime("us"),
              "orders": pl.Float64, "sales": pl.Float64}  # fmt: skip
    demand = pl.DataFrame(sold, schema=schema, orient="row")
    store_rows = pl.DataFrame({"store_id": list(stores), "timezone": "UTC", "country": country})
    table = store_rows.select(
        pl.col(name).cast(kind) if name in store_rows.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in empty.stores.schema.items()
    )
    return replace(empty, stores=table, demand=demand)


def by_day(at: datetime) -> float:
    """12 orders an hour from 8 to 17, 18 at the weekend, with a fixed ripple."""
    ripple = (at.toordinal() * 7 + at.hour * 3) % 5 - 2
    return 0.0 if not 8 <= at.hour <= 17 else (18 if at.isoweekday() > 5 else 12) + ripple


def test_two_trainings_give_the_same_files_to_the_last_bit() -> None:
    recipe = Recipe(rounds=10, max_rows=5000, folds=2, history_days=DAYS, fold_days=14)
    assert trained(chain(), recipe)[1].files() == trained(chain(), recipe)[1].files()


def test_another_seed_gives_other_files() -> None:
    other = RECIPE.model_copy(update={"seed": 8})
    assert trained(chain())[1].files()["ratio.txt"] != trained(chain(), other)[1].files()["ratio.txt"]


def test_the_order_of_the_records_does_not_matter() -> None:
    tables = {name: frame.sample(fraction=1.0, shuffle=True, seed=3) for name, frame in vars(chain()).items()}
    shuffled = ChainData(**tables)
    assert trained(shuffled)[1].files() == trained(chain())[1].files()
    assert_frame_equal(published(shuffled), published(chain()), check_exact=True)


def test_a_model_from_files_predicts_the_same_bits() -> None:
    shop, model = trained(chain())
    files = model.files()
    again = Model.from_files(files)
    rows = shop.rows([END, END - timedelta(days=7)])
    assert_frame_equal(again.predict(rows, shop.totals), model.predict(rows, shop.totals), check_exact=True)
    assert again.files() == files
    assert again.recipe == RECIPE
    assert again.members == model.members == [*RECIPE.members, "smooth", "incumbent"]


def test_a_model_of_before_there_were_paths_still_forecasts() -> None:
    shop, model = trained(chain())
    files = model.files()
    description = json.loads(files["model.json"])
    description["bands"] = [{"lead_week": 1 + k // 9, "size": str(k % 9), "low": -1.0, "high": 1.0} for k in range(18)]
    old = {**files, "model.json": json.dumps(description).encode()}
    del old["paths.parquet"]
    again = Model.from_files(old)
    predictions = again.predict(shop.rows([END]), shop.totals)
    assert again.paths is None
    assert predictions.select((pl.col("q10") < pl.col("q90")).all()).item()
    assert predictions["forecast"].equals(model.predict(shop.rows([END]), shop.totals)["forecast"])


def test_every_member_rests_on_features_that_it_can_explain() -> None:
    names = ("ratio", "level", "linear", "anniversary")
    gains = trained(chain(), RECIPE.model_copy(update={"members": (*names, "statistical")}))[1].importance()
    assert set(gains["member"]) == set(names)
    assert gains.group_by("member").agg(pl.col("gain_share").sum())["gain_share"].to_list() == pytest.approx([1] * 4)


def starting(records: ChainData, hour: int) -> ChainData:
    """The same records where the days of store A start at a clock hour."""
    starts = pl.when(pl.col("store_id") == "A").then(pl.lit(hour, pl.Int8))
    return replace(records, stores=records.stores.with_columns(day_starts=starts))


def test_declared_hours_past_midnight_belong_to_the_day_they_began() -> None:
    def late(at: datetime) -> float:
        return by_day(at) if at.hour else 4.0

    records = records_of({"A": late, "B": by_day})
    declared = [("A", weekday, "08:00", "01:00", None, None) for weekday in range(1, 8)]
    records = replace(records, hours=pl.DataFrame(declared, schema=records.hours.schema, orient="row"))
    forecasts = published(starting(records, 1)).filter(pl.col("store_id") == "A")
    midnight = forecasts.filter(pl.col("hour_local").dt.hour() == 0)
    assert midnight.select((pl.col("business_date") == pl.col("hour_local").dt.date() - timedelta(days=1)).all()).item()
    assert midnight["forecast"].min() > 2  # type: ignore[operator]
    assert forecasts.filter(pl.col("hour_local").dt.hour().is_between(1, 7))["q90"].sum() == 0


def test_learned_hours_past_midnight_belong_to_the_day_they_began() -> None:
    def night(at: datetime) -> float:
        return 10.0 + (at.toordinal() + at.hour) % 3 if at.hour >= 18 or at.hour < 2 else 0.0

    forecasts = published(starting(records_of({"A": night, "B": by_day}), 2)).filter(
        pl.col("store_id") == "A", pl.col("forecast") > 0
    )
    day = pl.col("hour_local").dt.date()
    early = pl.col("hour_local").dt.hour() < 2
    assert forecasts.height == 14 * 8
    assert forecasts.filter(early).select((pl.col("business_date") == day - timedelta(days=1)).all()).item()
    assert forecasts.filter(~early).select((pl.col("business_date") == day).all()).item()


def test_closures_are_zero_for_their_hours_only() -> None:
    records = records_of({"A": by_day, "B": by_day})
    first, second = END + timedelta(days=2), END + timedelta(days=3)
    closures = [("A", first, None, None, "works", None), ("A", second, 8, 11, "works", None)]
    records = replace(records, closures=pl.DataFrame(closures, schema=records.closures.schema, orient="row"))
    forecasts = published(records).filter(pl.col("forecast") > 0)

    def hours(store: str, day: date) -> list[int]:
        its = forecasts.filter(pl.col("store_id") == store, pl.col("hour_local").dt.date() == day)
        return its["hour_local"].dt.hour().to_list()

    assert hours("A", first) == []
    assert hours("A", second) == list(range(12, 18))
    assert hours("B", first) == hours("B", second) == list(range(8, 18))


def test_a_holiday_that_was_closed_before_is_closed_again() -> None:
    """Canada Day 2023 and 2024, a Saturday and a Monday: A shut in 2023, B traded."""
    start = date(2023, 5, 29)
    days = (date(2024, 6, 24) - start).days

    def shut(at: datetime) -> float:
        return 0.0 if at.date() == date(2023, 7, 1) else by_day(at)

    records = records_of({"A": shut, "B": by_day}, days, "CA", start)
    origin = date(2024, 6, 24)
    shop = ModelTrainer(TrainingData(records, "orders", origin), Recipe(rounds=10, max_rows=2000, folds=1))
    forecasts = forecast_stores(shop, records, ServedModel(shop.train(origin), "1"), origin)
    on_the_day = forecasts.filter(pl.col("hour_local").dt.date() == date(2024, 7, 1))
    sold = {store: on_the_day.filter(pl.col("store_id") == store)["forecast"].sum() for store in ("A", "B")}
    assert sold["A"] == 0 < sold["B"]
    assert forecasts.filter(pl.col("store_id") == "A", pl.col("forecast") > 0).height == 13 * 10


def test_a_weekday_that_never_traded_is_closed() -> None:
    def never_on_sunday(at: datetime) -> float:
        return 0.0 if at.isoweekday() == 7 else by_day(at)

    forecasts = published(records_of({"A": never_on_sunday, "B": by_day}))
    sundays = forecasts.filter(pl.col("hour_local").dt.weekday() == 7)
    assert sundays.filter(pl.col("store_id") == "A")["q90"].sum() == 0
    assert sundays.filter(pl.col("store_id") == "B")["q10"].sum() > 0


def test_a_weekday_without_trade_for_eight_weeks_is_closed() -> None:
    def no_longer_on_sunday(at: datetime) -> float:
        return 0.0 if at.isoweekday() == 7 and at.date() >= END - timedelta(days=63) else by_day(at)

    sundays = published(records_of({"A": no_longer_on_sunday, "B": by_day})).filter(
        pl.col("hour_local").dt.weekday() == 7
    )
    sold = {store: sundays.filter(pl.col("store_id") == store)["forecast"].sum() for store in ("A", "B")}
    assert sold["A"] == 0 < sold["B"]


def test_a_thousandfold_outlier_does_not_blow_a_forecast_up() -> None:
    outlier = (pl.col("store_id") == "A") & (
        pl.col("hour_local") == datetime.combine(END - timedelta(days=10), time(12))
    )
    clean = records_of({"A": by_day, "B": by_day})
    wild = replace(clean, demand=clean.demand.with_columns(orders=pl.when(outlier).then(12_000.0).otherwise("orders")))
    calm, wild_forecasts = published(clean), published(wild)
    same_slot = (pl.col("store_id") == "A") & (pl.col("hour_local").dt.hour() == 12)
    elsewhere = wild_forecasts.filter(~same_slot)["forecast"], calm.filter(~same_slot)["forecast"]
    assert elsewhere[0].sum() == pytest.approx(elsewhere[1].sum(), rel=0.2)
    assert (elsewhere[0] - elsewhere[1]).abs().max() < 36  # type: ignore[operator]
    assert wild_forecasts["q90"].is_finite().all()
    assert wild_forecasts["forecast"].max() <= 12_000 / 4 * 1.5  # type: ignore[operator]


def test_a_store_with_three_days_of_history_gets_a_forecast_and_says_what_it_rests_on() -> None:
    def young(at: datetime) -> float:
        return by_day(at) if at.date() >= END - timedelta(days=3) else 0.0

    forecasts = published(records_of({"A": by_day, "B": by_day, "C": young}))
    new, old = forecasts.filter(pl.col("store_id") == "C"), forecasts.filter(pl.col("store_id") == "A")
    assert set(new["basis"]) == {"rests on 3 open days of its own, on stores like it and on the model of all stores"}
    assert old["basis"].null_count() == old.height == new.height == 14 * 24
    opened = new.filter(pl.col("forecast") > 0)
    assert opened["hour_local"].dt.hour().unique().sort().to_list() == list(range(8, 18))
    assert opened.height == 14 * 10
    assert opened["forecast"].is_between(4, 40).all()


def test_a_constant_series_is_forecast_as_it_is() -> None:
    forecasts = published(records_of({"A": lambda at: 10.0 if 8 <= at.hour <= 17 else 0.0}))
    opened = forecasts.filter(pl.col("hour_local").dt.hour().is_between(8, 17))
    for name in ("forecast", "q10", "q90", "incumbent"):
        assert opened[name].to_list() == pytest.approx([10.0] * 140, rel=0.03), name
    assert forecasts["forecast"].sum() == pytest.approx(1400, rel=0.02)


def test_a_chain_with_three_days_cannot_be_trained_on_and_says_so() -> None:
    records = records_of({"A": by_day}, days=3)
    origin = START + timedelta(days=3)
    with pytest.raises(NotKnownError, match="too little orders before 2024-04-04") as caught:
        ModelTrainer(TrainingData(records, "orders", origin), RECIPE).train(origin)
    assert "\n" not in str(caught.value)


def test_a_target_that_was_never_recorded_says_so() -> None:
    records = chain()
    bare = replace(records, demand=records.demand.with_columns(sales=pl.lit(None, dtype=pl.Float64)))
    with pytest.raises(NotKnownError, match="no sales in any store"):
        ModelTrainer(TrainingData(bare, "sales", END), RECIPE)


def test_a_chain_too_young_for_a_fold_is_trained_and_leans_on_what_thin_histories_earn() -> None:
    records = records_of({"A": by_day, "B": by_day}, days=30)
    origin = START + timedelta(days=30)
    shop = ModelTrainer(TrainingData(records, "orders", origin), RECIPE)
    model = shop.train(origin)
    weights = model.weights.group_by("member").agg(pl.col("weight").sum() / 2)
    assert weights.filter(pl.col("member").is_in(["smooth", "incumbent"]))["weight"].sum() > 0.4
    forecasts = forecast_stores(shop, records, ServedModel(model, "1"), origin)
    opened = forecasts.filter(pl.col("hour_local").dt.hour().is_between(8, 17))
    assert opened["forecast"].is_between(6, 30).all()
