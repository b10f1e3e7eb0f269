from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features.errors import InputError, SchemaError
from daypart.features.tables.conform import ConformedTable, conform
from daypart.features.tables.schemas import TABLES

ZONES = pl.DataFrame({
    "store_id": ["NY", "SJ", "101"],
    "timezone": ["America/New_York", "America/St_Johns", "UTC"],
})  # fmt: skip
DEMAND = TABLES["demand"]


def moment(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[misc, arg-type]  # noqa: DTZ001


def demand(**columns: list[Any]) -> ConformedTable:
    return conform(pl.DataFrame(columns), DEMAND, ZONES)


def reasons(conformed: ConformedTable) -> list[tuple[int, str, str | None, str]]:
    return [(row, column, value, reason) for row, column, value, reason in conformed.refused.rows()]


def one_reason(conformed: ConformedTable) -> str:
    assert conformed.refused.height == 1, conformed.refused
    assert conformed.rows.is_empty()
    return str(conformed.refused["reason"].item())


def test_text_becomes_the_table_with_both_clocks() -> None:
    conformed = demand(
        store_id=["NY", " SJ ", "101"],
        hour_local=["2024-01-05 08:00:00", "2024-07-05T09:00", "2024-01-05 08:00:00.000000"],
        orders=["12", " 3 ", ""],
        sales=["1e2", "", "7.5"],
    )
    assert conformed.refused.is_empty()
    assert dict(conformed.rows.schema) == DEMAND.schema
    assert conformed.rows.rows() == [
        ("NY", moment(2024, 1, 5, 8), moment(2024, 1, 5, 13), 12.0, 100.0),
        ("SJ", moment(2024, 7, 5, 9), moment(2024, 7, 5, 11, 30), 3.0, None),
        ("101", moment(2024, 1, 5, 8), moment(2024, 1, 5, 8), None, 7.5),
    ]


def test_typed_cells_become_the_same_table() -> None:
    frame = pl.DataFrame({
        "store_id": pl.Series([101, 101], dtype=pl.Int32),
        "hour_utc": pl.Series([moment(2024, 1, 5, 8), moment(2024, 1, 5, 9)], dtype=pl.Datetime("ns", "UTC")),
        "orders": pl.Series([3, None], dtype=pl.UInt8),
        "sales": pl.Series([0.5, 0.25], dtype=pl.Float32),
    })  # fmt: skip
    conformed = conform(frame, DEMAND, ZONES)
    assert dict(conformed.rows.schema) == DEMAND.schema
    assert conformed.rows.rows() == [
        ("101", moment(2024, 1, 5, 8), moment(2024, 1, 5, 8), 3.0, 0.5),
        ("101", moment(2024, 1, 5, 9), moment(2024, 1, 5, 9), None, 0.25),
    ]
    as_category = frame.with_columns(pl.col("store_id").cast(pl.String).cast(pl.Categorical))
    as_float = frame.with_columns(pl.col("store_id").cast(pl.Float64))
    assert_frame_equal(conform(as_category, DEMAND, ZONES).rows, conformed.rows)
    assert_frame_equal(conform(as_float, DEMAND, ZONES).rows, conformed.rows)


def test_a_local_time_with_its_zone_says_the_instant() -> None:
    second_one = datetime(2024, 11, 3, 1, fold=1, tzinfo=ZoneInfo("America/New_York"))
    conformed = demand(store_id=["NY"], hour_local=[second_one], orders=[1])
    assert conformed.rows["hour_utc"].to_list() == [moment(2024, 11, 3, 6)]
    labelled_utc = datetime(2024, 6, 3, 9, tzinfo=UTC)
    assert "not the same moment" in one_reason(demand(store_id=["NY"], hour_local=[labelled_utc], orders=[1]))


@pytest.mark.parametrize("written", ["2024-11-03 06:00:00", "2024-11-03T06:00:00Z", "2024-11-03 08:00:00+02:00"])
def test_utc_settles_the_hour_that_repeats(written: str) -> None:
    conformed = demand(
        store_id=["NY", "NY"],
        hour_local=["2024-11-03 01:00:00", ""],
        hour_utc=[written, "2024-11-03 05:00:00"],
        orders=["1", "2"],
    )
    assert conformed.rows["hour_local"].to_list() == [moment(2024, 11, 3, 1)] * 2
    assert conformed.rows["hour_utc"].to_list() == [moment(2024, 11, 3, 6), moment(2024, 11, 3, 5)]


def test_hours_that_the_clock_skips_or_repeats_are_refused() -> None:
    conformed = demand(
        store_id=["NY", "NY", "101"],
        hour_local=["2024-03-10 02:00:00", "2024-11-03 01:00:00", "2024-11-03 01:00:00"],
        orders=["1", "1", "1"],
    )
    assert conformed.rows["store_id"].to_list() == ["101"]
    never, twice = reasons(conformed)
    assert never[:3] == (1, "hour_local", "2024-03-10 02:00:00")
    assert "does not exist" in never[3]
    assert twice[:3] == (2, "hour_local", "2024-11-03 01:00:00")
    assert "exists twice" in twice[3]
    assert "give hour_utc" in twice[3]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("store_id", "", "is empty"),
        ("store_id", "LA", "is not in stores"),
        ("hour_local", "", "is empty"),
        ("hour_local", "05/01/2024 08:00", "is not a time written"),
        ("hour_local", "2024-01-05", "is not a time written"),
        ("hour_local", "2024-02-30 08:00:00", "is not a time written"),
        ("hour_local", "2024-01-05 08:30:00", "is not on the full hour"),
        ("hour_local", "0024-01-05 08:00:00", "is before 1900"),
        ("orders", "-1", "is below 0"),
        ("orders", "twelve", "is not a number"),
        ("orders", "inf", "is not finite"),
        ("orders", "nan", "is not finite"),
        ("orders", "", "is empty, and one of orders, sales is needed"),
    ],
)
def test_a_cell_that_cannot_be_is_refused_with_row_and_value(column: str, value: str, reason: str) -> None:
    good = {"store_id": "NY", "hour_local": "2024-01-05 08:00:00", "orders": "1"}
    frame = pl.DataFrame([good, {**good, "hour_local": "2024-01-05 09:00:00", column: value}])
    conformed = conform(frame, DEMAND, ZONES)
    assert conformed.rows.height == 1
    (row, at, shown, why) = reasons(conformed)[0]
    assert (row, at, shown) == (2, column, value or None)
    assert why.startswith(reason)
    assert conformed.refused.height == 1


