"""A stamp that says its zone is one instant, however it is written, and shows on the store's clock."""

from collections.abc import Mapping as Mappable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.errors import SchemaError
from daypart.features.pos import time_zones, timestamps
from daypart.features.pos.lines import Lines, read_lines
from daypart.features.pos.mapping import Mapping
from daypart.features.tables.conform import conform
from daypart.features.tables.schemas import DEMAND, WEATHER

STORES = pl.DataFrame({"store_id": ["NY", "LDN"], "timezone": ["America/New_York", "Europe/London"]})

OFFSETS = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))
INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


def colons(at: datetime) -> str:
    text = at.strftime("%z")
    return f"{text[:3]}:{text[3:]}"


def hours_only(at: datetime) -> str:
    return at.strftime("%z")[:3] if at.strftime("%z").endswith("00") else at.strftime("%z")


def z(at: datetime) -> str:
    return "Z" if not at.utcoffset() else colons(at)


def utc(at: datetime) -> str:
    return " UTC" if not at.utcoffset() else " " + at.strftime("%z")


def minus(at: datetime) -> str:
    return colons(at).replace("-", "\u2212")


NOTATIONS = st.sampled_from([colons, hours_only, z, utc, minus, lambda at: at.strftime("%z")])
ZONE_DIRECTIVES = st.sampled_from(["%z", "%:z", "%#z", "Z"])


def read(columns: Mappable[str, Any], lines: Mappable[str, Any], **settings: Any) -> Lines:
    frame = pl.DataFrame(lines).with_columns(No=pl.lit("1"))
    mapping = Mapping.from_settings({"store_id": "NY", **settings, "columns": {"ticket": "No", **columns}})
    return read_lines(frame, mapping, STORES)


def moments(lines: Lines) -> tuple[list[datetime], list[datetime]]:
    assert lines.refused.is_empty(), lines.refused.row(0)
    return lines.rows["at_utc"].to_list(), lines.rows["at_local"].to_list()


def on_clock(at: datetime, zone: str = "America/New_York") -> datetime:
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@given(at=INSTANTS, offset=OFFSETS, notation=NOTATIONS, mark=st.sampled_from("T "), directive=ZONE_DIRECTIVES)
def test_every_notation_of_an_instant_is_one_time(
    at: datetime, offset: timezone, notation: Any, mark: str, directive: str
) -> None:
    there = at.astimezone(offset)
    second = there.replace(microsecond=0)
    iso = there.isoformat(mark, "microseconds")[:26] + notation(there)
    plain = second.strftime("%d/%m/%Y %H:%M:%S") + notation(second)
    expected = [at.replace(tzinfo=None)], [on_clock(at)]
    assert moments(read({"timestamp": "At"}, {"At": [iso]})) == expected
    split = {"Day": [iso[:10]], "Time": [iso[11:]]}
    assert moments(read({"date": "Day", "time": "Time"}, split)) == expected
    formatted = read({"timestamp": "At"}, {"At": [plain]}, formats={"timestamp": f"%d/%m/%Y %H:%M:%S{directive}"})
    whole_seconds = [at.replace(tzinfo=None, microsecond=0)], [on_clock(at.replace(microsecond=0))]
    assert moments(formatted) == whole_seconds
    times = {"Day": [plain[:10]], "Time": [plain[11:]]}
    formats = {"date": "%d/%m/%Y", "time": f"%H:%M:%S{directive}"}
    assert moments(read({"date": "Day", "time": "Time"}, times, formats=formats)) == whole_seconds


@given(at=INSTANTS, unit=st.sampled_from([1, 1_000, 1_000_000]), typed=st.booleans())
def test_an_epoch_is_an_instant(at: datetime, unit: int, typed: bool) -> None:
    at = at.replace(microsecond=0).replace(year=max(at.year, 1974))
    epoch = int(at.timestamp()) * unit
    result = read({"timestamp": "At"}, {"At": [epoch if typed else str(epoch)]}, formats={"timestamp": "%s"})
    assert moments(result) == ([at.replace(tzinfo=None)], [on_clock(at)])


