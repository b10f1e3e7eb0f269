"""A small simulated chain and its backtest, over whose rows methods are scored."""

from datetime import date

import polars as pl
import pytest

from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest
from infra.bench.accuracy.real_backtests import SetBacktest

PEERS_SPEC = ChainSpec(stores=2, start=date(2023, 9, 11), days=60, seed=3, issues_days=1)
ORIGINS = [date(2023, 10, 23), date(2023, 10, 25)]
"""Clocks go back within both horizons."""


@pytest.fixture(scope="session")
def case() -> SetBacktest:
    """Two stores of a simulated chain that record orders alone, and two origins."""
    tables = simulate(PEERS_SPEC).tables
    records = ChainData.from_tables({name: tables[name] for name in ("stores", "demand")})
    return SetBacktest("chain", "orders", records, ORIGINS)


@pytest.fixture(scope="session")
def rows(case: SetBacktest) -> pl.DataFrame:
    """Backtest rows of the project's own models, without weather."""
    training_data = TrainingData(case.records, case.target, case.origins[-1])
    return backtest(ModelTrainer(training_data, Recipe(weather="none")), case.origins, 28)[0]