def test_blank_lines_are_no_rows_but_are_counted() -> None:
    conformed = demand(
        store_id=["NY", "", "NY"],
        hour_local=["2024-01-05 08:00:00", "", "2024-01-05 09:00:00"],
        orders=["1", "", "-1"],
    )
    assert conformed.rows.height == 1
    assert conformed.refused["row"].to_list() == [3]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["store_id", "hour_local", "order"], "unknown column 'order'; did you mean orders?"),
        (["store_id", "orders"], "missing hour_local or hour_utc"),
        (["hour_utc", "orders"], "missing store_id"),
        (["store_id", "hour_utc"], "needs one of orders, sales"),
    ],
)
def test_faults_of_columns_are_named(columns: list[str], message: str) -> None:
    frame = pl.DataFrame({name: ["1"] for name in columns})
    with pytest.raises(SchemaError, match=message.replace("?", r"\?")):
        conform(frame, DEMAND, ZONES)


def test_no_rows_and_types_that_cannot_be_are_faults_of_the_file() -> None:
    with pytest.raises(SchemaError, match="found no rows"):
        demand(store_id=[], hour_utc=[], orders=[])
    with pytest.raises(SchemaError, match="orders holds Boolean, expected count"):
        demand(store_id=["NY"], hour_utc=["2024-01-05 08:00:00"], orders=[True])
    with pytest.raises(InputError, match="ingest stores first"):
        conform(pl.DataFrame({"store_id": ["NY"], "hour_utc": ["x"], "orders": ["1"]}), DEMAND)


def test_repeats_collapse_and_contradictions_are_refused() -> None:
    conformed = demand(
        store_id=["NY", "NY", "NY", "NY"],
        hour_local=["2024-01-05 08:00:00", "2024-01-05 08:00", "2024-01-05 09:00:00", "2024-01-05 09:00:00"],
        orders=["1", "1.0", "2", "3"],
    )
    assert conformed.rows["orders"].to_list() == [1.0]
    assert conformed.collapsed == 1
    assert conformed.refused["row"].to_list() == [3, 4]
    assert conformed.refused["value"].to_list() == ["NY, 2024-01-05 14:00:00.000000"] * 2
    assert conformed.refused["reason"].unique().to_list() == ["disagrees with another row of the same key"]


def table(name: str, /, **cells: Any) -> ConformedTable:
    return conform(pl.DataFrame({column: [cell] for column, cell in cells.items()}), TABLES[name], ZONES)


def test_stores_need_a_zone_that_exists() -> None:
    store = {"store_id": "NY", "country": "US"}
    assert table("stores", **store, timezone="America/New_York").refused.is_empty()
    assert "IANA" in one_reason(table("stores", **store, timezone="Mars/Olympus"))
    assert one_reason(table("stores", **store, timezone="UTC", latitude="91")) == "is above 90"
    closed = {"opened_on": "2024-05-02", "closed_on": "2024-05-01"}
    assert one_reason(table("stores", **store, timezone="UTC", **closed)) == "is before opened_on"
    namibia = table("stores", store_id="W", country="NA", timezone="Africa/Windhoek")
    assert namibia.rows["country"].to_list() == ["NA"]


