"""Calendar features against Python's own dates and the holidays library."""

import calendar as months
from datetime import date, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.signals import calendar


def store(country: str, subdivision: str | None = None, store_id: str = "A") -> pl.DataFrame:
    schema = {"store_id": pl.String, "country": pl.String, "subdivision": pl.String}
    return pl.DataFrame([(store_id, country, subdivision)], schema=schema, orient="row")


@given(st.dates(date(1990, 1, 1), date(2090, 12, 31)))
def test_date_features_are_what_python_says(day: date) -> None:
    features = calendar.date_features(pl.DataFrame({"date": [day]})).row(0, named=True)
    assert features["calendar_weekday"] == day.isoweekday()
    assert features["calendar_day_of_year"] == day.timetuple().tm_yday
    assert features["calendar_day_of_month"] == day.day
    assert features["calendar_days_to_month_end"] == months.monthrange(day.year, day.month)[1] - day.day


def test_holidays_of_a_country_and_of_its_subdivision() -> None:
    first, last = date(2024, 1, 1), date(2024, 12, 31)
    country = calendar.public_holidays(store("DE"), first, last)
    bavaria = calendar.public_holidays(store("DE", "BY"), first, last)
    assert date(2024, 10, 3) in country["date"].to_list()
    assert date(2024, 1, 6) not in country["date"].to_list()
    assert date(2024, 1, 6) in bavaria["date"].to_list()
    assert bavaria["date"].is_between(first, last).all()


def test_unknown_places_fall_back_and_never_fail() -> None:
    first, last = date(2024, 1, 1), date(2024, 12, 31)
    nowhere = calendar.public_holidays(store("XX"), first, last)
    assert nowhere.is_empty()
    assert nowhere.columns == ["store_id", "date", "holiday"]
    odd = calendar.public_holidays(store("US", "no such state"), first, last)
    assert odd.equals(calendar.public_holidays(store("US"), first, last))


def test_a_substitute_shares_its_holidays_name() -> None:
    holidays = calendar.public_holidays(store("US"), date(2022, 12, 20), date(2023, 1, 5))
    names = dict(holidays.select("date", "holiday").iter_rows())
    assert names[date(2022, 12, 26)] == names[date(2022, 12, 25)] == "Christmas Day"


@given(st.sets(st.integers(0, 60), max_size=5), st.integers(0, 60))
def test_distances_are_to_the_nearest_holidays_within_reach(marked: set[int], step: int) -> None:
    first = date(2024, 3, 1)
    schema = {"store_id": pl.String, "date": pl.Date, "holiday": pl.String}
    rows = [("A", first + timedelta(days=k), f"H{k}") for k in sorted(marked)]
    holidays = pl.DataFrame(rows, schema=schema, orient="row")
    store_days = pl.DataFrame({"store_id": ["A", "B"], "date": [first + timedelta(days=step)] * 2})
    features = {row["store_id"]: row for row in calendar.holiday_features(store_days, holidays).iter_rows(named=True)}
    ahead = [k - step for k in marked if 0 <= k - step <= calendar.HOLIDAY_NEAR_DAYS]
    since = [step - k for k in marked if 0 <= step - k <= calendar.HOLIDAY_NEAR_DAYS]
    assert features["A"]["calendar_days_to_holiday"] == min(ahead, default=None)
    assert features["A"]["calendar_days_since_holiday"] == min(since, default=None)
    assert features["A"]["holiday"] == (f"H{step}" if step in marked else None)
    assert features["B"]["holiday"] is None
    assert features["B"]["calendar_days_to_holiday"] is None