@pytest.mark.parametrize("cell", ["1e9", "inf", "12 1", "soon", "999999999999999999999"])
def test_no_epoch_is_refused(cell: str) -> None:
    assert read({"timestamp": "At"}, {"At": [cell]}, formats={"timestamp": "%s"}).refused.height == 1


def test_fractions_and_words_of_an_epoch_count() -> None:
    fraction = read({"timestamp": "At"}, {"At": ["1760773680.25"]}, formats={"timestamp": "%s"})
    assert moments(fraction)[0] == [datetime(2025, 10, 18, 7, 48, 0, 250_000)]
    inside = read({"timestamp": "At"}, {"At": ["/Date(1760773680)/"]}, formats={"timestamp": "/Date(%s)/"})
    assert moments(inside)[0] == [datetime(2025, 10, 18, 7, 48)]


@pytest.mark.parametrize(
    ("written", "instant"),
    [("%FT%TZ", True), ("%FT%T Z", True), ("%F %T", False), ("%F %T %Z", False), ("%F%%z", False), ("%F %%Z", True),
     ("%s", True), ("%F%%s", False), ("%+", True), ("%a %z %Y", True), ("%F %I:%M %p", False)],
)  # fmt: skip
def test_a_format_says_whether_it_is_an_instant(written: str, instant: bool) -> None:
    assert timestamps.says_instant(written) == instant


def test_abbreviations_of_zones_are_instants_where_they_mean_one_offset() -> None:
    lines = {"At": ["2025-07-18 12:30:00 UTC", "2025-07-18 12:30:00 GMT", "2025-07-18 08:30:00 EDT"]}
    result = read({"timestamp": "At"}, lines, formats={"timestamp": "%Y-%m-%d %H:%M:%S %Z"})
    assert [at.hour for at in moments(result)[1]] == [8, 8, 8]


def test_cells_with_and_without_an_offset_may_stand_in_one_column() -> None:
    result = read({"timestamp": "At"}, {"At": ["2025-10-18 08:00:00", "2025-10-18T12:30:00Z", "2025-10-18 08:45"]})
    assert [at.strftime("%H:%M") for at in moments(result)[1]] == ["08:00", "08:30", "08:45"]


@given(at=INSTANTS, zone=st.sampled_from(["America/New_York", "Asia/Kolkata", "Europe/Paris"]), a_row=st.booleans())
def test_a_zone_of_the_file_or_of_a_row_moves_times_to_the_store(at: datetime, zone: str, a_row: bool) -> None:
    there = at.astimezone(ZoneInfo(zone)).replace(microsecond=0, tzinfo=None)
    back = there.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    if there.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC) != back:
        return  # an hour that the clock shows twice
    lines = {"At": [there.isoformat(" ")], "Where": ["LDN"], "Zone": [zone]}
    columns = {"timestamp": "At", "store": "Where"} | ({"timezone": "Zone"} if a_row else {})
    result = read(columns, lines, store_id=None, **({} if a_row else {"timezone": zone}))
    assert moments(result) == ([back.replace(tzinfo=None)], [on_clock(back, "Europe/London")])


def test_rows_may_be_written_in_zones_of_their_own() -> None:
    names = ["Eastern Time (US & Canada)", "Pacific Time (US & Canada)", "(GMT+05:30) Mumbai", "Europe/Paris"]
    result = read({"timestamp": "At", "timezone": "Zone"}, {"At": ["2026-05-26 19:30:00"] * 4, "Zone": names})
    assert [at.strftime("%d %H:%M") for at in moments(result)[1]] == ["26 19:30", "26 22:30", "26 10:00", "26 13:30"]


def test_an_unknown_zone_is_refused_by_name() -> None:
    lines = {"At": ["2026-05-26 19:30:00"] * 2, "Zone": ["Lake Time", ""]}
    result = read({"timestamp": "At", "timezone": "Zone"}, lines)
    assert result.refused.rows() == [
        (1, "Zone", "Lake Time", "is no time zone such as America/New_York or Eastern Time (US & Canada)"),
        (2, "Zone", None, "is empty"),
    ]


