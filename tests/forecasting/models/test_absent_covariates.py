"""A covariate whose future is absent costs no accuracy beside a chain that never had its table."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import polars as pl
import pytest

from daypart.features import matrix
from daypart.features.chain_data import ChainData
from daypart.features.signals import labor
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.metrics.accuracy import wape_bps
from daypart.forecasting.metrics.actuals import idle_days, with_actuals
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import StoreBlock, TrainingData
from daypart.forecasting.serving.publication import ServedModel, forecast_block

SPEC = ChainSpec(stores=12, days=340, seed=7, issues_days=250)
AS_OF = SPEC.end - timedelta(days=28)
ORIGINS = (AS_OF, AS_OF + timedelta(days=14))
RECIPE = Recipe(members=("ratio", "linear", "statistical"), rounds=125, leaves=31, folds=1, max_rows=100_000)
TOLERANCE_BPS = 20


def _before(column: str) -> Callable[[pl.DataFrame, date], pl.DataFrame]:
    return lambda table, first: table.filter(pl.col(column).cast(pl.Date) < first)


FUTURE: dict[str, Callable[[pl.DataFrame, date], pl.DataFrame]] = {
    "labor": _before("hour_local"),
    "weather": _before("valid_local"),
    "events": _before("starts_local"),
    "closures": _before("date"),
    "macro": _before("released_on"),
    "hours": lambda hours, first: hours.with_columns(valid_to=pl.lit(first - timedelta(days=1))),
}
"""By table, its rows without those of a date and later; hours of trade are valid until the day before."""


@cache
def chain() -> ChainData:
    return ChainData.from_tables(simulate(SPEC).tables)


@cache
def idle() -> pl.DataFrame:
    return idle_days(chain(), AS_OF)


def cut(records: ChainData, table: str, first: date) -> ChainData:
    return replace(records, **{table: FUTURE[table](getattr(records, table), first)})


@cache
def trained(without: str = "") -> Model:
    records = (chain().without(without) if without else chain()).until(AS_OF - timedelta(days=1))
    return ModelTrainer(TrainingData(records, "orders", AS_OF), RECIPE).train(AS_OF)


def served(model: Model, records_at: Callable[[date], ChainData]) -> pl.DataFrame:
    """The scored hours of all origins, each forecast from what `records_at` has at it, with the demand that came."""
    rows = []
    for origin in ORIGINS:
        records = records_at(origin).until(origin - timedelta(days=1))
        past = matrix.build_history(records, matrix.View("orders"), origin + timedelta(days=matrix.HORIZON_DAYS))
        rows.append(forecast_block(StoreBlock(records, past), [ServedModel(model, "1")], origin))
    forecasts = pl.concat(rows)
    return with_actuals(forecasts, chain().demand, idle(), chain().stores).drop_nulls("actual").rename({"actual": "y"})


@cache
def served_without(table: str) -> pl.DataFrame:
    """By a model that never had the table, where members learn from it; hours, closures and macro they do not."""
    model = trained(table if table in ("labor", "weather", "events") else "")
    return served(model, lambda origin: chain().without(table))


def wape(rows: pl.DataFrame, lead: int) -> float:
    error_bps = wape_bps(rows.filter(pl.col("lead_days") >= lead), "forecast")
    assert error_bps is not None
    return error_bps


@pytest.mark.parametrize("lead", [0, 7, pytest.param(13, marks=pytest.mark.faults)])
@pytest.mark.parametrize("table", FUTURE)
def test_an_absent_future_is_no_worse_than_an_absent_table(table: str, lead: int) -> None:
    absent = served(trained(), lambda origin: cut(chain(), table, origin + timedelta(days=lead)))
    first = min(lead, 7)  # The last day of two origins alone is too little to tell luck from loss.
    absent_wape, expected = wape(absent, first), wape(served_without(table), first)
    assert absent_wape <= expected + TOLERANCE_BPS


def test_a_whole_schedule_is_still_learned_from() -> None:
    used = trained().importance().filter(pl.col("feature") == "labor_day_change", pl.col("gain_share") > 0.01)
    assert used.height == 1


@pytest.mark.parametrize("ahead", [0, 7])
def test_members_learn_from_schedules_as_far_ahead_as_they_are_entered(ahead: int) -> None:
    tables = cut(chain().until(AS_OF - timedelta(days=1)), "labor", AS_OF + timedelta(days=ahead))
    tables = replace(
        tables, labor=labor.with_known_on(tables.labor, tables.stores, AS_OF - timedelta(days=1), RECIPE.horizon_days)
    )
    rows = ModelTrainer(TrainingData(tables, "orders", AS_OF), RECIPE).rows([AS_OF - timedelta(days=60)])
    entered = rows.group_by("lead_days").agg(pl.col("labor_day_change").is_not_null().all())
    assert set(entered.filter("labor_day_change")["lead_days"]) == set(range(ahead))
