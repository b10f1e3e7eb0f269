"""A chain in two currencies: how a currency writes its amounts changes no other store's forecast and no decision."""

from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from daypart.features import segments
from daypart.features.chain_data import ChainData
from daypart.features.money import UNIT, Money, has_several_currencies, in_units, with_currency, with_unit
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.explain.model_card import ModelOrigin, card
from daypart.forecasting.lifecycle.gate import Verdict, gate
from daypart.forecasting.lifecycle.simulated_nights import SimulatedNights
from daypart.forecasting.metrics import accuracy
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.models.tuning import Judge
from daypart.forecasting.serving import levels
from daypart.forecasting.serving.publication import ServedModel, forecast_stores

START, DAYS, OPENED = date(2024, 1, 1), 110, 100
AS_OF = START + timedelta(days=DAYS)
RECIPE = Recipe(rounds=10, max_rows=5000, folds=1, history_days=DAYS, members=("ratio", "level", "linear"))
FOREIGN, YOUNG = "S0002", "S0004"
YEN = 150.0
FIGURES = ("forecast", "q10", "q50", "q90", "incumbent")


@cache
def records(currency: str, factor: float) -> ChainData:
    """Five stores in dollars, one of them new, but for one in another currency, whose amounts have a factor."""
    base_records = ChainData.from_tables(
        simulate(ChainSpec(stores=5, start=START, days=DAYS, seed=5, issues_days=DAYS)).tables
    )
    abroad, opened_on = pl.col("store_id") == FOREIGN, START + timedelta(days=OPENED)
    young = pl.col("store_id") == YOUNG
    stores = base_records.stores.with_columns(
        currency=pl.when(abroad).then(pl.lit(currency)).otherwise(pl.lit("USD")), format=pl.lit("kiosk"),
        opened_on=pl.when(young).then(pl.lit(opened_on)).otherwise("opened_on"),
    )  # fmt: skip
    demand = base_records.demand.filter(~young | (pl.col("hour_local").dt.date() >= opened_on))
    sales = pl.when(abroad).then(pl.col("sales") * factor).otherwise("sales")
    return replace(base_records, stores=stores, demand=demand.with_columns(sales=sales))


@cache
def shop(currency: str, factor: float) -> ModelTrainer:
    return ModelTrainer(TrainingData(records(currency, factor), "sales", AS_OF), RECIPE)


@cache
def model(currency: str, factor: float, step: int = DAYS) -> Model:
    return shop(currency, factor).train(START + timedelta(days=step))


EURO, IN_YEN = ("EUR", 1.0), ("JPY", YEN)


def published(currency: str, factor: float) -> pl.DataFrame:
    rows = forecast_stores(
        shop(currency, factor), records(currency, factor), ServedModel(model(currency, factor), "sales-v1"), AS_OF
    )
    abroad = pl.col("store_id") == FOREIGN
    names = (*FIGURES, "scale")
    return rows.with_columns(pl.when(abroad).then(pl.col(name) / factor).otherwise(name) for name in names)


def alike(result: pl.DataFrame, expected: pl.DataFrame, names: tuple[str, ...] = FIGURES) -> None:
    for name in names:
        np.testing.assert_allclose(result[name].to_numpy(), expected[name].to_numpy(), rtol=1e-6, atol=1e-6)


def test_no_store_s_forecast_depends_on_how_another_currency_writes_its_amounts() -> None:
    yen_rows, expected = published(*IN_YEN), published(*EURO)
    assert yen_rows["store_id"].n_unique() == 5
    alike(yen_rows, expected)
    assert yen_rows.filter(pl.col("store_id") == YOUNG)["forecast"].sum() > 0


def test_what_is_learned_weighed_and_promised_does_not_either() -> None:
    yen_model, expected = model(*IN_YEN), model(*EURO)
    assert yen_model.units == pytest.approx({"USD": 1.0, "JPY": YEN * expected.units["EUR"]}, rel=1e-9)
    assert yen_model.weights["weight"].to_list() == pytest.approx(expected.weights["weight"].to_list(), abs=1e-6)
    figures = {name: value for name, value in yen_model.trained_on.items() if not name.startswith("money_unit_")}
    assert figures == pytest.approx({name: expected.trained_on[name] for name in figures}, rel=1e-5)
    assert Model.from_files(yen_model.files()).units == yen_model.units


def test_the_gate_decides_the_same() -> None:
    def verdict(chain: tuple[str, float]) -> Verdict:
        return gate(model(*chain), model(*chain, step=DAYS - 28), shop(*chain))

    yen_verdict, expected = verdict(IN_YEN), verdict(EURO)
    assert (yen_verdict.promote, yen_verdict.reason) == (expected.promote, expected.reason)
    assert yen_verdict.figures["gain_bps"] == pytest.approx(expected.figures["gain_bps"], abs=1e-3)


