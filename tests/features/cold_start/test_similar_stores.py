"""What a young store borrows, against slow and obvious loops; and what it never sees."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import cache
from math import log, sqrt
from statistics import mean

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features import matrix
from daypart.features.chain_data import ChainData
from daypart.features.cold_start import similar_stores, young_stores
from daypart.features.simulator import ChainSpec, simulate

START, DAYS = date(2024, 1, 1), 130
HOURS = (8, 9, 12)
OPENS, YOUNG, NEW, GROWN = 100, "S0003", "S0005", ("S0001", "S0002", "S0004", "S0006")
VIEW = matrix.View("orders")


def day(step: int) -> date:
    return START + timedelta(days=step)


def place(
    store_id: str, format_: str, region: str, latitude: float, opened_on: date | None = None
) -> dict[str, object]:
    return {"store_id": store_id, "format": format_, "region": region, "country": "US", "latitude": latitude,
            "longitude": 0.0, "opened_on": opened_on, "closed_on": None}  # fmt: skip


def test_like_stores_are_of_the_format_then_of_the_region_then_the_nearest_and_established(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(similar_stores, "DONOR_STORES", 5)
    young = place("young", "kiosk", "north", 10.0, date(2024, 6, 1))
    candidates = [
        place("far", "kiosk", "north", 30.0), place("near", "kiosk", "north", 11.0),
        place("other region", "kiosk", "south", 10.1), place("other format", "street", "north", 10.1),
        place("as young", "kiosk", "north", 10.1, date(2024, 5, 1)),
        place("other both", "street", "south", 10.0), place("grown", "street", "north", 10.2, date(2024, 1, 1)),
    ]  # fmt: skip
    schema = {"opened_on": pl.Date, "closed_on": pl.Date}
    frames = (pl.DataFrame(rows, schema_overrides=schema) for rows in ([young], [young, *candidates]))
    donor_ids = similar_stores.nearest_stores(*frames)["donor_id"].to_list()
    assert donor_ids == ["near", "far", "other region", "other format", "grown"]


def sold(store: int, step: int, hour: int) -> float:
    """Three stores: one closed for a week, one that begins on day 20, one that trades at 9 in the second half."""
    if (store == 0 and 50 <= step < 57) or (store == 1 and step < 20) or (store == 2 and hour == 9 and step < 40):
        return 0.0
    return float((store + 1) * (hour - 5) + step % 7)


def hours() -> pl.DataFrame:
    hour_rows = [
        (f"L{store}", day(step), hour, sold(store, step, hour))
        for store in range(3) for step in range(70) for hour in HOURS if sold(store, step, hour)
    ]  # fmt: skip
    schema = {"donor_id": pl.String, "date": pl.Date, "hour": pl.Int64, "sold": pl.Float64}
    return pl.DataFrame(hour_rows, schema=schema, orient="row")


def level(store: int, step: int) -> float | None:
    """The mean trading hour of a store's last 28 open days, kept while it is closed; None before the 28th."""
    opened = [k for k in range(step + 1) if any(sold(store, k, hour) for hour in HOURS)][-28:]
    values = [sold(store, k, hour) for k in opened for hour in HOURS if sold(store, k, hour)]
    return mean(values) if len(opened) == 28 else None


def test_what_is_lent_is_the_mean_shape_at_the_mean_level() -> None:
    like = pl.DataFrame({"store_id": "A", "donor_id": ["L0", "L1", "L2"]})
    days = similar_stores.donor_days(hours())
    levels = similar_stores.donor_levels(like, days)
    lent = similar_stores.borrowed_demand(like, hours(), days, levels, like)
    lent_by_hour = dict(lent.select("hour_local", "lent").iter_rows())
    expected = {}
    for step in range(70):
        store_levels = {store: at for store in range(3) if (at := level(store, step)) is not None}
        opened = [store for store in store_levels if any(sold(store, step, hour) for hour in HOURS)]
        for hour in HOURS:
            shares = [sold(store, step, hour) / store_levels[store] for store in opened if sold(store, step, hour)]
            if shares and 2 * len(shares) >= len(opened):
                value = sum(shares) / len(opened) * mean(store_levels.values())
                expected[datetime.combine(day(step), time(hour))] = pytest.approx(value, rel=1e-5)
    assert lent_by_hour == expected
    assert len({at.hour for at in lent_by_hour}) == 3


