"""When business days start is learned as hours and demand come in, said, and kept in the stores table."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from daypart.flows.ingest.day_starts import settle
from daypart.flows.lake.lake import Lake

STORES = pl.DataFrame({
    "store_id": ["BAR", "CAFE"], "timezone": ["UTC"] * 2, "country": ["US"] * 2,
    "day_starts": pl.Series([None, None], dtype=pl.Int8),
})  # fmt: skip


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A bar that is open from 18:00 to 02:00, and a cafe from 08:00 to 17:00, for four weeks."""
    lake = Lake(tmp_path / "lake")
    lake.upsert("stores", STORES)
    evenings = [(store, datetime(2024, 3, 1 + day) + timedelta(hours=hour)) for store, hours in
                (("BAR", range(18, 26)), ("CAFE", range(8, 17))) for day in range(28) for hour in hours]  # fmt: skip
    rows = pl.DataFrame(evenings, schema={"store_id": pl.String, "hour_local": pl.Datetime("us")}, orient="row")
    lake.upsert("demand", rows.with_columns(hour_utc="hour_local", orders=pl.lit(5.0), sales=pl.lit(40.0)))
    return lake


def starts(lake: Lake) -> dict[str, int | None]:
    return dict(lake.scan("stores").select("store_id", "day_starts").collect().iter_rows())


def test_a_store_that_trades_past_midnight_gets_its_hour_once(lake: Lake) -> None:
    line = "store BAR trades past midnight: the business day starts at 02:00 (column day_starts of stores)"
    assert settle(lake) == [line]
    assert starts(lake) == {"BAR": 2, "CAFE": None}
    versions = lake.versions()
    assert settle(lake) == []
    assert lake.versions() == versions


def test_a_value_that_is_there_stays_and_one_in_the_middle_of_trade_is_named(lake: Lake) -> None:
    lake.upsert("stores", STORES.with_columns(day_starts=pl.Series([1, 0], dtype=pl.Int8)))
    line = "store BAR: the business day starts at 01:00, in the middle of trade: ingest stores with day_starts 2"
    assert settle(lake) == [line]
    assert starts(lake) == {"BAR": 1, "CAFE": 0}


def test_the_chains_setting_is_that_of_all_stores_that_say_none(lake: Lake) -> None:
    line = "stores BAR, CAFE trade past midnight: the business day starts at 04:00 (column day_starts of stores)"
    assert settle(lake, 4) == [line]
    assert starts(lake) == {"BAR": 4, "CAFE": 4}
