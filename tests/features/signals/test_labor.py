"""Schedules without a date of being known count as known as far ahead as the store enters them."""

from datetime import date, datetime, time, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.signals import labor
from daypart.features.tables.schemas import LABOR

STORES = pl.DataFrame({"store_id": ["A", "B"]})
LAST = date(2024, 5, 31)
"""The last day of demand: the next origin is the first of June."""


def schedule(store: str, last: date, known_on: date | None = None, hours: float | None = 3.0) -> pl.DataFrame:
    """A row a day at noon, from forty days before the last demand."""
    days = pl.date_range(LAST - timedelta(days=40), last, eager=True)
    at = [datetime.combine(day, time(12)) for day in days]
    rows = {"store_id": store, "hour_local": at, "hour_utc": at, "scheduled_hours": hours, "known_on": known_on}
    absent = {column.name: None for column in LABOR.columns}
    return pl.DataFrame({**absent, **rows}, schema=LABOR.schema)


def visible(rows: pl.DataFrame, origin: date) -> set[int]:
    """Leads of the horizon whose schedule an origin sees."""
    visible_rows = rows.filter(pl.col("known_on").is_null() | (pl.col("known_on") < origin))
    leads = visible_rows.select((pl.col("hour_local").dt.date() - origin).dt.total_days()).to_series()
    return {lead for lead in leads if 0 <= lead < 14}


@pytest.mark.parametrize("ahead", [0, 1, 7, 13, 14, 20])
def test_a_past_origin_sees_as_many_days_ahead_as_the_next_one_will(ahead: int) -> None:
    rows = labor.with_known_on(schedule("A", LAST + timedelta(days=ahead)), STORES, LAST, 14)
    for origin in (LAST + timedelta(days=1), LAST - timedelta(days=20)):
        assert visible(rows, origin) == set(range(min(ahead, 14)))


def test_each_store_has_its_own_days_ahead() -> None:
    rows = pl.concat(
        [schedule("A", LAST), schedule("B", LAST + timedelta(days=7)), schedule("C", LAST + timedelta(days=14))]
    )
    dated = labor.with_known_on(rows, STORES, LAST, 14)
    origin = LAST - timedelta(days=20)
    visible_leads = [visible(dated.filter(pl.col("store_id") == store), origin) for store in "ABC"]
    assert visible_leads == [set(), set(range(7)), set(range(14))]
    assert dated.filter(pl.col("store_id") == "C")["known_on"].is_null().all()
    assert dated.drop("known_on").equals(rows.drop("known_on"))


def test_a_schedule_that_stopped_long_ago_is_known_for_no_day_ahead() -> None:
    rows = labor.with_known_on(schedule("A", LAST - timedelta(days=30)), STORES, LAST, 14)
    assert visible(rows, LAST - timedelta(days=35)) == set()


def test_rows_that_say_when_they_were_known_keep_it() -> None:
    schedule_rows = schedule("A", LAST + timedelta(days=3), known_on=LAST - timedelta(days=9))
    assert labor.with_known_on(schedule_rows, STORES, LAST, 14).equals(schedule_rows)


def test_rows_of_hours_worked_alone_say_nothing_of_schedules() -> None:
    worked = schedule("A", LAST, hours=None)
    assert labor.with_known_on(worked, STORES, LAST, 14).equals(worked)


@given(st.integers(-5, 5))
def test_a_schedule_recorded_after_its_day_is_left_out(late: int) -> None:
    day = LAST - timedelta(days=10)
    rows = schedule("A", LAST).filter(pl.col("hour_local").dt.date() == day)
    rows = rows.with_columns(known_on=pl.lit(day + timedelta(days=late)))
    assert labor.known_in_time(rows, STORES).height == (late <= 0)
