"""Local times that the store's clock shows twice or never, in tables and in lines of a point of sale."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daypart.features import clock
from daypart.features.clock import ClockChanges
from daypart.features.pos.mapping import Mapping
from daypart.features.pos.store_hours import PosDemand, lines_to_demand
from daypart.features.tables.conform import ConformedTable, conform
from daypart.features.tables.schemas import TABLES

ZONES = [
    *("America/New_York", "Europe/Berlin", "Europe/Dublin", "Atlantic/Azores", "America/St_Johns", "Pacific/Auckland"),
    *("Australia/Lord_Howe", "America/Santiago", "America/Asuncion", "Asia/Beirut", "Asia/Tehran", "Antarctica/Troll"),
]
"""Both hemispheres, changes of half an hour, one and two hours, at night, at midnight and a minute past it."""

NEW_YORK = pl.DataFrame({"store_id": ["NY"], "timezone": ["America/New_York"]})
HOUR, STEP = timedelta(hours=1), timedelta(minutes=10)


def shown(utc: datetime, zone: str) -> datetime:
    return utc.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def instant(local: datetime, zone: str, fold: int) -> datetime:
    return local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC).replace(tzinfo=None)


@cache
def change_days(zone: str, back: bool) -> list[date]:
    """The dates from 2008 to 2021 on which the zone's clock goes back, or forward."""
    midnights = [datetime(2008, 1, 1) + timedelta(days=n) for n in range(14 * 365)]
    lengths = [(at.date(), instant(at + timedelta(days=1), zone, 0) - instant(at, zone, 0)) for at in midnights]
    return [day for day, length in lengths if (length > 24 * HOUR if back else length < 24 * HOUR)]


def moments(zone: str, day: date, step: timedelta) -> list[datetime]:
    """UTC moments of a local date, in order: those at which its clock shows a whole number of steps."""
    around = [datetime(day.year, day.month, day.day) - 26 * HOUR + n * timedelta(minutes=5) for n in range(12 * 78)]
    clocks = [(at, shown(at, zone)) for at in around]
    return [at for at, local in clocks if local.date() == day and not (local - datetime(2000, 1, 1)) % step]


def written(moments_utc: list[datetime], zone: str) -> list[str]:
    return [shown(at, zone).strftime("%Y-%m-%d %H:%M:%S") for at in moments_utc]


def read(table: str, zone: str, changes: ClockChanges, **columns: Any) -> ConformedTable:
    zones = pl.DataFrame({"store_id": ["S"], "timezone": [zone]})
    return conform(pl.DataFrame({"store_id": "S", **columns}), TABLES[table], zones, changes)


def autumn_days() -> st.SearchStrategy[tuple[str, date]]:
    return st.sampled_from(ZONES).flatmap(lambda z: st.tuples(st.just(z), st.sampled_from(change_days(z, True))))


def spring_days() -> st.SearchStrategy[tuple[str, date]]:
    return st.sampled_from(ZONES).flatmap(lambda z: st.tuples(st.just(z), st.sampled_from(change_days(z, False))))


@given(autumn_days(), st.sampled_from(["demand", "labor", "weather"]))
def test_the_hours_of_an_autumn_day_come_back_as_they_were(place: tuple[str, date], table: str) -> None:
    zone, day = place
    utc = moments(zone, day, HOUR)
    local, value = ("valid_local", "temperature_c") if table == "weather" else ("hour_local", "orders")
    value = "worked_hours" if table == "labor" else value
    stem = local.removesuffix("_local")

    def instants(utc_times: list[datetime], changes: ClockChanges) -> list[datetime]:
        conformed = read(table, zone, changes, **{local: written(utc_times, zone), value: list(range(len(utc_times)))})
        assert conformed.refused.is_empty(), conformed.refused
        assert conformed.rows[value].to_list() == list(range(len(utc_times))), "in the order of the file"
        assert conformed.rows[local].to_list() == [shown(at, zone) for at in utc_times]
        return conformed.rows[f"{stem}_utc"].to_list()

    assert instants(utc, ClockChanges("both")) == utc
    assert instants(utc, ClockChanges("first")) == utc, "two rows are first and second whatever a single one is"
    for choice, fold in (("first", 0), ("second", 1)):
        single = [at for at in utc if instant(shown(at, zone), zone, fold) == at]
        assert instants(single, ClockChanges(choice)) == single  # type: ignore[arg-type]


@given(autumn_days())
def test_a_forecast_issued_at_a_time_that_repeats_is_the_first_or_the_second(place: tuple[str, date]) -> None:
    zone, day = place
    issued = moments(zone, day, timedelta(minutes=30))
    noon = f"{day + timedelta(days=2)} 12:00:00"
    columns = {"valid_local": noon, "issued_local": written(issued, zone), "temperature_c": range(len(issued))}
    conformed = read("weather", zone, ClockChanges("both"), **columns)
    assert conformed.refused.is_empty()
    assert conformed.rows["issued_utc"].to_list() == issued


