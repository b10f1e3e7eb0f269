from datetime import date
from typing import get_args

import polars as pl
import pytest

from daypart.features.chain_data import ChainData
from daypart.features.signals.weather import WeatherView
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest
from infra.bench.accuracy.weather_hindsight import LEAD_SPANS, weather_gains


def test_hindsight_is_told_apart_from_what_issues_earn() -> None:
    spec = ChainSpec(stores=1, start=date(2023, 6, 5), days=150, seed=3, issues_days=90)
    all_records = ChainData.from_tables(simulate(spec).tables)
    origins = [date(2023, 10, 2), date(2023, 10, 9)]
    training_data = TrainingData(all_records, "orders", origins[-1])
    recipe = Recipe(rounds=20, folds=1, members=("level",))
    runs = {
        view: backtest(ModelTrainer(training_data, recipe.model_copy(update={"weather": view})), origins, 28)[0]
        for view in get_args(WeatherView)
    }
    gain_rows = weather_gains("chain", runs)
    assert [(row.level, row.leads) for row in gain_rows] == [
        (level, f"{first}-{last}") for level in ("hour", "day") for first, last in LEAD_SPANS
    ]
    for row in gain_rows:
        assert row.issued_gain_bps == pytest.approx(row.none_wape_bps - row.issued_wape_bps, abs=1)
        assert row.flattered_bps == pytest.approx(row.observed_gain_bps - row.issued_gain_bps, abs=1)
    near = runs["issued"].filter(pl.col("lead_days") <= 2, pl.col("actual").is_not_null())
    error = sum(abs(row["actual"] - row["forecast"]) for row in near.iter_rows(named=True))
    assert gain_rows[0].issued_wape_bps == pytest.approx(1e4 * error / near["actual"].sum(), abs=1)
    assert weather_gains("chain", {"none": runs["none"], "observed": runs["observed"]}) == []
