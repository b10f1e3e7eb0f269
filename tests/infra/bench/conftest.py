"""A simulated chain that records demand alone, and its orders as regular series."""

from datetime import date, datetime

import polars as pl
import pytest

from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from infra.bench.harness.hourly_series import orders_series

CHAIN_SPEC = ChainSpec(stores=6, start=date(2023, 11, 6), days=486, seed=5, issues_days=1)
"""Clocks go forward within the last horizon, and the history has a year of holidays."""


@pytest.fixture(scope="session")
def demand_records() -> ChainData:
    """Stores and demand of the chain."""
    tables = simulate(CHAIN_SPEC).tables
    return ChainData.from_tables({name: tables[name] for name in ("stores", "demand")})


@pytest.fixture(scope="session")
def hourly(demand_records: ChainData) -> pl.DataFrame:
    """Hourly orders of the first three stores."""
    end = datetime.combine(CHAIN_SPEC.end, datetime.min.time())
    return orders_series(demand_records.demand.filter(pl.col("store_id") <= "S0003"), end)