def test_the_spread_of_levels_is_theirs_and_a_usual_one() -> None:
    like = pl.DataFrame({"store_id": "A", "donor_id": ["L0", "L1", "L2"]})
    levels = similar_stores.donor_levels(like, similar_stores.donor_days(hours())).filter(pl.col("date") == day(60))
    logs = [log(at) for store in range(3) if (at := level(store, 60)) is not None]
    scatter = sum((value - mean(logs)) ** 2 for value in logs) + 4 * 0.25**2
    assert levels["spread"].to_list() == [pytest.approx(sqrt(scatter / (3 - 1 + 4) * (1 + 1 / 3)), rel=1e-4)]


@cache
def chain(seed: int) -> ChainData:
    """Six stores with events and labor. One opens on the hundredth day; one says so and has not traded yet."""
    records = ChainData.from_tables(
        simulate(ChainSpec(stores=6, start=START, days=DAYS, seed=seed, issues_days=DAYS)).tables
    )
    old = pl.col("opened_on").dt.offset_by("-4y")
    opens = pl.when(pl.col("store_id").is_in([YOUNG, NEW])).then(pl.lit(day(OPENS))).otherwise(old)
    before = pl.col("hour_local").dt.date() < day(OPENS)
    absent = (pl.col("store_id") == NEW) | ((pl.col("store_id") == YOUNG) & before)
    # One of the two declares its hours.
    return replace(records, stores=records.stores.with_columns(opened_on=opens), demand=records.demand.filter(~absent),
                   hours=records.hours.filter(pl.col("store_id") != NEW))  # fmt: skip


def rows(records: ChainData, origins: Sequence[date]) -> pl.DataFrame:
    return matrix.build(records, VIEW, origins)