@given(autumn_days(), st.booleans())
@example(("America/St_Johns", date(2008, 11, 2)), False)  # back at a minute past midnight
def test_lines_of_an_autumn_day_are_in_the_hours_in_which_they_were(
    place: tuple[str, date], newest_first: bool
) -> None:
    zone, day = place
    utc = sorted(moments(zone, day - timedelta(days=1), STEP) + moments(zone, day, STEP))
    hours = sorted(moments(zone, day - timedelta(days=1), HOUR) + moments(zone, day, HOUR))

    def demand(utc_times: list[datetime], **choice: str) -> dict[datetime, float]:
        pos_demand = lines(written(utc_times[::-1] if newest_first else utc_times, zone), zone, **choice)
        assert pos_demand.refused.is_empty(), pos_demand.refused
        assert [shown(at, zone) for at in pos_demand.demand["hour_utc"]] == pos_demand.demand["hour_local"].to_list()
        return dict(pos_demand.demand.select("hour_utc", "orders").rows())

    def expected(utc_times: list[datetime]) -> dict[datetime, float]:
        return dict(Counter(max(hour for hour in hours if hour <= at) for at in utc_times))

    assert demand(utc, repeated_hour="both") == expected(utc)
    for choice, fold in (("first", 0), ("second", 1)):
        single = [at for at in utc if instant(shown(at, zone), zone, fold) == at]
        assert demand(single, repeated_hour=choice) == expected(single)


def lines(times: list[str], zone: str = "America/New_York", **choice: str) -> PosDemand:
    """Demand of lines at the times, each a ticket of its own."""
    columns = {"timestamp": "At", "ticket": "No", "line_total": "Total"}
    mapping = Mapping.from_settings({"columns": columns, "store_id": "S", **choice})
    frame = pl.DataFrame({"At": times, "No": [str(n) for n in range(len(times))], "Total": "1"})
    return lines_to_demand(frame, mapping, pl.DataFrame({"store_id": ["S"], "timezone": [zone]}))


@given(spring_days())
def test_times_that_the_clock_skips_are_read_by_the_clock_before_or_after(place: tuple[str, date]) -> None:
    zone, day = place
    on_paper = [datetime(day.year, day.month, day.day) + n * STEP for n in range(24 * 6)]
    for choice, fold in (("later", 0), ("earlier", 1)):
        expected = [instant(at, zone, fold) for at in on_paper]
        noon = f"{day + timedelta(days=2)} 12:00:00"
        columns = {"valid_local": noon, "issued_local": on_paper, "precipitation_mm": range(len(on_paper))}
        changes = ClockChanges(missing_hour=choice)  # type: ignore[arg-type]
        with_clock = read("weather", zone, changes, **columns)
        issued_by_row = {int(row["precipitation_mm"]): row["issued_utc"] for row in with_clock.rows.to_dicts()}
        refused = set(with_clock.refused["row"] - 1)
        assert {n: expected[n] for n in issued_by_row} == issued_by_row
        assert {expected[n] for n in refused} <= {at for at, times in Counter(expected).items() if times > 1}, (
            "two rows that come to the same moment disagree"
        )
        till = lines([at.strftime("%Y-%m-%d %H:%M:%S") for at in on_paper], zone, missing_hour=choice)
        assert till.refused.is_empty()
        hours = sorted(moments(zone, day - timedelta(days=1), HOUR) + moments(zone, day, HOUR))
        hours += moments(zone, day + timedelta(days=1), HOUR)
        counts = Counter(max(hour for hour in hours if hour <= at) for at in expected)
        assert dict(till.demand.select("hour_utc", "orders").rows()) == counts


def test_a_day_that_a_clock_skipped_is_read_as_the_day_beside_it() -> None:
    apia = pl.DataFrame({"timezone": ["Pacific/Apia", None], "at": [datetime(2011, 12, 30, 9)] * 2})
    assert clock.with_existing(apia, "at", "later")["at"].to_list() == [datetime(2011, 12, 31, 9), apia["at"][1]]
    assert clock.with_existing(apia, "at", "earlier")["at"].to_list() == [datetime(2011, 12, 29, 9), apia["at"][1]]
    assert clock.with_existing(apia, "at", "refuse")["at"].to_list() == apia["at"].to_list()


def demand(choice: Any, *hours: tuple[str, int], missing: Any = None) -> ConformedTable:
    frame = pl.DataFrame(
        {"store_id": "NY", "hour_local": [h for h, _ in hours], "orders": [n for _, n in hours]},
        schema_overrides={"orders": pl.Int64},
    )
    return conform(frame, TABLES["demand"], NEW_YORK, ClockChanges(choice, missing))


ONE = "2024-11-03 01:00:00"


