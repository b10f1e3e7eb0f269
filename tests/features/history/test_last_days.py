"""Where a chain's demand ends: incomplete last days, rows dated ahead, late stores."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.history.last_days import LastDays

FIRST = date(2025, 8, 1)
LAST = FIRST + timedelta(days=41)
OPEN = range(7, 21)
SCHEMA = {"store_id": pl.String, "hour_local": pl.Datetime("us"), "orders": pl.Float64, "sales": pl.Float64}


def rows(store: str, last: date = LAST, last_hour: int = 20, hours: range = OPEN) -> list[tuple[object, ...]]:
    """Five orders in every hour of every day; of the last day only those up to its last hour."""
    days = [FIRST + timedelta(days=k) for k in range((last - FIRST).days + 1)]
    times = [datetime(day.year, day.month, day.day) + timedelta(hours=hour) for day in days for hour in hours]
    end = datetime(last.year, last.month, last.day) + timedelta(hours=last_hour)
    return [(store, at, 5.0, 40.0) for at in times if at <= end]


def last_days(
    *stores: list[tuple[object, ...]], starts: Mapping[str, int] | None = None
) -> tuple[LastDays, set[object]]:
    """The end of the stores' demand, and the stores' last dates that count, as filtering by `counts` leaves them."""
    demand = pl.DataFrame([row for store in stores for row in store], schema=SCHEMA, orient="row")
    ids = demand["store_id"].unique().sort()
    table = pl.DataFrame({"store_id": ids, "day_starts": [(starts or {}).get(name) for name in ids]})
    table = table.cast({"day_starts": pl.Int8})
    ends = LastDays.from_demand(demand, table)
    last_hours = demand.filter(ends.counts(table)).group_by("store_id").agg(pl.col("hour_local").max())
    return ends, set(last_hours.rows())


def test_whole_days_of_stores_that_end_together_all_count() -> None:
    ends, last_hours = last_days(rows("A"), rows("B"))
    assert (ends.chain_on, ends.stores["last_on"].max(), ends.notices()) == (LAST, LAST, [])
    assert last_hours == {(name, datetime(LAST.year, LAST.month, LAST.day, 20)) for name in "AB"}


@pytest.mark.parametrize("noon", [9, 12, 17])
def test_a_day_that_was_cut_short_does_not_count_and_is_named(noon: int) -> None:
    ends, last_hours = last_days(rows("A"), rows("B", last_hour=noon))
    assert ends.chain_on == LAST
    before = LAST - timedelta(days=1)
    assert dict(last_hours) == {"A": datetime(LAST.year, LAST.month, LAST.day, 20), "B": datetime(before.year, before.month, before.day, 20)}  # fmt: skip
    (line,) = ends.notices()
    assert line.startswith("store B: ")
    assert str(LAST) in line


def test_an_hour_less_than_usual_is_a_whole_day() -> None:
    assert last_days(rows("A", last_hour=19))[0].notices() == []


def test_a_day_that_was_cut_short_is_whole_once_a_later_one_is_there() -> None:
    day = LAST - timedelta(days=1)
    short = [row for row in rows("A") if not (row[1].date() == day and row[1].hour > 12)]  # type: ignore[attr-defined]
    assert last_days(short)[0].notices() == []


def test_a_store_without_days_to_compare_with_is_believed() -> None:
    short = [row for row in rows("A", last_hour=9) if row[1].date() > LAST - timedelta(days=3)]  # type: ignore[attr-defined]
    assert last_days(short)[0].notices() == []


@given(st.integers(4, 20_000), st.integers(1, 3))
def test_a_row_dated_ahead_moves_no_end_and_is_named(days: int, honest: int) -> None:
    ahead = datetime(LAST.year, LAST.month, LAST.day, 12) + timedelta(days=days)
    honest_rows = [rows(f"A{k}") for k in range(honest)]
    ends, last_hours = last_days(*honest_rows, [*rows("B"), ("B", ahead, 3.0, 20.0)])
    assert ends.chain_on == LAST
    assert max(at for _, at in last_hours) < datetime(LAST.year, LAST.month, LAST.day, 21)  # type: ignore[type-var]
    (line,) = ends.notices()
    assert line.startswith("store B: ")
    assert str(ahead.date()) in line
    assert str(LAST) in line


def test_a_late_store_moves_no_end_either() -> None:
    ends, _ = last_days(rows("A"), rows("B", last=LAST - timedelta(days=5)))
    assert (ends.chain_on, ends.notices()) == (LAST, [])
    assert dict(ends.stores.select("store_id", "last_on").iter_rows()) == {"A": LAST, "B": LAST - timedelta(days=5)}


def test_a_chain_that_closed_for_a_week_comes_back() -> None:
    week = [LAST - timedelta(days=k) for k in range(2, 9)]
    closed = [[row for row in rows(name) if row[1].date() not in week] for name in "ABC"]  # type: ignore[attr-defined]
    assert last_days(*closed)[0].chain_on == LAST


def test_hours_after_midnight_are_the_end_of_their_business_day() -> None:
    night = range(11, 26)
    ends, _ = last_days(rows("A", hours=night, last_hour=25), rows("B"), starts={"A": 2})
    assert (ends.chain_on, ends.notices()) == (LAST, [])
    cut, _ = last_days(rows("A", hours=night, last_hour=20), rows("B"), starts={"A": 2})
    assert cut.stores.filter(pl.col("store_id") == "A")["cut_on"].to_list() == [LAST]


def test_without_demand_there_is_no_end() -> None:
    ends, last_hours = last_days([])
    assert (ends.chain_on, ends.stores["last_on"].max(), ends.notices(), last_hours) == (None, None, [], set())
