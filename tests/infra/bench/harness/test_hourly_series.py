from datetime import timedelta

import polars as pl

from daypart.features.chain_data import ChainData
from tests.infra.bench.conftest import CHAIN_SPEC


def test_series_have_every_hour_once_and_all_orders(demand_records: ChainData, hourly: pl.DataFrame) -> None:
    for (store,), rows in hourly.group_by("unique_id"):
        store_demand = demand_records.demand.filter(
            pl.col("store_id") == f"S{store:04d}", pl.col("hour_utc") < CHAIN_SPEC.end
        )
        assert (rows["ds"].diff().drop_nulls() == timedelta(hours=1)).all()
        assert rows["y"].sum() == store_demand["orders"].sum()