@pytest.mark.parametrize(
    ("choice", "orders", "reason"),
    [
        ("refuse", [4], "goes back: give hour_utc or pass --repeated-hour first, second or both"),
        (None, [4, 5], "goes back: give hour_utc or pass --repeated-hour first, second or both"),
        ("both", [4], "but not twice in the file: give hour_utc or pass --repeated-hour first or second"),
        ("both", [4, 5, 6], "but not twice in the file"),
        ("first", [4, 5, 6], "and more than twice in the file: give hour_utc"),
        ("second", [4, 4, 4], "and more than twice in the file: give hour_utc"),
    ],
)
def test_an_hour_that_the_choice_does_not_settle_is_refused(choice: Any, orders: list[int], reason: str) -> None:
    conformed = demand(choice, ("2024-11-03 00:00:00", 3), *((ONE, n) for n in orders))
    assert conformed.rows["orders"].to_list() == [3.0]
    assert conformed.refused["row"].to_list() == [n + 2 for n in range(len(orders))]
    assert all(reason in text for text in conformed.refused["reason"])


def test_rows_that_are_equal_or_at_fault_keep_their_place_in_the_repeated_hour() -> None:
    same = demand("both", (ONE, 4), (ONE, 4))
    assert (same.rows["hour_utc"].dt.hour().to_list(), same.collapsed) == ([5, 6], 0)
    second = demand("both", (ONE, -1), (ONE, 4))
    assert second.rows["hour_utc"].dt.hour().to_list() == [6]
    assert second.refused["row"].to_list() == [1]


def test_a_utc_beside_the_local_hour_comes_before_the_choice() -> None:
    frame = pl.DataFrame({
        "store_id": ["NY"] * 2, "hour_local": [ONE] * 2, "hour_utc": ["2024-11-03 05:00:00", None], "orders": [4, 5],
    })  # fmt: skip
    conformed = conform(frame, TABLES["demand"], NEW_YORK, ClockChanges("second"))
    assert conformed.rows["hour_utc"].dt.hour().to_list() == [5, 6]


def test_an_hour_that_never_was_is_moved_or_refused_with_the_option() -> None:
    skipped = ("2024-03-10 02:00:00", 2)
    assert "pass --missing-hour earlier or later" in demand(None, skipped).refused["reason"].item()
    assert demand(None, skipped, missing="later").rows.rows() == [
        ("NY", datetime(2024, 3, 10, 3), datetime(2024, 3, 10, 7), 2.0, None)
    ]
    assert demand(None, skipped, missing="earlier").rows["hour_utc"].item() == datetime(2024, 3, 10, 6)
    clash = demand(None, skipped, ("2024-03-10 03:00:00", 3), missing="later")
    assert clash.refused["reason"].unique().to_list() == ["disagrees with another row of the same key"]
    assert clash.rows.is_empty()


def test_each_store_and_autumn_of_an_export_has_its_own_second_hour() -> None:
    nights = {"Europe/Berlin": date(2024, 10, 27), "America/New_York": date(2024, 11, 3)}
    past = {"Europe/Berlin": date(2023, 10, 29), "America/New_York": date(2023, 11, 5)}
    utc = {zone: moments(zone, past[zone], STEP) + moments(zone, day, STEP) for zone, day in nights.items()}
    rows = sorted((at, zone) for zone, times in utc.items() for at in times)
    frame = pl.DataFrame({
        "At": [str(shown(at, zone)) for at, zone in rows], "Store": [zone for _, zone in rows],
        "No": [str(n) for n in range(len(rows))], "Total": "1",
    })  # fmt: skip
    columns = {"store": "Store", "timestamp": "At", "ticket": "No", "line_total": "Total"}
    mapping = Mapping.from_settings({"columns": columns, "repeated_hour": "both"})
    zones = pl.DataFrame({"store_id": list(utc), "timezone": list(utc)})
    pos_demand = lines_to_demand(frame, mapping, zones)
    assert pos_demand.refused.is_empty()
    assert pos_demand.demand.height == 4 * 25
    assert pos_demand.demand["orders"].unique().to_list() == [6.0]


@pytest.mark.parametrize(
    "times",
    [
        ["2024-11-03 01:10:00"],
        ["2024-11-03 01:10:00", "2024-11-03 01:30:00"],
        ["2024-11-03 01:30:00", "2024-11-03 01:20:00"],
        ["2024-11-03 01:50:00", "2024-11-03 01:10:00", "2024-11-03 01:40:00", "2024-11-03 01:00:00"],
    ],
)
def test_lines_whose_order_does_not_show_where_the_clock_goes_back_are_refused(times: list[str]) -> None:
    pos_demand = lines(["2024-11-03 00:30:00", *times, "2024-11-03 02:30:00"], repeated_hour="both")
    assert pos_demand.demand["hour_local"].dt.hour().to_list() == [0, 2]
    assert pos_demand.refused.height == len(times)
    assert "the order of lines does not show where it goes back" in pos_demand.refused["reason"][0]
