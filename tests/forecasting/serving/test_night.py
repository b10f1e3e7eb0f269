"""A night reads a window of most stores' history and publishes what the whole history would: bit for bit."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features import matrix
from daypart.features.chain_data import ChainData
from daypart.features.cold_start import similar_stores
from daypart.features.history import read_window
from daypart.features.history.demand_history import DemandHistory
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import StoreBlock, TrainingData
from daypart.forecasting.serving.night import NightInputs, forecast_night
from daypart.forecasting.serving.publication import ServedModel, forecast_block

DAYS = 900
RECIPE = Recipe(rounds=3, max_rows=2000, folds=1)
GAP, SUNDAYS, YOUNG, LATE, SILENT, NEW = "S0001", "S0002", "S0003", "S0004", "S0005", "S0008"
PLAIN = ("S0006", "S0007")
CLOCK = {"demand": "hour_local", "labor": "hour_local", "weather": "valid_local"}


@cache
def chain(seed: int) -> ChainData:
    """A store with a year's gap, one that gave Sundays up, a young one, one that reports late, one that fell silent.

    And one that never traded.
    """
    records = ChainData.from_tables(simulate(ChainSpec(stores=8, days=DAYS, seed=seed, issues_days=30)).tables)
    end = records.last_demand_on("orders")
    assert end is not None
    on, store = pl.col("hour_local").dt.date(), pl.col("store_id")

    def ago(days: int) -> date:
        return end - timedelta(days=days)

    removed = (
        ((store == GAP) & on.is_between(ago(560), ago(200)))
        | ((store == SUNDAYS) & (on.dt.weekday() == 7) & (on > ago(600)))
        | ((store == YOUNG) & (on < ago(40)))
        | ((store == LATE) & (on > ago(5)))
        | ((store == SILENT) & (on > ago(550)))
        | (store == NEW)
    )
    # Most stores declare their hours; the others' are learned.
    hours = records.hours.filter(~pl.col("store_id").is_in([GAP, PLAIN[0]]))
    return replace(records, demand=records.demand.filter(~removed), hours=hours)


@cache
def model(seed: int, target: str) -> tuple[Model, date]:
    last = chain(seed).last_demand_on(target)
    assert last is not None
    origin = last + timedelta(days=1)
    return ModelTrainer(TrainingData(chain(seed), target, origin), RECIPE).train(origin), origin


def window(records: ChainData, origin: date) -> ChainData:
    since = read_window.window_starts(origin)
    cut = {name: getattr(records, name).filter(pl.col(CLOCK[name]) >= day) for name, day in since.items()}
    assert all(0 < cut[name].height < getattr(records, name).height for name in ("demand", "labor"))
    return replace(records, **cut)


def states(records: ChainData, view: matrix.View, origin: date) -> DemandHistory:
    last = origin + timedelta(days=14)
    history = matrix.build_history(records, view, last)
    return similar_stores.with_donor_history(history, records, similar_stores.DonorPool(records), last)


@pytest.mark.parametrize(
    ("seed", "target"), [(1, "orders"), (2, "sales"), pytest.param(3, "sales", marks=pytest.mark.faults)]
)
@pytest.mark.parametrize("late_days", [0, 6])
def test_a_night_publishes_what_the_whole_history_would(seed: int, target: str, late_days: int) -> None:
    records, (trained, day) = chain(seed), model(seed, target)
    origin = day + timedelta(days=late_days)
    requested_ids: list[str] = []

    def whole(ids: Sequence[str]) -> ChainData:
        requested_ids.extend(ids)
        return records.block(ids)

    view = matrix.View(target, RECIPE.weather)
    past = states(records, view, origin)
    expected = forecast_block(StoreBlock(records, past), [ServedModel(trained, "1")], origin)
    forecasts = forecast_night(
        NightInputs(window(records, origin), whole, records, origin), [ServedModel(trained, "1")]
    )
    assert_frame_equal(forecasts, expected, check_exact=True)
    assert forecasts["store_id"].n_unique() == 8
    assert (
        forecasts.filter(pl.col("store_id").is_in([YOUNG, NEW]))
        .group_by("store_id")
        .agg(pl.col("q90").sum() > 0)["q90"]
        .all()
    )
    assert {GAP, SUNDAYS, YOUNG, SILENT, NEW} <= set(requested_ids)
    assert not set(requested_ids) & set(PLAIN)


def test_the_window_alone_would_not_do_for_stores_that_look_further() -> None:
    """The property above can fail."""
    records, (trained, origin) = chain(1), model(1, "orders")
    view, near = matrix.View("orders", RECIPE.weather), window(records, origin)
    full_forecasts = forecast_block(
        StoreBlock(records, states(records, view, origin)), [ServedModel(trained, "1")], origin
    )
    short = forecast_block(StoreBlock(near, states(near, view, origin)), [ServedModel(trained, "1")], origin)
    missing = full_forecasts.join(short, on=full_forecasts.columns, how="anti", nulls_equal=True)
    assert {GAP, SUNDAYS, SILENT} <= set(missing["store_id"])
    assert not set(missing["store_id"]) & set(PLAIN)


@pytest.mark.parametrize("kind", ["closed for good", "none"])
def test_a_block_without_stores_to_forecast_has_no_rows(kind: str) -> None:
    records, (trained, origin) = chain(1), model(1, "orders")
    closed = records.stores.with_columns(closed_on=pl.lit(origin))
    block = {
        "closed for good": replace(records, stores=closed),
        "none": records.block([]),
    }[kind]
    assert forecast_night(NightInputs(block, block.block, records, origin), [ServedModel(trained, "1")]).is_empty()
