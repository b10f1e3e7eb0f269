from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import NotKnownError
from features.records import Records
from features.tables import TABLES
from flows.adapters.lake import Lake
from flows.reading import read_records


def tables(records: Records) -> dict[str, pl.DataFrame]:
    return {name: getattr(records, name) for name in TABLES}


def assert_same(found: Records, expected: Records) -> None:
    for name, frame in tables(expected).items():
        assert_frame_equal(getattr(found, name), frame)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_block_is_what_is_kept_of_the_whole(published_world: Any, count: int) -> None:
    whole, versions = read_records(published_world.lake)
    ids = whole.stores["store_id"].to_list()[1:][:count]
    block, same = read_records(published_world.lake, ids)
    assert same == versions
    assert_same(block, whole.block(ids))
    assert block.stores.height == count
    assert block.macro.height > 0


def test_rows_of_earlier_local_dates_are_left_out(published_world: Any) -> None:
    whole, _ = read_records(published_world.lake)
    since = published_world.origin - timedelta(days=20)
    late, _ = read_records(published_world.lake, since=dict.fromkeys(("demand", "labor", "weather"), since))
    for name, clock in (("demand", "hour_local"), ("labor", "hour_local"), ("weather", "valid_local")):
        frame = tables(whole)[name]
        kept = frame.filter(pl.col(clock).dt.date() >= since)
        assert 0 < kept.height < frame.height
        assert_frame_equal(tables(late)[name], kept)
    assert_frame_equal(late.closures, whole.closures)


def test_blocks_at_pinned_versions_are_of_one_state(world: Any) -> None:
    before, versions = read_records(world.lake)
    ids = before.stores["store_id"].to_list()
    world.lake.upsert("demand", before.demand.with_columns(orders=pl.col("orders") + 1))
    assert_same(read_records(world.lake, ids[:2], versions=versions)[0], before.block(ids[:2]))
    assert read_records(world.lake)[0].demand["orders"].sum() > before.demand["orders"].sum()
    only = {name: versions[name] for name in ("stores", "demand")}
    assert read_records(world.lake, versions=only)[0].weather.is_empty()


def test_what_was_never_ingested_is_told(published_world: Any) -> None:
    with pytest.raises(NotKnownError, match="no table stores in .*: run `daypart ingest stores FILE` first"):
        read_records(Lake(published_world.home / "none"), since={"demand": date(2025, 1, 1)})
