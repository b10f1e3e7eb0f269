from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.chain_data import ChainData
from daypart.features.errors import NotKnownError
from daypart.features.tables import keys
from daypart.features.tables.schemas import TABLES
from daypart.flows.jobs.snapshot import Chain, read_records
from daypart.flows.lake.lake import Lake


def tables(records: ChainData) -> dict[str, pl.DataFrame]:
    return {name: keys.sort_by_key(getattr(records, name), TABLES[name].key) for name in TABLES}


def assert_same(actual: ChainData, expected: ChainData) -> None:
    for name, frame in tables(expected).items():
        assert_frame_equal(tables(actual)[name], frame)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_block_is_what_is_kept_of_the_whole(published_world: Any, count: int) -> None:
    records, versions = read_records(published_world.lake)
    ids = records.stores["store_id"].to_list()[1:][:count]
    chain = Chain.newest(published_world.lake)
    assert chain.versions == versions
    assert_same(chain.block(ids), records.block(ids))
    assert chain.block(ids).stores.height == count
    assert chain.block(ids).macro.height > 0


def test_rows_of_earlier_local_dates_are_left_out(published_world: Any) -> None:
    chain = Chain.newest(published_world.lake)
    ids = chain.stores["store_id"].to_list()
    records, since = chain.block(ids), published_world.origin - timedelta(days=20)
    late = chain.block(ids, dict.fromkeys(("demand", "labor", "weather"), since))
    for name, clock in (("demand", "hour_local"), ("labor", "hour_local"), ("weather", "valid_local")):
        frame = tables(records)[name]
        expected_rows = frame.filter(pl.col(clock).dt.date() >= since)
        assert 0 < expected_rows.height < frame.height
        assert_frame_equal(tables(late)[name], expected_rows)
    assert_frame_equal(tables(late)["closures"], tables(records)["closures"])


def test_blocks_of_a_chain_are_of_one_state(world: Any) -> None:
    chain, (before, versions) = Chain.newest(world.lake), read_records(world.lake)
    ids = before.stores["store_id"].to_list()
    world.lake.upsert("demand", before.demand.with_columns(orders=pl.col("orders") + 1))
    assert_same(chain.block(ids[:2]), before.block(ids[:2]))
    assert Chain.newest(world.lake).block(ids).demand["orders"].sum() > before.demand["orders"].sum()
    only = {name: versions[name] for name in ("stores", "demand")}
    assert Chain(world.lake, only, chain.stores).block(ids).weather.is_empty()


def test_the_first_and_last_demand_are_those_of_the_records(published_world: Any) -> None:
    chain, (records, _) = Chain.newest(published_world.lake), read_records(published_world.lake)
    for target in ("orders", "sales"):
        assert chain.first_demand_on(target) == records.first_demand_on(target)
        assert chain.last_demand_on(target) == records.last_demand_on(target)


@pytest.mark.parametrize("read", [read_records, Chain.newest])
def test_what_was_never_ingested_is_told(published_world: Any, read: Any) -> None:
    with pytest.raises(NotKnownError, match="no table stores in .*: run `daypart ingest stores FILE` first"):
        read(Lake(published_world.home / "none"))
