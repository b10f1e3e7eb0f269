from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features import clock

ZONES = ["America/New_York", "America/St_Johns", "Pacific/Auckland", "Australia/Lord_Howe", "Asia/Kathmandu",
         "Etc/GMT+5", "UTC"]  # fmt: skip


def grid(zone: str, first: date, last: date) -> pl.DataFrame:
    stores = pl.DataFrame({"store_id": ["A"], "timezone": [zone]})
    return clock.hour_grid(stores, first, last).sort("hour_utc").collect()


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2024, 3, 10), 23),
        ("America/New_York", date(2024, 11, 3), 25),
        ("America/New_York", date(2024, 7, 4), 24),
        ("America/St_Johns", date(2024, 3, 10), 23),
        ("America/St_Johns", date(2024, 11, 3), 25),
        ("Pacific/Auckland", date(2024, 9, 29), 23),
        ("Pacific/Auckland", date(2024, 4, 7), 25),
        ("Etc/GMT+5", date(2024, 3, 10), 24),
        ("UTC", date(2024, 3, 10), 24),
    ],
)
def test_a_day_has_the_hours_that_its_clock_shows(zone: str, day: date, hours: int) -> None:
    rows = grid(zone, day, day)
    assert rows.height == hours
    assert rows["date"].unique().to_list() == [day]
    assert (rows["hour_utc"].diff().drop_nulls() == timedelta(hours=1)).all()


def test_half_hour_zones_have_full_local_hours_and_half_utc_ones() -> None:
    rows = grid("America/St_Johns", date(2024, 1, 1), date(2024, 1, 2))
    assert rows["hour_local"].dt.minute().unique().to_list() == [0]
    assert rows["hour_utc"].dt.minute().unique().to_list() == [30]


@pytest.mark.parametrize("zone", ZONES)
def test_the_grid_agrees_with_the_standard_library(zone: str) -> None:
    shown = {
        (row["hour_utc"], row["hour_local"]) for row in grid(zone, date(2024, 1, 1), date(2024, 12, 31)).to_dicts()
    }
    at, expected = datetime(2023, 12, 30), set()  # noqa: DTZ001
    while at < datetime(2025, 1, 3):  # noqa: DTZ001
        local = at.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        if local.minute == 0 and local.year == 2024:
            expected.add((at, local))
        at += timedelta(minutes=15)
    assert shown == expected


def test_every_store_of_a_zone_has_every_hour() -> None:
    stores = pl.DataFrame({"store_id": ["A", "B", "C"], "timezone": ["UTC", "UTC", "America/New_York"]})
    rows = clock.hour_grid(stores, date(2024, 3, 10), date(2024, 3, 10)).collect()
    counts = rows.group_by("store_id").len().sort("store_id")
    assert counts.rows() == [("A", 24), ("B", 24), ("C", 23)]
    assert rows.columns == ["store_id", "hour_utc", "hour_local", "date"]


@given(
    st.lists(
        st.tuples(st.sampled_from(ZONES), st.datetimes(datetime(1990, 1, 1), datetime(2036, 1, 1))),  # noqa: DTZ001
        min_size=1,
        max_size=20,
    )
)
def test_utc_to_local_and_back_is_one_of_its_moments(pairs: list[tuple[str, datetime]]) -> None:
    schema = {"timezone": pl.String, "utc": pl.Datetime("us")}
    frame = pl.DataFrame(pairs, schema=schema, orient="row")
    back = clock.with_moments(clock.with_local(frame, "utc", "local"), "local")
    assert back["timezone"].to_list() == [zone for zone, _ in pairs], "row order is kept"
    for (zone, utc), row in zip(pairs, back.to_dicts(), strict=True):
        local = utc.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        assert row["local"] == local
        moments = {
            local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)
            for fold in (0, 1)
        }
        assert row["first_utc"] == min(moments)
        assert row["last_utc"] == max(moments)
        assert utc in moments


def test_a_time_that_never_was_has_no_moment() -> None:
    frame = pl.DataFrame({
        "timezone": ["America/New_York", "UTC", None],
        "local": [datetime(2024, 3, 10, 2, 30)] * 3,  # noqa: DTZ001
    })  # fmt: skip
    rows = clock.with_moments(frame, "local")
    assert rows["first_utc"].is_null().to_list() == [True, False, True]
    assert rows["last_utc"].is_null().to_list() == [True, False, True]


def test_known_zones_are_those_of_the_database() -> None:
    assert clock.known_zones(["Mars/Olympus", "UTC", "", "+02:00", "Europe/Paris", "UTC"]) == [
        "Europe/Paris",
        "UTC",
    ]
