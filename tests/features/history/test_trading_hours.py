"""Trading hours: declared, learned, closed; and the business day that trade after midnight belongs to."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.history import trading_hours
from daypart.features.tables.schemas import CLOSURES, HOURS

MONDAY = date(2024, 4, 1)
clocks = st.tuples(st.integers(0, 23), st.sampled_from([0, 15, 30, 59])).map(lambda t: f"{t[0]:02d}:{t[1]:02d}")


def declared(*rows: Sequence[object]) -> pl.DataFrame:
    padded = [(*row, *[None] * (6 - len(row))) for row in rows]
    return pl.DataFrame(padded, schema=HOURS.schema, orient="row")


def starting_at(hour: int) -> pl.DataFrame:
    """The stores table of a store whose days start at a clock hour."""
    return pl.DataFrame({"store_id": ["A"], "day_starts": pl.Series([hour], dtype=pl.Int8)})


AT_MIDNIGHT = starting_at(0)


def week(store: str = "A", days: int = 7) -> pl.DataFrame:
    return pl.DataFrame({"store_id": [store] * days, "date": [MONDAY + timedelta(days=k) for k in range(days)]})


def minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


@given(st.dictionaries(st.integers(1, 7), st.tuples(clocks, clocks), max_size=7))
def test_declared_hours_cover_every_clock_hour_with_an_open_minute(spans: dict[int, tuple[str, str]]) -> None:
    hours = declared(*[("A", weekday, opens, closes) for weekday, (opens, closes) in spans.items()])
    trade = trading_hours.declared_trade(hours, week(), AT_MIDNIGHT)
    expected: set[tuple[date, int]] = set()
    for step in range(-1, 7):
        business = MONDAY + timedelta(days=step)
        if business.isoweekday() not in spans:
            continue
        opens, closes = map(minutes, spans[business.isoweekday()])
        for minute in range(opens, closes + 1440 if closes <= opens else closes):
            expected.add((business + timedelta(days=minute // 1440), minute % 1440 // 60))
    inside = {(day, hour) for day, hour in expected if MONDAY <= day < MONDAY + timedelta(days=7)}
    assert set(trade.select("date", "hour").iter_rows()) == inside
    assert trade.height == len(inside)


def test_trade_after_midnight_belongs_to_the_day_it_opened() -> None:
    friday = MONDAY + timedelta(days=4)
    trade = trading_hours.declared_trade(declared(("A", 5, "18:00", "02:00")), week(), starting_at(2))
    assert set(trade["date"]) == {friday}
    assert sorted(trade["hour"]) == [0, 1, 18, 19, 20, 21, 22, 23]
    late = trading_hours.declared_trade(declared(("A", 5, "18:00", "02:00")), week(), starting_at(1))
    assert late.filter(pl.col("date") > friday)["hour"].to_list() == [1]


def test_hours_are_declared_on_the_dates_of_their_validity_alone() -> None:
    tuesday, thursday, sunday = (MONDAY + timedelta(days=step) for step in (1, 3, 6))
    hours = declared(
        ("A", 1, "08:00", "20:00", tuesday, thursday), ("A", 2, "09:00", "20:00", tuesday, None),
        ("B", 1, "08:00", "20:00", None, MONDAY), ("C", 1, "08:00", "20:00", sunday, None),
    )  # fmt: skip
    open_days = trading_hours.declared_days(hours, pl.concat([week("A"), week("B"), week("C", 6), week("D")]))
    steps = {"A": range(1, 7), "B": range(1)}
    expected = {(store, MONDAY + timedelta(days=step)) for store, days in steps.items() for step in days}
    assert set(open_days.iter_rows()) == expected
    assert open_days.height == len(expected)


def test_a_closure_counts_at_the_origins_that_know_of_it() -> None:
    known_on = MONDAY - timedelta(days=3)
    dated = closures(("A", MONDAY, None, None), ("B", MONDAY, 10, 11)).with_columns(known_on=pl.lit(known_on))
    trade = pl.DataFrame({"store_id": ["A", "B", "B"], "hour": [10, 10, 12]}, schema_overrides={"hour": pl.Int8})
    for days, expected in (
        (-1, [("A", 10), ("B", 10), ("B", 12)]),
        (0, [("A", 10), ("B", 10), ("B", 12)]),
        (1, [("B", 12)]),
    ):
        origin = known_on + timedelta(days=days)
        rows = trade.with_columns(origin_date=pl.lit(origin), date=pl.lit(MONDAY))
        open_rows = trading_hours.without_known_closures(rows, dated, AT_MIDNIGHT)
        assert open_rows.columns == rows.columns
        assert sorted(open_rows.select("store_id", "hour").iter_rows()) == expected
        assert trading_hours.known_closures(dated, origin).height == (2 if days == 1 else 0)


def test_a_closure_told_twice_is_known_from_the_earlier_day() -> None:
    twice = closures(("A", MONDAY, None, None), ("A", MONDAY, None, None))
    dated = twice.with_columns(known_on=pl.Series([MONDAY, MONDAY - timedelta(days=9)]))
    assert trading_hours.closed_days(dated).rows() == [("A", MONDAY, MONDAY - timedelta(days=9))]
    assert trading_hours.closed_days(twice)["known_on"].to_list() == [trading_hours.ALWAYS]


def test_a_night_that_began_before_the_dates_reaches_into_them() -> None:
    trade = trading_hours.declared_trade(declared(("A", 7, "20:00", "03:00")), week(days=1), AT_MIDNIGHT)
    assert sorted(trade.select("date", "hour").iter_rows()) == [(MONDAY, hour) for hour in (0, 1, 2)]
    assert trading_hours.declared_trade(declared(("A", 7, "20:00", "03:00")), week(days=1), starting_at(3)).is_empty()


def test_hours_hold_only_within_their_period() -> None:
    tuesday = MONDAY + timedelta(days=1)
    hours = declared(*[("A", weekday, "08:00", "10:00", tuesday, tuesday) for weekday in range(1, 8)])
    assert set(trading_hours.declared_trade(hours, week(), AT_MIDNIGHT)["date"]) == {tuesday}


def starts(means: dict[int, float], hours: pl.DataFrame | None = None, days: int = 30) -> int | None:
    """The learned start of the day of a store that sells so much in each clock hour of every day."""
    rows = [("A", datetime(2024, 3, 1 + day, hour), mean) for day in range(days) for hour, mean in means.items()]
    schema = {"store_id": pl.String, "hour_local": pl.Datetime("us"), "amount": pl.Float64}
    demand = pl.DataFrame(rows, schema, orient="row")
    day_starts = trading_hours.learned_day_starts(declared() if hours is None else hours, demand)
    return day_starts["day_starts"].item() if day_starts.height else None


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        (dict.fromkeys(range(8, 18), 5.0), 0),
        ({**dict.fromkeys(range(18, 24), 5.0), 0: 3.0, 1: 2.0}, 2),
        (dict.fromkeys(range(24), 5.0), 0),
        ({**dict.fromkeys(range(18, 24), 1000.0), 0: 90.0, 1: 0.5}, 1),
        ({**dict.fromkeys(range(4, 24), 5.0), 0: 3.0, 1: 2.0}, 2),
        (dict.fromkeys((0, 1, 2, 22, 23), 4.0), 3),
    ],
    ids=["by day", "past midnight", "round the clock", "a straggler after midnight", "opens before dawn", "a bar"],
)
def test_the_learned_day_starts_at_the_first_hour_across_which_nothing_is_sold(
    means: dict[int, float], expected: int
) -> None:
    assert starts(means) == expected


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([(day, "11:00", "02:00") for day in range(1, 8)], 2),
        ([(day, "11:00", "01:15") for day in range(1, 8)], 2),
        ([(5, "18:00", "03:00"), (1, "07:00", "20:00")], 3),
        ([(day, "07:00", "20:00") for day in range(1, 8)], 0),
        ([(day, "06:00", "06:00") for day in range(1, 8)], 0),
        ([(day, "22:00", "06:00") for day in range(1, 8)], 6),
        ([(day, "11:00", "00:00") for day in range(1, 8)], 0),
    ],
)
def test_declared_hours_say_when_a_day_starts_before_demand_does(
    hours: list[tuple[int, str, str]], expected: int
) -> None:
    table = declared(*[("A", *row) for row in hours])
    assert starts({}, table) == expected
    assert starts(dict.fromkeys(range(18, 24), 5.0) | {0: 3.0, 4: 4.0}, table) == expected


def test_a_few_days_of_demand_do_not_say_when_a_day_starts() -> None:
    assert starts({23: 5.0, 0: 3.0}, days=13) is None
    assert starts({23: 5.0, 0: 3.0}, days=14) == 1


def closures(*rows: Sequence[object]) -> pl.DataFrame:
    return pl.DataFrame([(*row, "why", None) for row in rows], schema=CLOSURES.schema, orient="row")


def test_a_closure_without_hours_is_of_the_whole_day() -> None:
    table = closures(("A", MONDAY, None, None), ("B", MONDAY, 10, None))
    assert trading_hours.closed_days(table).rows() == [("A", MONDAY, trading_hours.ALWAYS)]


@pytest.mark.parametrize(
    ("first", "last", "hours"),
    [(10, 12, [10, 11, 12]), (22, None, [22, 23]), (None, 1, [0, 1]), (23, 1, [0, 1, 23]), (7, 7, [7])],
)
def test_a_closure_with_hours_is_of_those_only(first: int | None, last: int | None, hours: list[int]) -> None:
    closed_hours = trading_hours.closed_hours(closures(("A", MONDAY, first, last)), AT_MIDNIGHT)
    assert sorted(closed_hours["hour"]) == hours
    assert set(closed_hours["date"]) == {MONDAY}
    assert trading_hours.closed_days(closures(("A", MONDAY, first, last))).is_empty()


@pytest.mark.parametrize(
    ("first", "last", "hours"),
    [(22, None, [0, 1, 22, 23]), (None, 3, [2, 3]), (23, 0, [0, 23]), (1, None, [1]), (10, 11, [10, 11])],
)
def test_a_closure_ends_and_begins_with_the_business_day(first: int | None, last: int | None, hours: list[int]) -> None:
    closed_hours = trading_hours.closed_hours(closures(("A", MONDAY, first, last)), starting_at(2))
    assert sorted(closed_hours["hour"]) == hours