@pytest.mark.parametrize(
    ("opens", "closes", "becomes"),
    [("07:00", "24:00", "00:00"), ("7:00", "01:30", "01:30"), ("07:00:00", time(22, 0), "22:00")],
)
def test_opening_hours_are_written_one_way(opens: str, closes: Any, becomes: str) -> None:
    conformed = table("hours", store_id="NY", weekday="1", opens=opens, closes=closes)
    assert conformed.rows.select("weekday", "opens", "closes").row(0) == (1, "07:00", becomes)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("opens", "25:00", "HH:MM"),
        ("opens", "7", "HH:MM"),
        ("closes", "19:60", "HH:MM"),
        ("weekday", "0", "is below 1"),
        ("weekday", "8", "is above 7"),
        ("weekday", "1.5", "is not a whole number"),
        ("weekday", "Moonday", "is not a whole number"),
        ("weekday", "300", "is not a whole number"),
        ("valid_from", "01.05.2024", "is not a date written YYYY-MM-DD"),
    ],
)
def test_opening_hours_that_cannot_be_are_refused(column: str, value: str, reason: str) -> None:
    good = {"store_id": "NY", "weekday": "1", "opens": "07:00", "closes": "19:00", "valid_from": "2024-01-01"}
    assert reason in one_reason(table("hours", **{**good, column: value}))


def test_events_end_after_they_start_and_need_a_clock_only_for_utc() -> None:
    chain = {"name": "sale", "kind": "promotion", "starts_local": "2024-03-10 02:30:00"}
    conformed = table("events", **chain, ends_local="2024-03-12 00:00:00")
    assert conformed.refused.is_empty(), "an event of the whole chain may start at a time that one clock skips"
    assert one_reason(table("events", **chain, ends_local="2024-03-09 00:00:00")) == "is before starts_local"
    utc = {"name": "sale", "kind": "promotion", "starts_utc": "2024-03-10 12:00:00"}
    ends = {"ends_local": "2024-03-12 00:00:00"}
    assert "give starts_local" in one_reason(table("events", **utc, **ends))
    assert table("events", **utc, **ends, store_id="NY").rows["starts_local"].item() == moment(2024, 3, 10, 8)
    assert "not in stores" in one_reason(table("events", **chain, **ends, store_id="LA"))


def test_macro_is_released_after_it_was_observed() -> None:
    cells = {"series": "CPI", "observation_date": date(2024, 5, 1), "value": "313.2"}
    assert table("macro", **cells, released_on="2024-06-12 00:00:00").refused.is_empty()
    assert one_reason(table("macro", **cells, released_on="2024-04-30")) == "is before observation_date"
    assert one_reason(table("macro", **{**cells, "value": ""}, released_on="2024-06-12")) == "is empty"


def test_weather_may_be_issued_on_either_clock() -> None:
    cells = {"store_id": "NY", "valid_local": "2024-06-02 12:00:00", "temperature_c": "21.5"}
    conformed = table("weather", **cells, issued_local="2024-06-01 05:10:00")
    assert conformed.rows["issued_utc"].item() == moment(2024, 6, 1, 9, 10)
    observed = table("weather", **cells)
    assert observed.rows["issued_utc"].item() is None
    assert "exists twice" in one_reason(table("weather", **cells, issued_local="2023-11-05 01:10:00"))
    assert one_reason(table("weather", **{**cells, "temperature_c": "70"})) == "is above 60"


CELLS = st.sampled_from(["", "NY", "SJ", "LA", "1", "-1", "2.5", "nan", "2024-03-10 02:00:00",
                         "2024-11-03 01:00:00", "2024-11-03 06:00:00", "2024-05-05 10:00:00"])  # fmt: skip


@given(
    st.lists(st.sampled_from(DEMAND.names[1:4]), unique=True, max_size=3),
    st.lists(st.tuples(*[CELLS] * 5), min_size=1, max_size=12),
)
def test_whatever_comes_is_taken_once_or_refused_and_taken_rows_stay(
    names: list[str], rows: list[tuple[str, ...]]
) -> None:
    frame = pl.DataFrame(rows, schema=DEMAND.names, orient="row").select("store_id", *names)
    try:
        conformed = conform(frame, DEMAND, ZONES)
    except SchemaError:
        return
    blank = frame.select(pl.all_horizontal(pl.all() == "")).to_series().sum()
    assert conformed.rows.height + conformed.refused["row"].n_unique() + conformed.collapsed + blank == frame.height
    assert conformed.rows.select(DEMAND.key).is_unique().all()
    assert conformed.rows.select("store_id", "hour_local", "hour_utc").null_count().sum_horizontal().item() == 0
    if not conformed.rows.is_empty():
        again = conform(conformed.rows, DEMAND, ZONES)
        assert again.refused.is_empty()
        assert_frame_equal(again.rows, conformed.rows)
