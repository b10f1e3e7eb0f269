from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256

import polars as pl
import polars.selectors as cs
import pytest
from polars.testing import assert_frame_equal

from daypart.features.business_day import business_date, local_time
from daypart.features.errors import InputError
from daypart.features.history.trading_hours import closed_days, declared_trade, learned_day_starts
from daypart.features.signals.calendar import public_holidays
from daypart.features.simulator import (
    HORIZON_DAYS,
    Chain,
    ChainSpec,
    Drift,
    LateData,
    Outage,
    simulate,
    simulate_blocks,
)
from daypart.features.simulator import simulated_chain as chains
from daypart.features.tables.schemas import TABLES

PINNED = {
    "stores": "255119c0c7af",
    "demand": "545ec87f1fee",
    "hours": "e8108105bb44",
    "closures": "8b42835ba246",
    "weather": "ee04dbb795ff",
    "macro": "9a55aa724aff",
    "labor": "675a78731678",
    "events": "4d5432500c06",
    "truth": "274d47a2a669",
    "planted": "0d100929ae90",
}
"""Digests of a chain's frames as CSV to nine significant digits: published figures rest on these numbers."""
NO_DEMAND = pl.DataFrame(schema={"store_id": pl.String, "hour_local": pl.Datetime("us"), "amount": pl.Float64})
OF_STORES = ("stores", "demand", "hours", "closures", "weather", "labor")


def test_tables_are_canonical(small: Chain) -> None:
    assert list(small.tables) == list(TABLES)
    for name, table in TABLES.items():
        frame = small.tables[name]
        assert dict(frame.schema) == table.schema, name
        assert frame.height > 0, name
        assert not frame.select(pl.struct(table.key).is_duplicated().any()).item(), name


def test_values_lie_in_the_ranges_of_their_columns(small: Chain) -> None:
    for name, table in TABLES.items():
        for column in table.columns:
            values = small.tables[name][column.name]
            low = pl.lit(column.low if column.low is not None else float("-inf"))
            high = pl.lit(column.high if column.high is not None else float("inf"))
            if column.dtype.is_numeric():
                assert small.tables[name].filter(~values.is_between(low, high)).is_empty(), (
                    name,
                    column.name,
                )
            if column.required:
                assert values.null_count() == 0, (name, column.name)


def test_equal_specs_give_equal_bits_and_another_seed_does_not(small: Chain, small_spec: ChainSpec) -> None:
    again = simulate(small_spec)
    for name in TABLES:
        assert again.tables[name].equals(small.tables[name]), name
    assert again.truth.equals(small.truth)
    other = simulate(replace(small_spec, seed=small_spec.seed + 1))
    assert not other.truth.equals(small.truth)


def test_the_numbers_of_a_spec_are_what_they_always_were() -> None:
    faults = (Drift(date(2024, 11, 1)), LateData(1, 0.4))
    chain = simulate(ChainSpec(stores=3, start=date(2024, 10, 20), days=40, seed=5, issues_days=2, faults=faults))
    stores = chain.tables["stores"]
    assert stores["day_starts"].null_count() == stores.height
    frames = {**chain.tables, "stores": stores.drop("day_starts"), "truth": chain.truth, "planted": chain.planted}
    texts = {name: frame.with_columns(cs.float().round_sig_figs(9)).write_csv() for name, frame in frames.items()}
    assert {name: sha256(text.encode()).hexdigest()[:12] for name, text in texts.items()} == PINNED


@pytest.mark.parametrize("block_stores", [1, 4, 100])
def test_blocks_of_any_size_make_the_same_chain(small: Chain, small_spec: ChainSpec, block_stores: int) -> None:
    blocks = list(simulate_blocks(small_spec, block_stores))
    for name in TABLES:
        joined = pl.concat(block.tables[name] for block in blocks)
        assert_frame_equal(joined, small.tables[name], check_row_order=name != "events", check_exact=True)
    assert pl.concat(block.truth for block in blocks).equals(small.truth)


@pytest.mark.parametrize("issues_days", [0, 60])
def test_blocks_hold_no_more_rows_than_their_bound(
    small: Chain, small_spec: ChainSpec, monkeypatch: pytest.MonkeyPatch, issues_days: int
) -> None:
    monkeypatch.setattr(chains, "BLOCK_ROWS", 33_000)
    blocks = list(simulate_blocks(replace(small_spec, issues_days=issues_days)))
    assert len(blocks) == (6 if issues_days else 3)
    assert max(block.truth.height + block.tables["weather"].height for block in blocks) <= 33_000
    assert pl.concat(block.truth for block in blocks).equals(small.truth)


def test_fewer_observed_days_leave_all_else_as_it_was(small: Chain, small_spec: ChainSpec) -> None:
    chain = simulate(replace(small_spec, observed_days=20))
    is_recent = pl.col("valid_local").dt.date() >= small_spec.end - timedelta(days=20)
    expected_rows = small.tables["weather"].filter(pl.col("issued_utc").is_not_null() | is_recent)
    assert chain.tables["weather"].equals(expected_rows)
    assert all(chain.tables[name].equals(small.tables[name]) for name in TABLES if name != "weather")
    assert chain.truth.equals(small.truth)


