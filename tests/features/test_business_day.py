"""The business day: its date, its hours on the clock, and its sums."""

from datetime import date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from daypart.features import business_day, clock

MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2025, 12, 31)).map(lambda at: at.replace(microsecond=0))
ZONES = st.sampled_from(["America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"])


def stores(start: int | None, zone: str = "UTC") -> pl.DataFrame:
    starts = pl.Series([start, None], dtype=pl.Int8)
    return pl.DataFrame({"store_id": ["A", "B"], "timezone": [zone] * 2, "day_starts": starts})


@given(MOMENTS, st.none() | st.integers(0, 23))
def test_a_business_date_is_that_of_the_clock_so_many_hours_ago(at: datetime, start: int | None) -> None:
    rows = pl.DataFrame({"store_id": ["A", "B", "C"], "hour_local": [at] * 3})
    business_dates = rows.select(business_day.business_date(stores(start))).to_series().to_list()
    assert business_dates == [(at - timedelta(hours=start or 0)).date(), at.date(), at.date()]


@given(st.dates(date(2024, 1, 1), date(2025, 12, 31)), st.integers(0, 23), st.integers(0, 23))
def test_each_clock_hour_of_a_business_day_has_one_local_time_in_it(day: date, hour: int, start: int) -> None:
    rows = pl.DataFrame({"store_id": ["A"], "date": [day], "hour": pl.Series([hour], dtype=pl.Int8)})
    local = rows.with_columns(hour_local=business_day.local_time(stores(start), "date", "hour"))
    assert local["hour_local"].dt.hour().item() == hour
    assert local.select(business_day.business_date(stores(start))).item() == day


@given(ZONES, st.none() | st.integers(0, 23), st.dates(date(2024, 1, 1), date(2025, 12, 1)))
def test_the_grid_has_every_real_hour_once_in_the_business_day_that_holds_it(
    zone: str, start: int | None, first: date
) -> None:
    last = first + timedelta(days=9)
    table = stores(start, zone)
    grid = clock.hour_grid(table, first, last).collect()
    assert grid.select("store_id", "hour_utc").is_unique().all()
    assert (grid["date"] == grid.select(business_day.business_date(table)).to_series()).all()
    wide = clock.hour_grid(table.drop("day_starts"), first - timedelta(days=1), last + timedelta(days=1)).collect()
    inside = wide.filter(business_day.business_date(table).is_between(first, last))
    assert set(grid.select("store_id", "hour_utc").rows()) == set(inside.select("store_id", "hour_utc").rows())
    origins = table.with_columns(origin_date=pl.lit(first))
    at = clock.origin_utc(origins).select("store_id", "origin_utc")
    earliest = grid.filter(pl.col("date") == first).group_by("store_id").agg(origin_utc=pl.col("hour_utc").min())
    assert at.sort("store_id").equals(earliest.sort("store_id"))
