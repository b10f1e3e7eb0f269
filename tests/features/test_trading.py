"""Trading hours: declared, learned, closed; and the business day that trade after midnight belongs to."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import trading
from features.tables import CLOSURES, HOURS

MONDAY = date(2024, 4, 1)
clocks = st.tuples(st.integers(0, 23), st.sampled_from([0, 15, 30, 59])).map(lambda t: f"{t[0]:02d}:{t[1]:02d}")


def declared(*rows: Sequence[object]) -> pl.DataFrame:
    padded = [(*row, *[None] * (6 - len(row))) for row in rows]
    return pl.DataFrame(padded, schema=HOURS.schema, orient="row")


def week(store: str = "A", days: int = 7) -> pl.DataFrame:
    return pl.DataFrame({"store_id": [store] * days, "date": [MONDAY + timedelta(days=k) for k in range(days)]})


def minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


@given(st.dictionaries(st.integers(1, 7), st.tuples(clocks, clocks), max_size=7))
def test_declared_hours_cover_every_clock_hour_with_an_open_minute(spans: dict[int, tuple[str, str]]) -> None:
    hours = declared(*[("A", weekday, opens, closes) for weekday, (opens, closes) in spans.items()])
    found = trading.declared_trade(hours, week())
    expected: set[tuple[date, int]] = set()
    for step in range(-1, 7):
        business = MONDAY + timedelta(days=step)
        if business.isoweekday() not in spans:
            continue
        opens, closes = map(minutes, spans[business.isoweekday()])
        for minute in range(opens, closes + 1440 if closes <= opens else closes):
            expected.add((business + timedelta(days=minute // 1440), minute % 1440 // 60))
    inside = {(day, hour) for day, hour in expected if MONDAY <= day < MONDAY + timedelta(days=7)}
    assert set(found.select("date", "hour").iter_rows()) == inside
    assert found.height == len(inside)


def test_trade_after_midnight_belongs_to_the_day_it_opened() -> None:
    found = trading.declared_trade(declared(("A", 5, "18:00", "02:00")), week())
    friday = MONDAY + timedelta(days=4)
    assert set(found["business_date"]) == {friday}
    late = found.filter(pl.col("date") == friday + timedelta(days=1))
    assert sorted(late["hour"]) == [0, 1]
    assert sorted(found.filter(pl.col("date") == friday)["hour"]) == [18, 19, 20, 21, 22, 23]


def test_hours_are_declared_on_the_dates_of_their_validity_alone() -> None:
    tuesday, thursday, sunday = (MONDAY + timedelta(days=step) for step in (1, 3, 6))
    hours = declared(
        ("A", 1, "08:00", "20:00", tuesday, thursday), ("A", 2, "09:00", "20:00", tuesday, None),
        ("B", 1, "08:00", "20:00", None, MONDAY), ("C", 1, "08:00", "20:00", sunday, None),
    )  # fmt: skip
    found = trading.declared_days(hours, pl.concat([week("A"), week("B"), week("C", 6), week("D")]))
    steps = {"A": range(1, 7), "B": range(1)}
    expected = {(store, MONDAY + timedelta(days=step)) for store, days in steps.items() for step in days}
    assert set(found.iter_rows()) == expected
    assert found.height == len(expected)


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
        rows = trade.with_columns(origin_date=pl.lit(origin), business_date=pl.lit(MONDAY))
        found = trading.without_known_closures(rows, dated)
        assert found.columns == rows.columns
        assert sorted(found.select("store_id", "hour").iter_rows()) == expected
        assert trading.known_closures(dated, origin).height == (2 if days == 1 else 0)


def test_a_closure_told_twice_is_known_from_the_earlier_day() -> None:
    twice = closures(("A", MONDAY, None, None), ("A", MONDAY, None, None))
    dated = twice.with_columns(known_on=pl.Series([MONDAY, MONDAY - timedelta(days=9)]))
    assert trading.closed_days(dated).rows() == [("A", MONDAY, MONDAY - timedelta(days=9))]
    assert trading.closed_days(twice)["known_on"].to_list() == [trading.ALWAYS]


def test_a_night_that_began_before_the_dates_reaches_into_them() -> None:
    found = trading.declared_trade(declared(("A", 7, "20:00", "03:00")), week(days=1))
    assert sorted(found.select("date", "hour", "business_date").iter_rows()) == [
        (MONDAY, hour, MONDAY - timedelta(days=1)) for hour in (0, 1, 2)
    ]


def test_hours_hold_only_within_their_period() -> None:
    tuesday = MONDAY + timedelta(days=1)
    hours = declared(*[("A", weekday, "08:00", "10:00", tuesday, tuesday) for weekday in range(1, 8)])
    assert set(trading.declared_trade(hours, week())["date"]) == {tuesday}


def starts(means: dict[int, float]) -> int:
    rows = [("A", MONDAY, hour, mean) for hour, mean in means.items()]
    schema = {"store_id": pl.String, "origin_date": pl.Date, "hour": pl.Int8, "base": pl.Float64}
    return int(trading.learned_day_start(pl.DataFrame(rows, schema=schema, orient="row"))["day_start"].item())


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        (dict.fromkeys(range(8, 18), 5.0), 0),
        ({**dict.fromkeys(range(18, 24), 5.0), 0: 3.0, 1: 2.0}, 2),
        (dict.fromkeys(range(24), 5.0), 0),
        ({**dict.fromkeys(range(18, 24), 1000.0), 0: 90.0, 1: 0.5}, 1),
    ],
    ids=["by day", "past midnight", "round the clock", "a straggler after midnight"],
)
def test_learned_business_day_starts_at_the_first_quiet_hour(means: dict[int, float], expected: int) -> None:
    assert starts(means) == expected


def closures(*rows: Sequence[object]) -> pl.DataFrame:
    return pl.DataFrame([(*row, "why", None) for row in rows], schema=CLOSURES.schema, orient="row")


def test_a_closure_without_hours_is_of_the_whole_day() -> None:
    table = closures(("A", MONDAY, None, None), ("B", MONDAY, 10, None))
    assert trading.closed_days(table).rows() == [("A", MONDAY, trading.ALWAYS)]


@pytest.mark.parametrize(
    ("first", "last", "hours"),
    [(10, 12, [10, 11, 12]), (22, None, [22, 23]), (None, 1, [0, 1]), (23, 1, [0, 1, 23]), (7, 7, [7])],
)
def test_a_closure_with_hours_is_of_those_only(first: int | None, last: int | None, hours: list[int]) -> None:
    found = trading.closed_hours(closures(("A", MONDAY, first, last)))
    assert sorted(found["hour"]) == hours
    assert set(found["business_date"]) == {MONDAY}
    assert trading.closed_days(closures(("A", MONDAY, first, last))).is_empty()
