"""Calendar features of a date: its position in week, month and year, and public holidays."""

from datetime import date, timedelta
from functools import cache

import polars as pl

from daypart.features import places

HOLIDAY_NEAR_DAYS = 10
"""Holidays farther away than this have no effect on a day."""


def public_holidays(stores: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """Return one row per store and public holiday from first to last: store_id, date, holiday (its name).

    Names and rules are those of the `holidays` library for the store's country and subdivision, in any spelling that
    `places` knows. An unknown country has no holidays, and a subdivision without its own rules has the country's. Of
    two holidays on one day the first name counts; substitutes ("observed") share the name of their holiday.
    """
    pairs = stores.select("country", "subdivision").unique().sort("country", "subdivision")
    rows = [
        (country, subdivision, day, name)
        for country, subdivision in pairs.iter_rows()
        for day, name in _library_holidays(country, subdivision, range(first.year, last.year + 1))
        if first <= day <= last
    ]
    schema = {"country": pl.String, "subdivision": pl.String, "date": pl.Date, "holiday": pl.String}
    by_place = pl.DataFrame(rows, schema=schema, orient="row")
    return (
        stores.select("store_id", "country", "subdivision")
        .join(by_place, on=["country", "subdivision"], nulls_equal=True)
        .select("store_id", "date", "holiday")
        .sort("store_id", "date")
    )


@cache
def _library_holidays(country: str, subdivision: str | None, years: range) -> list[tuple[date, str]]:
    import holidays

    code, part = places.place_codes(country, subdivision)
    country, subdivision = code or country, part or subdivision
    try:
        rules = holidays.country_holidays(country, subdiv=subdivision, years=years, language="en_US")
    except NotImplementedError:
        try:
            rules = holidays.country_holidays(country, years=years)
        except NotImplementedError:
            return []
    plain = ((day, name.split(";")[0].removesuffix(" (observed)").strip()) for day, name in rules.items())
    return sorted(plain)


def date_features(dates: pl.DataFrame) -> pl.DataFrame:
    """Add the calendar family to rows with a `date`; values repeat every year except for the shift of weekdays."""
    day = pl.col("date")
    return dates.with_columns(
        calendar_weekday=day.dt.weekday(),
        calendar_day_of_year=day.dt.ordinal_day(),
        calendar_day_of_month=day.dt.day(),
        calendar_days_to_month_end=(day.dt.month_end() - day).dt.total_days(),
    )


def holiday_features(store_dates: pl.DataFrame, holidays: pl.DataFrame) -> pl.DataFrame:
    """Add to rows of (store_id, date): the holiday's name or null, and the days to the next and since the last.

    Distances beyond HOLIDAY_NEAR_DAYS are null. Row order is not kept.
    """
    marks = holidays.with_columns(holiday_on=pl.col("date")).sort("date")
    near = timedelta(days=HOLIDAY_NEAR_DAYS)
    ordered = store_dates.sort("date")
    ahead = ordered.join_asof(
        marks.select("store_id", "date", next_on="holiday_on"),
        on="date", by="store_id", strategy="forward", tolerance=near, check_sortedness=False,
    )  # fmt: skip
    both = ahead.join_asof(
        marks.select("store_id", "date", last_on="holiday_on"),
        on="date", by="store_id", strategy="backward", tolerance=near, check_sortedness=False,
    )  # fmt: skip
    with_names = both.join(holidays, on=["store_id", "date"], how="left")
    return with_names.with_columns(
        calendar_days_to_holiday=(pl.col("next_on") - pl.col("date")).dt.total_days(),
        calendar_days_since_holiday=(pl.col("date") - pl.col("last_on")).dt.total_days(),
    ).drop("next_on", "last_on")