def test_more_stores_leave_the_first_ones_as_they_were(small: Chain, small_spec: ChainSpec) -> None:
    fewer = simulate(replace(small_spec, stores=3))
    ids = fewer.tables["stores"]["store_id"].implode()
    for name in OF_STORES:
        assert small.tables[name].filter(pl.col("store_id").is_in(ids)).equals(fewer.tables[name]), name
    assert small.truth.filter(pl.col("store_id").is_in(ids)).equals(fewer.truth)


def test_truth_has_exactly_the_declared_hours_that_no_closure_takes(small: Chain, small_spec: ChainSpec) -> None:
    days = pl.date_range(
        small_spec.start - timedelta(days=1), small_spec.end + timedelta(days=HORIZON_DAYS - 1), eager=True
    )
    stores = small.tables["stores"].select("store_id", "opened_on")
    starts = learned_day_starts(small.tables["hours"], NO_DEMAND)
    dates = stores.select("store_id").join(days.to_frame("date"), how="cross")
    on = local_time(starts, "date", "hour").dt.date()
    trade = (
        declared_trade(small.tables["hours"], dates, starts)
        .join(closed_days(small.tables["closures"]), on=["store_id", "date"], how="anti")
        .join(stores, on="store_id")
        .filter(pl.col("date") >= pl.col("opened_on"), on.is_between(small_spec.start, days.last()))
    )
    local = small.truth.select("store_id", date=business_date(starts), hour=pl.col("hour_local").dt.hour())
    trading_hours = small.truth.select("store_id", "hour_local").unique().height
    # An hour that the clocks skip is declared but never comes.
    never = trade.join(local, on=["store_id", "date", "hour"], how="anti")
    assert set(never["date"]) == {date(2024, 3, 10)}
    assert set(never["hour"]) == {2}
    assert trading_hours == trade.height - never.height


def test_closed_days_have_no_demand_and_holidays_are_closed_in_the_future_too(small: Chain) -> None:
    shut = closed_days(small.tables["closures"])
    assert date(2024, 12, 25) in shut["date"].to_list()
    # 06:00 on is trade of the same day in every store of these formats.
    day_trade = small.truth.filter(pl.col("hour_local").dt.hour() >= 6)
    joined = day_trade.with_columns(date=pl.col("hour_local").dt.date()).join(shut, on=["store_id", "date"])
    assert joined.is_empty()
    christmas_ahead = simulate(ChainSpec(stores=1, start=date(2024, 12, 1), days=20, issues_days=0))
    assert christmas_ahead.tables["closures"]["date"].to_list() == [date(2024, 12, 25)]
    assert date(2024, 12, 24) in christmas_ahead.truth["hour_local"].dt.date().to_list()


def test_holidays_are_those_of_the_stores_country(small: Chain) -> None:
    stores = small.tables["stores"]
    thanksgiving = public_holidays(stores, date(2024, 11, 28), date(2024, 11, 28))
    shut = small.tables["closures"].filter(pl.col("date") == date(2024, 11, 28))
    assert set(shut["store_id"]) == set(thanksgiving["store_id"])
    assert set(shut.join(stores, on="store_id")["country"]) == {"US"}


def test_stores_that_open_within_the_span_have_no_trade_before() -> None:
    chain = simulate(ChainSpec(stores=100, days=120, issues_days=0))
    stores = chain.tables["stores"]
    opened = stores.filter(pl.col("opened_on") > ChainSpec().start)
    assert opened.height >= 3
    first = chain.truth.group_by("store_id").agg(first=pl.col("hour_local").min().dt.date())
    joined = opened.join(first, on="store_id")
    assert joined.select((pl.col("first") == pl.col("opened_on")).all()).item()


def test_nothing_is_told_that_was_not_known_at_the_end(small: Chain, small_spec: ChainSpec) -> None:
    tables, end = small.tables, small_spec.end
    assert tables["demand"]["hour_local"].dt.date().max() < end
    observed = tables["weather"].filter(pl.col("issued_utc").is_null())
    assert observed["valid_local"].dt.date().max() == end - timedelta(days=1)
    assert tables["macro"]["released_on"].max() < end
    assert tables["macro"].select((pl.col("released_on") - pl.col("observation_date")).min()).item().days >= 7
    assert tables["events"]["known_on"].max() < end
    assert tables["events"].select((pl.col("known_on") < pl.col("starts_local").dt.date()).all()).item()
    future = tables["labor"].filter(pl.col("hour_local").dt.date() >= end)
    assert future["worked_hours"].null_count() == future.height > 0
    assert future["scheduled_hours"].null_count() == 0


def test_schedules_and_truth_reach_the_end_of_the_horizon(small: Chain, small_spec: ChainSpec) -> None:
    last = small_spec.end + timedelta(days=HORIZON_DAYS - 1)
    assert small.truth["hour_local"].dt.date().max() == last
    assert small.truth.select("store_id", "hour_utc").equals(small.tables["labor"].select("store_id", "hour_utc"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"stores": 0}, {"days": 0}, {"seed": -1}, {"issues_days": 731}, {"observed_days": -1},
        {"faults": (Outage("X", date.min, date.max),)},
    ],
)  # fmt: skip
def test_an_impossible_spec_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        ChainSpec(**wrong)  # type: ignore[arg-type]