def test_tuning_nights_and_the_card_judge_the_same() -> None:
    assert _wape_bps(IN_YEN) == pytest.approx(_wape_bps(EURO), rel=1e-6)
    night = AS_OF - timedelta(days=14)
    errors = [
        SimulatedNights(shop(*chain), [night]).scores(model(*chain, step=DAYS - 14), night) for chain in (IN_YEN, EURO)
    ]
    alike(errors[0].errors, errors[1].errors, ("actual", "forecast_hour", "incumbent_day"))
    alike(errors[0].rows.drop_nulls("actual"), errors[1].rows.drop_nulls("actual"), ("actual", "forecast", "incumbent"))
    cards = [card("sales", model(*chain), _origin(chain)).split("## Accuracy")[1] for chain in (IN_YEN, EURO)]
    assert cards[0] == cards[1]


def _wape_bps(chain: tuple[str, float]) -> dict[str, float]:
    judge = Judge(shop(*chain), AS_OF)
    return judge.wape_bps(RECIPE, judge.folds)


def _origin(chain: tuple[str, float]) -> ModelOrigin:
    return ModelOrigin({}, START, shop(*chain).stores, shop(*chain).rolling_predictions(model(*chain)), False, "-")


def test_scores_over_two_currencies_are_of_units() -> None:
    def scored(chain: tuple[str, float]) -> pl.DataFrame:
        issued = forecast_stores(
            shop(*chain), records(*chain), ServedModel(model(*chain, step=DAYS - 14), "-"), AS_OF - timedelta(days=14)
        )
        hours = records(*chain).demand.select("store_id", "hour_utc", actual="sales")
        rows = issued.join(hours, on=["store_id", "hour_utc"], how="left").with_columns(pl.col("actual").fill_null(0.0))
        units = Money.from_demand(records(*chain), "sales").units(AS_OF)
        return accuracy.score(with_unit(rows, records(*chain).stores, units), "hour")

    yen_scores, expected = scored(IN_YEN), scored(EURO)
    assert yen_scores["accuracy_bps"].item() == pytest.approx(expected["accuracy_bps"].item(), abs=1e-3)
    assert yen_scores["actual"].item() == pytest.approx(expected["actual"].item())


def test_bands_of_sums_and_segments_by_volume_are_the_same() -> None:
    def weeks(chain: tuple[str, float]) -> pl.DataFrame:
        rows = forecast_stores(shop(*chain), records(*chain), ServedModel(model(*chain), "sales-v1"), AS_OF)
        stores = with_currency(records(*chain).stores)
        totals = levels.aggregate(rows, model(*chain), stores, "week")
        return in_units(totals, stores, model(*chain).units, FIGURES).sort("store_id", "lead_days")

    alike(weeks(IN_YEN), weeks(EURO))

    def volumes(chain: tuple[str, float]) -> pl.DataFrame:
        sold = segments.mean_daily(records(*chain).scan_demand(), records(*chain).stores, "sales", AS_OF)
        return in_units(
            sold, records(*chain).stores, Money.from_demand(records(*chain), "sales").units(AS_OF), ["volume"]
        )

    alike(volumes(IN_YEN), volumes(EURO), ("volume",))


def test_a_chain_of_one_currency_has_no_units_and_the_bits_that_it_had() -> None:
    declared, derived = records("USD", 1.0), records("USD", 1.0)
    derived = replace(derived, stores=derived.stores.with_columns(currency=None, country=pl.lit("US")))
    assert not has_several_currencies(declared.stores)
    assert not has_several_currencies(derived.stores)
    assert Money.from_demand(declared, "sales").units(AS_OF) == {}
    rows = pl.DataFrame({"store_id": [FOREIGN], "forecast": [1.0]})
    assert with_unit(rows, declared.stores, {}) is rows
    assert UNIT not in in_units(rows, declared.stores, {}, ["forecast"]).columns
    assert model("USD", 1.0).units == {}


def test_orders_have_no_units() -> None:
    chain = records(*IN_YEN)
    assert ModelTrainer(TrainingData(chain, "orders", AS_OF), RECIPE).units(AS_OF) == {}
    rows = pl.DataFrame({"store_id": [FOREIGN] * 2, "target": ["orders", "sales"], "forecast": [3.0, 300.0]})
    unit_rows = in_units(rows, chain.stores, {"USD": 1.0, "JPY": YEN}, ["forecast"])
    assert unit_rows["forecast"].to_list() == [3.0, 2.0]