def same(result: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert expected.height > 0
    assert_frame_equal(result, expected, check_exact=True)


@pytest.mark.parametrize("step", [OPENS - 5, OPENS, OPENS + 4, OPENS + 20])
@pytest.mark.parametrize("change", ["deleted", "multiplied"])
def test_what_anyone_sold_later_changes_no_cell(step: int, change: str) -> None:
    records, origin = chain(1), day(step)
    later = pl.col("hour_local").dt.date() >= origin
    demand = records.demand
    if change == "deleted":
        demand = demand.filter(~later)
    else:
        demand = demand.with_columns(pl.when(later).then(pl.col("orders") * 7 + 3).otherwise("orders").alias("orders"))
    original_rows = rows(records, [origin])
    assert {YOUNG, NEW} <= set(original_rows["store_id"])
    same(rows(replace(records, demand=demand), [origin]), original_rows)


@pytest.mark.parametrize("begins", [27, 28, 29])
def test_a_store_that_begins_when_others_are_just_established_is_told_by_what_came_before(begins: int) -> None:
    late = (pl.col("store_id") == "S0004") & (pl.col("hour_local").dt.date() < day(begins))
    records = replace(chain(1), demand=chain(1).demand.filter(~late))
    for step in (28, 29, 30):
        past_demand = records.demand.filter(pl.col("hour_local").dt.date() < day(step))
        same(rows(replace(records, demand=past_demand), [day(step)]), rows(records, [day(step)]))


def test_many_origins_at_once_equal_each_alone() -> None:
    origins = [day(step) for step in (OPENS - 20, OPENS - 3, OPENS + 1, OPENS + 9, DAYS)]
    alone = pl.concat(rows(chain(2), [origin]) for origin in origins[1:])
    same(rows(chain(2), origins[1:]), alone.sort(matrix.ROW_KEY))
    assert not {YOUNG, NEW} & set(rows(chain(2), origins[:1])["store_id"])


@pytest.mark.parametrize("store", [YOUNG, NEW])
def test_rows_do_not_depend_on_the_block(store: str) -> None:
    records, origins, last = chain(1), [day(OPENS + 9), day(OPENS - 3)], day(DAYS + 14)
    block = records.block([store])
    past = matrix.build_history(block, VIEW, last, matrix.ChainContext(records.stores))
    past_with_donors = similar_stores.with_donor_history(past, block, similar_stores.DonorPool(records), last)
    block_rows = matrix.build(block, VIEW, origins, past_with_donors)
    same(block_rows, matrix.build(records, VIEW, origins).filter(pl.col("store_id") == store))


def test_rows_of_grown_stores_are_as_without_the_young() -> None:
    origins = [day(80), day(OPENS + 9)]
    grown = rows(chain(1), origins).filter(pl.col("store_id").is_in(GROWN))
    same(grown, rows(chain(1).block(GROWN), origins))


def test_a_store_that_opens_within_the_horizon_has_rows_from_that_day_on() -> None:
    matrix_rows = rows(chain(1), [day(OPENS - 5)])
    for store in (YOUNG, NEW):
        store_rows = matrix_rows.filter(pl.col("store_id") == store)
        assert set(store_rows["lead_days"]) == set(range(5, 14))
        assert store_rows["smooth"].is_not_null().all()
        assert store_rows["history_open_days"].unique().to_list() == [0]


def test_hours_are_declared_or_those_of_the_like() -> None:
    records, origin = chain(1), day(OPENS + 3)
    store_hours = rows(records, [origin]).group_by("store_id").agg(pl.col("hour").unique().sort())
    hours = dict(store_hours.iter_rows())
    declared = records.hours.filter(pl.col("store_id") == YOUNG).row(0, named=True)
    opens, closes = (int(declared[name][:2]) for name in ("opens", "closes"))
    assert set(hours[YOUNG]) >= set(range(opens, max(closes, opens + 1)))
    like = similar_stores.nearest_stores(records.stores.filter(pl.col("store_id") == NEW), records.stores)["donor_id"]
    assert set(hours[NEW]) <= {hour for store in like if store in hours for hour in hours[store]}
    assert len(hours[NEW]) >= 10


def test_a_store_that_records_another_target_alone_does_not_borrow() -> None:
    records = chain(1)
    sales = records.demand.filter(pl.col("store_id") == YOUNG).with_columns(orders=pl.lit(None, dtype=pl.Float64))
    other_demand = records.demand.filter(pl.col("store_id") != YOUNG)
    matrix_rows = rows(replace(records, demand=pl.concat([other_demand, sales])), [day(OPENS + 9)])
    assert YOUNG not in set(matrix_rows["store_id"])
    assert NEW in set(matrix_rows["store_id"])


def test_shares_are_own_over_lent_and_move_to_the_stores_own_as_days_come() -> None:
    records = chain(1)
    past = matrix.build_history(records, VIEW, day(DAYS))
    past_with_donors = similar_stores.with_donor_history(past, records, similar_stores.DonorPool(records), day(DAYS))
    assert past_with_donors.donor_history is not None
    lent, place = (
        past_with_donors.donor_history.sold.copy(),
        past_with_donors.donor_history.grid.store_ids.to_list().index(YOUNG),
    )
    days = lent.reshape(2, -1, 24)[place]
    first = (day(OPENS) - past_with_donors.donor_history.grid.first).days
    own_days = past_with_donors.sold.reshape(6, -1, 24)[2]
    begin = (day(OPENS) - past_with_donors.grid.first).days
    shares = young_stores.DemandShares.from_history(past_with_donors)
    own_sum, theirs, counts = 0.0, 0.0, 0
    for step in range(12):
        own_sum, theirs, counts = own_sum + own_days[begin + step].sum(), theirs + days[first + step].sum(), counts + 1
        level_shares = shares.level.filter(pl.col("store_id") == YOUNG, pl.col("date") == day(OPENS + step))["level"]
        assert level_shares.to_list() == [pytest.approx((own_sum / theirs * counts + 1) / (counts + 1), rel=1e-6)]
    noon = own_days[begin : begin + 12, 12].sum() / (days[first : first + 12, 12].sum() * own_sum / theirs)
    at = (pl.col("store_id") == YOUNG) & (pl.col("date") == day(OPENS + 11))
    assert shares.hour.filter(at, pl.col("hour") == 12)["hour_share"].to_list() == [
        pytest.approx((noon * 12 + 3) / (12 + 3), rel=1e-6)
    ]