def test_the_hour_that_repeats_is_that_of_the_clock_a_time_is_written_on() -> None:
    """London's clock goes back on 26 October, New York's a week later."""
    lines = {"At": ["2025-10-26 01:30:00", "2025-11-02 01:30:00"]}
    result = read({"timestamp": "At"}, lines, timezone="London")
    assert "exists twice on the export's clock" in result.refused.item(0, "reason")
    assert [at.hour for at in result.rows["at_local"]] == [21]
    second = read({"timestamp": "At"}, lines, timezone="London", repeated_hour="second")
    assert [at.strftime("%d %H:%M") for at in moments(second)[1]] == ["25 21:30", "01 21:30"]


def test_every_name_of_rails_is_a_zone() -> None:
    assert len(time_zones.RAILS) > 150
    assert time_zones.iana_zones(time_zones.RAILS) == time_zones.RAILS


def test_stamps_as_numbers_without_a_format_are_refused() -> None:
    with pytest.raises(SchemaError, match=r"holds Int64, expected local"):
        read({"timestamp": "At"}, {"At": [1760773680]})


@given(at=INSTANTS, offset=OFFSETS, notation=NOTATIONS, stem=st.sampled_from(["hour_local", "hour_utc"]))
def test_tables_take_every_notation_of_an_instant(at: datetime, offset: timezone, notation: Any, stem: str) -> None:
    hour = at.replace(minute=0, second=0, microsecond=0)
    there = hour.astimezone(offset)
    written = there.strftime("%Y-%m-%dT%H:%M:%S") + notation(there)
    frame = pl.DataFrame({"store_id": ["NY"], stem: [written], "orders": ["1"]})
    result = conform(frame, DEMAND, STORES)
    assert result.refused.is_empty()
    assert result.rows["hour_utc"].to_list() == [hour.replace(tzinfo=None)]
    assert result.rows["hour_local"].to_list() == [on_clock(hour)]


def test_local_times_of_a_table_may_have_an_offset_in_some_cells() -> None:
    frame = pl.DataFrame({
        "store_id": ["NY", "NY", "NY"],
        "hour_local": ["2024-11-03T01:00:00-05:00", "2024-11-03 01:00:00-04:00", "2024-11-03 08:00:00"],
        "orders": ["1", "2", "3"],
    })  # fmt: skip
    result = conform(frame, DEMAND, STORES)
    assert result.refused.is_empty()
    assert [at.hour for at in result.rows["hour_utc"]] == [6, 5, 13]
    assert [at.hour for at in result.rows["hour_local"]] == [1, 1, 8]


def test_an_offset_is_not_overlooked_where_the_other_clock_is_given_too() -> None:
    frame = pl.DataFrame({
        "store_id": ["NY"] * 3,
        "hour_local": ["2024-06-03T08:00:00-04:00", "2024-06-03T09:00:00-04:00", "2024-06-03T15:00:00Z"],
        "hour_utc": ["2024-06-03 12:00:00", "", "2024-06-03 15:00:00"],
        "orders": ["1", "2", "3"],
    })  # fmt: skip
    result = conform(frame, DEMAND, STORES)
    assert [at.hour for at in result.rows["hour_utc"]] == [12, 13]
    assert result.refused["row"].to_list() == [3]
    assert "not the same moment" in result.refused.item(0, "reason")


def test_weather_is_issued_at_an_instant() -> None:
    frame = pl.DataFrame({
        "store_id": ["NY"], "valid_local": ["2024-06-03T08:00:00-04:00"], "issued_local": ["2024-06-02T22:00Z"],
        "temperature_c": ["20"],
    })  # fmt: skip
    result = conform(frame, WEATHER, STORES)
    assert result.refused.is_empty()
    assert result.rows.select("valid_utc", "issued_utc").row(0) == (datetime(2024, 6, 3, 12), datetime(2024, 6, 2, 22))
