import csv
import gzip
from collections import defaultdict
from collections.abc import Mapping as Mappable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features.errors import InputError, SchemaError
from daypart.features.pos.lines import MOST_LINES
from daypart.features.pos.mapping import Mapping
from daypart.features.pos.store_hours import SAME_TICKET_HOURS, PosDemand, lines_to_demand

ZONES = pl.DataFrame({
    "store_id": ["NY", "SJ"],
    "timezone": ["America/New_York", "America/St_Johns"],
})  # fmt: skip
COLUMNS = {"store": "Store", "timestamp": "At", "ticket": "No", "quantity": "Qty", "unit_price": "Price"}


def mapping(columns: Mappable[str, Any] = COLUMNS, **settings: Any) -> Mapping:
    return Mapping.from_settings({"columns": columns, **settings})


def count(*rows: tuple[str, str, str, str, str], **settings: Any) -> PosDemand:
    """Demand of lines (store, time, ticket, quantity, price)."""
    lines = pl.DataFrame(rows, schema=["Store", "At", "No", "Qty", "Price"], orient="row")
    return lines_to_demand(lines, mapping(**settings), ZONES)


def hours(result: PosDemand) -> list[tuple[str, int, float, float]]:
    rows = result.demand.to_dicts()
    return [(row["store_id"], row["hour_local"].hour, row["orders"], row["sales"]) for row in rows]


def why(result: PosDemand) -> list[tuple[int, str, str | None, str]]:
    return [(row, column, value, reason) for row, column, value, reason in result.refused.rows()]


def test_tickets_are_counted_and_money_is_summed() -> None:
    result = count(
        ("NY", "2024-01-05 08:10:00", "1", "2", "1.10"),
        ("NY", "2024-01-05 08:10:00", "1", "1", "0.30"),
        ("NY", "2024-01-05 08:59:59", "2", "1", "4"),
        ("SJ", "2024-01-05 08:00:00", "1", "1", "7.5"),
    )
    assert hours(result) == [("NY", 8, 2.0, 6.5), ("SJ", 8, 1.0, 7.5)]
    assert result.demand["hour_utc"].dt.strftime("%H:%M").to_list() == ["13:00", "11:30"]
    assert result.summary.as_dict() == {
        "lines_read": 4, "lines_dropped": {}, "lines_refused": 0, "tickets": 3, "tickets_kept": 3,
        "sales_before_clipping": 14.0, "clipped_sales": 0.0, "clipped_hours": 0,
        "first_day": "2024-01-05", "last_day": "2024-01-05", "open_days": 2,
    }  # fmt: skip


def test_a_ticket_over_the_hour_is_one_order_and_its_money_stays_where_it_was_taken() -> None:
    result = count(
        ("NY", "2024-01-05 09:01:00", "1", "1", "5"),
        ("NY", "2024-01-05 08:58:00", "1", "1", "3"),
    )
    assert hours(result) == [("NY", 8, 1.0, 3.0), ("NY", 9, 0.0, 5.0)]


def test_refunds_net_where_they_happen_and_never_below_nothing() -> None:
    result = count(
        ("NY", "2024-01-05 08:10:00", "1", "3", "2"),
        ("NY", "2024-01-05 08:20:00", "2", "-1", "2"),
        ("NY", "2024-01-05 17:00:00", "1", "-3", "2"),
    )
    assert hours(result) == [("NY", 8, 0.0, 4.0), ("NY", 17, 0.0, 0.0)], "what came back was no order"
    summary = result.summary
    assert (summary.clipped_hours, summary.clipped_sales, summary.sales_before_clipping) == (1, 6.0, -2.0)
    assert (summary.tickets, summary.tickets_kept, summary.open_days) == (2, 0, 0)


def test_numbers_that_start_anew_each_day_are_other_tickets_but_midnight_cuts_none() -> None:
    result = count(
        ("NY", "2024-01-05 23:59:00", "1", "1", "2"),
        ("NY", "2024-01-06 00:01:00", "1", "1", "2"),
        ("NY", "2024-01-07 08:00:00", "1", "1", "2"),
    )
    assert [orders for _, _, orders, _ in hours(result)] == [1.0, 0.0, 1.0]
    summary = result.summary.as_dict()
    assert (summary["first_day"], summary["last_day"], summary["open_days"]) == ("2024-01-05", "2024-01-07", 2)


def test_numbers_that_start_anew_within_a_day_are_other_tickets_but_a_refund_is_not() -> None:
    result = count(
        ("NY", "2024-01-05 07:00:00", "1", "1", "2"),
        ("NY", "2024-01-05 13:00:00", "1", "1", "2"),
        ("NY", "2024-01-05 19:30:00", "1", "0", "2"),
        ("NY", "2024-01-05 19:30:00", "1", "1", "3"),
        ("NY", "2024-01-05 07:00:00", "2", "1", "2"),
        ("NY", "2024-01-05 22:00:00", "2", "-1", "2"),
        ("NY", "2024-01-06 07:00:00", "2", "1", "4"),
        ("NY", "2024-01-06 19:00:00", "3", "1", "4"),
        ("NY", "2024-01-07 07:00:00", "3", "-1", "4"),
    )
    assert [(hour, orders) for _, hour, orders, _ in hours(result)] == [
        (7, 1.0), (13, 0.0), (19, 1.0), (22, 0.0), (7, 1.0), (19, 1.0), (7, 0.0)
    ]  # fmt: skip
    assert (result.summary.tickets, result.summary.tickets_kept) == (6, 4)


TICKETS = st.lists(st.tuples(st.text("A |1", max_size=4), st.text("A |1", max_size=4)), min_size=1, max_size=8)


@given(TICKETS)
def test_several_columns_number_a_ticket_together(numbers: list[tuple[str, str]]) -> None:
    rows = [(f"{till}x", f"{number}x", f"2024-01-05 08:{n:02}:00", "1") for n, (till, number) in enumerate(numbers)]
    lines = pl.DataFrame(rows, schema=["Till", "No", "At", "Net"], orient="row")
    columns = {"timestamp": "At", "ticket": ["Till", "No"], "line_total": "Net"}
    result = lines_to_demand(lines, mapping(columns, store_id="NY"), ZONES)
    assert result.demand["orders"].sum() == len({(till.strip(" "), no.strip(" ")) for till, no, *_ in rows})


def test_a_ticket_without_one_of_its_numbers_is_refused() -> None:
    lines = pl.DataFrame({"At": ["2024-01-05 08:00:00"] * 2, "Till": ["A", ""], "No": ["", "2"]})
    columns = {"timestamp": "At", "ticket": ["Till", "No"]}
    result = lines_to_demand(lines, mapping(columns, store_id="NY"), ZONES)
    assert [(row, column, value) for row, column, value, _ in why(result)] == [(1, "No", None), (2, "Till", None)]
    assert 'is empty; drop such lines, as those of totals, with [[drop]] and equals = [""]' in why(result)[0][3]


@pytest.mark.parametrize("ids", [["1.3E+18"], ["1,3e+18"], [1300000015734303115.0]])
def test_an_id_that_a_spreadsheet_cut_short_is_refused(ids: list[Any]) -> None:
    lines = pl.DataFrame({"At": ["2024-01-05 08:00:00"], "No": ids})
    result = lines_to_demand(lines, mapping({"timestamp": "At", "ticket": "No"}, store_id="NY"), ZONES)
    assert "a spreadsheet has cut short: export it anew, as text" in why(result)[0][3]


def test_a_column_that_numbers_no_tickets_is_refused() -> None:
    at = pl.Series("At", ["2024-01-05 08:00:00"] * MOST_LINES + ["2024-01-06 08:00:00"])
    lines = pl.DataFrame([at, pl.Series("No", ["1"] * (MOST_LINES + 1))])
    columns = {"timestamp": "At", "ticket": "No"}
    result = lines_to_demand(lines, mapping(columns, store_id="NY"), ZONES)
    assert (result.demand["orders"].sum(), result.summary.lines_refused) == (1.0, MOST_LINES)
    assert "is on 1,000 lines or more of one day: map the column" in why(result)[0][3]
    assert lines_to_demand(lines[1:], mapping(columns, store_id="NY"), ZONES).refused.is_empty()


WORDS = {"ticket": "No", "date": "Day", "time": "At", "quantity": "Qty", "unit_price": "Price", "item": "What",
         "store": "Store", "timezone": "Zone"}  # fmt: skip
CELLS = {"No": "1", "Day": "2024-01-05", "At": "08:10", "Qty": "2", "Price": "3", "What": "Tea", "Store": "NY",
         "Zone": "America/New_York"}  # fmt: skip


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("pair", [pair for pair in combinations(WORDS, 2) if "store" not in pair])
def test_two_words_may_name_one_column(pair: tuple[str, str], typed: bool) -> None:
    columns = {**WORDS, pair[0]: WORDS[pair[1]]}
    lines = pl.DataFrame({name: [cell] * 2 for name, cell in CELLS.items()})
    if typed:
        times = [pl.col("Day").str.to_date(), pl.col("At").str.to_time("%H:%M")]
        lines = lines.with_columns(pl.col("No", "Qty", "Price").cast(pl.Int64), *times)
    try:
        result = lines_to_demand(lines, mapping(columns), ZONES)
    except SchemaError:  # such as prices of dates: refused by the column's name
        return
    assert result.summary.lines_read == 2
    assert result.demand["orders"].sum() == (0.0 if result.refused.height else 1.0)
    if pair[0] == "ticket":
        assert result.refused.is_empty()


def test_a_line_of_totals_is_dropped_by_its_empty_cell() -> None:
    lines = pl.DataFrame({"At": ["2024-01-05 08:00:00", "Total"], "No": [1.0, None], "Net": ["2", "2"]})
    columns = {"timestamp": "At", "ticket": "No", "line_total": "Net"}
    settings: dict[str, Any] = {"columns": columns, "store_id": "NY"}
    result = lines_to_demand(
        lines, Mapping.from_settings({**settings, "drop": [{"column": "No", "equals": [""]}]}), ZONES
    )
    assert (result.summary.lines_dropped, result.demand["sales"].to_list()) == ({"No is empty": 1}, [2.0])
    result = lines_to_demand(
        lines, Mapping.from_settings({**settings, "drop": [{"column": "No", "equals": ["1", "7"]}]}), ZONES
    )
    assert result.summary.lines_dropped == {"No is 1 or 7": 1}, "a number is as people write it"


def test_dropped_lines_are_not_read_at_all() -> None:
    drop = [{"column": "No", "equals": ["VOID", 7]}]
    result = count(
        ("NY", "whenever", "VOID", "", "x"),
        ("NY", "2024-01-05 08:10:00", "7", "1", "2"),
        ("NY", "2024-01-05 08:10:00", "8", "1", "2"),
        drop=drop,
    )
    assert hours(result) == [("NY", 8, 1.0, 2.0)]
    assert result.summary.lines_dropped == {"No is VOID or 7": 2}


def test_without_prices_any_kept_line_makes_an_order() -> None:
    lines = pl.DataFrame({
        "Date": ["05/01/24", "05/01/24", "05/01/24"], "Time": ["8:10 AM", "8:10 AM", "1:05 PM"],
        "No": [1, 1, 2], "Item": ["Bread", None, "NONE"],
    })  # fmt: skip
    columns = {"date": "Date", "time": "Time", "ticket": "No", "item": "Item"}
    result = lines_to_demand(
        lines,
        mapping(
            columns,
            store_id="NY",
            formats={"date": "%d/%m/%y", "time": "%I:%M %p"},
            drop=[{"column": "Item", "equals": ["NONE"]}],
        ),
        ZONES,
    )
    assert result.demand.columns == ["store_id", "hour_local", "hour_utc", "orders"]
    assert result.demand["hour_local"].to_list() == [datetime(2024, 1, 5, 8)]  # noqa: DTZ001
    assert result.summary.lines_dropped == {"Item is NONE": 1, "Item is empty": 1}
    assert result.summary.sales_before_clipping is None


@pytest.mark.parametrize(
    ("decimal", "written", "price"),
    [
        (",", "3,50 €", 3.5),
        (",", "1.234,50", 1234.5),
        (",", "1 234,5", 1234.5),
        (".", "$1,234.50", 1234.5),
        (".", "CHF 2", 2.0),
        (".", "CHF 1\u2019234.50", 1234.5),
        (".", "12.-", 12.0),
        (".", "CA$5.00", 5.0),
        (".", "-A$5.00", -5.0),
        (".", "R$(2.50)", -2.5),
        (".", "Rs. 1,00,000.00", 100000.0),
        (".", "US$ 5.00 USD", 5.0),
        (".", "5.00 kr.", 5.0),
        (",", "kr. 1.234,50", 1234.5),
        (",", "-kr 5", -5.0),
        (",", "4,50 zł", 4.5),
        (",", "5,-", 5.0),
        (",", "1\u202f234,50 €", 1234.5),
        (".", "\u200e5", 5.0),
        (".", "5€50", None),
        (".", "12 50", None),
        (".", "12,34", None),
        (".", "5 pcs", None),
        (".", "1.5K", None),
        (".", "krona 5", None),
        (".", "R$", None),
        (".", "(2.50)", -2.5),
        (".", "2.50-", -2.5),
        (".", "\u22122.5", -2.5),
        (".", "3.5999999999999996", 3.6),
        (".", "1e2", 100.0),
        (".", "3,50", None),
        (",", "3.50", None),
        (".", "inf", None),
        (".", "two", None),
        (".", "1e13", None),
        (".", "", None),
    ],
)
def test_money_is_read_as_written(decimal: str, written: str, price: float | None) -> None:
    result = count(
        ("NY", "2024-01-05 08:10:00", "1", "1", "5000" if decimal == "," else "5000.0"),
        ("NY", "2024-01-05 08:10:00", "2", "1", written),
        decimal=decimal,
    )
    if price is None:
        assert [(row, column) for row, column, *_ in why(result)] in ([(2, "Price")], [(2, "Qty")])
        assert result.demand["sales"].to_list() == [5000.0]
    else:
        assert result.refused.is_empty()
        assert result.demand["sales"].to_list() == [5000.0 + price]


def test_lines_that_cannot_be_are_refused_with_row_and_value() -> None:
    result = count(
        ("NY", "2024-01-05 08:10", "1", "1", "2"),
        ("NY", "05.01.2024 08:10", "1", "1", "2"),
        ("NY", "2024-03-10 02:10:00", "1", "1", "2"),
        ("NY", "2024-11-03 01:10:00", "1", "1", "2"),
        ("", "2024-01-05 08:10:00", "", "1", "2"),
        ("NY", "0024-01-05 08:10:00", "1", "1", "2"),
    )
    assert [(row, column, value) for row, column, value, _ in why(result)] == [
        (2, "At", "05.01.2024 08:10"),
        (3, "At", "2024-03-10 02:10:00"),
        (4, "At", "2024-11-03 01:10:00"),
        (5, "No", None),
        (5, "Store", None),
        (6, "At", "0024-01-05 08:10:00"),
    ]
    assert "does not exist" in why(result)[1][3]
    assert "set repeated_hour" in why(result)[2][3]
    assert result.summary.lines_refused == 5
    assert hours(result) == [("NY", 8, 1.0, 2.0)]


@pytest.mark.parametrize(("which", "utc_hour"), [("first", 5), ("second", 6)])
def test_the_mapping_settles_the_hour_that_repeats(which: str, utc_hour: int) -> None:
    result = count(("NY", "2024-11-03 01:10:00", "1", "1", "2"), repeated_hour=which)
    assert result.demand["hour_utc"].to_list() == [datetime(2024, 11, 3, utc_hour)]  # noqa: DTZ001


def test_stamps_that_say_the_instant_need_no_settling() -> None:
    columns = {"timestamp": "At", "ticket": "No"}
    expected = [datetime(2024, 11, 3, 6)]  # noqa: DTZ001
    text = pl.DataFrame({"At": ["2024-11-03T01:10:00-0500"], "No": ["1"]})
    as_text = mapping(columns, store_id="NY", formats={"timestamp": "%Y-%m-%dT%H:%M:%S%z"})
    assert lines_to_demand(text, as_text, ZONES).demand["hour_utc"].to_list() == expected
    typed = pl.DataFrame({"At": [datetime(2024, 11, 3, 6, 10, tzinfo=UTC)], "No": [1]})
    as_typed = mapping(columns, store_id="NY")
    assert lines_to_demand(typed, as_typed, ZONES).demand["hour_utc"].to_list() == expected


def test_typed_columns_count_as_text_does() -> None:
    columns = {"date": "day", "time": "clock", "ticket": "no", "line_total": "total"}
    typed = pl.DataFrame({
        "day": [date(2024, 1, 5)] * 2, "clock": [time(8, 10), time(9, 0)],
        "no": [1, 2], "total": pl.Series([1.5, 2.5], dtype=pl.Float32),
    })  # fmt: skip
    result = lines_to_demand(typed, mapping(columns, store_id="NY"), ZONES)
    as_text = lines_to_demand(typed.cast(pl.String), mapping(columns, store_id="NY"), ZONES)
    assert_frame_equal(result.demand, as_text.demand)
    assert hours(result) == [("NY", 8, 1.0, 1.5), ("NY", 9, 1.0, 2.5)]


def test_columns_and_stores_that_are_not_there_are_named() -> None:
    lines = pl.DataFrame({"Store": ["LA"], "At": ["2024-01-05 08:10:00"], "No": ["1"], "Qty": ["1"]})
    with pytest.raises(SchemaError, match="no column Price in the export, which has Store, At, No, Qty"):
        lines_to_demand(lines, mapping(), ZONES)
    with pytest.raises(InputError, match="store LA not in stores: ingest stores first"):
        lines_to_demand(lines.with_columns(Price=pl.lit("1")), mapping(), ZONES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": COLUMNS, "delimeter": ";"}, "delimeter: Extra inputs are not permitted"),
        ({"columns": {**COLUMNS, "tickets": "No"}}, "columns.tickets: Extra"),
        ({"columns": {**COLUMNS, "date": "Date"}}, "either timestamp or both date and time"),
        (
            {"columns": {"ticket": "No", "date": "Date", "store": "S"}},
            "either timestamp or both date and time",
        ),
        ({"columns": {**COLUMNS, "line_total": "Sum"}}, "either unit_price or line_total"),
        ({"columns": COLUMNS, "store_id": "NY"}, "either store_id or columns.store"),
        ({"columns": COLUMNS, "decimal": ";"}, "decimal: "),
        ({"columns": COLUMNS, "repeated_hour": "third"}, "repeated_hour: "),
        ({"columns": COLUMNS, "missing_hour": "first"}, "missing_hour: "),
        ({"columns": COLUMNS, "drop": [{"column": "No", "equals": []}]}, "drop.0.equals: "),
        ({"columns": {**COLUMNS, "ticket": []}}, "columns.ticket: "),
        ({"columns": {**COLUMNS, "ticket": ["No", "No"]}}, "ticket names one column twice"),
        ({"columns": {"timestamp": "At"}, "store_id": "NY"}, "columns.ticket: .* name the column of the time"),
        ({"columns": COLUMNS, "timezone": "Nowhere"}, "timezone: 'Nowhere' is no time zone such as"),
        ({"columns": {**COLUMNS, "timezone": "Z"}, "timezone": "UTC"}, "either timezone or columns.timezone"),
        ({"columns": COLUMNS, "formats": {"date": "%F%z"}}, "formats.date: .* has an offset"),
        ({"columns": COLUMNS, "skip_lines": -1}, "skip_lines: "),
        ({}, "columns: Field required"),
    ],
)
def test_a_wrong_mapping_is_told_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        Mapping.from_settings(settings)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("mapping: ")


LINES = st.lists(
    st.tuples(
        st.sampled_from(["NY", "SJ"]),
        st.integers(0, 60 * 60),  # minutes into sixty hours
        st.sampled_from(["1", "2", "3", "VOID"]),
        st.integers(-3, 5),
        st.integers(0, 999),
    ),
    min_size=1,
    max_size=40,
)
START = datetime(2024, 5, 5, 12)  # noqa: DTZ001


def reference(lines: list[tuple[str, int, str, int, int]]) -> dict[tuple[str, datetime], list[int]]:
    """Orders and cents by store and local hour: the plain reading, one line after the other."""
    cells: dict[tuple[str, datetime], list[int]] = defaultdict(lambda: [0, 0])
    runs: dict[tuple[str, str], list[list[tuple[datetime, int]]]] = defaultdict(list)
    for store, minutes, number, quantity, cents in sorted(lines, key=lambda line: line[1]):
        if number == "VOID":
            continue
        at = START + timedelta(minutes=minutes)
        cells[store, at.replace(minute=0)][1] += quantity * cents
        same = runs[store, number]
        if same and at - same[-1][-1][0] <= timedelta(hours=SAME_TICKET_HOURS):
            same[-1].append((at, quantity * cents))
        else:
            same.append([(at, quantity * cents)])
    for (store, _), of_number in runs.items():
        tickets: list[list[tuple[datetime, int]]] = []
        for run in of_number:
            refund = sum(cents for _, cents in run) <= 0
            if tickets and refund and tickets[-1][-1][0].date() == run[0][0].date():
                tickets[-1] += run
            else:
                tickets.append(run)
        for ticket in tickets:
            if sum(cents for _, cents in ticket) > 0:
                cells[store, ticket[0][0].replace(minute=0)][0] += 1
    return cells


@given(LINES)
def test_lines_become_what_the_plain_reading_says(lines: list[tuple[str, int, str, int, int]]) -> None:
    rows = [
        (
            store,
            (START + timedelta(minutes=at)).strftime("%Y-%m-%d %H:%M:%S"),
            no,
            str(qty),
            f"{cents / 100:.2f}",
        )
        for store, at, no, qty, cents in lines
    ]
    result = count(*rows, drop=[{"column": "No", "equals": ["VOID"]}])
    expected = reference(lines)
    got = {(row["store_id"], row["hour_local"]): row for row in result.demand.to_dicts()}
    assert result.demand.height == len(got)
    assert {key: int(row["orders"]) for key, row in got.items()} == {k: v[0] for k, v in expected.items()}
    assert {key: row["sales"] for key, row in got.items()} == {k: max(0, v[1]) / 100 for k, v in expected.items()}
    for (store, local), row in got.items():
        zone = ZoneInfo(dict(ZONES.rows())[store])
        assert row["hour_utc"] == local.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
    assert result.summary.clipped_hours == sum(v[1] < 0 for v in expected.values())
    assert result.summary.tickets_kept == sum(v[0] for v in expected.values())
    assert result.summary.lines_dropped["No is VOID"] == sum(line[2] == "VOID" for line in lines)
    shuffled = count(*reversed(rows), drop=[{"column": "No", "equals": ["VOID"]}])
    assert_frame_equal(shuffled.demand, result.demand)


def test_the_french_bakery_reconciles_to_the_millionth(real_data: Path) -> None:
    path = real_data / "french_bakery" / "pos_lines.csv.gz"
    tickets: dict[str, Decimal] = defaultdict(Decimal)
    cells: dict[str, Decimal] = defaultdict(Decimal)
    day_of: dict[str, str] = {}
    with gzip.open(path, "rt", newline="") as file:
        for line in csv.DictReader(file):
            total = Decimal(line["item_order_total"]).quantize(Decimal("0.000001"))
            tickets[line["ticket_number"]] += total
            cells[line["date"] + line["time"][:2]] += total
            day_of[line["ticket_number"]] = line["date"]
    orders = [number for number, total in tickets.items() if total > 0]
    columns = {"date": "date", "time": "time", "ticket": "ticket_number", "line_total": "item_order_total"}
    zones = pl.DataFrame({"store_id": ["B"], "timezone": ["Europe/Paris"]})
    result = lines_to_demand(pl.read_csv(path, infer_schema=False), mapping(columns, store_id="B"), zones)
    summary = result.summary
    assert result.refused.is_empty()
    assert summary.lines_read == 234_005
    assert (summary.tickets, summary.tickets_kept) == (len(tickets), len(orders))
    assert result.demand["orders"].sum() == len(orders)
    assert summary.open_days == len({day_of[number] for number in orders})
    assert summary.sales_before_clipping == float(sum(cells.values()))
    clipped = [-total for total in cells.values() if total < 0]
    assert (summary.clipped_hours, summary.clipped_sales) == (len(clipped), float(sum(clipped)))
    exact = sum((Decimal(repr(sales)) for sales in result.demand["sales"].to_list()), Decimal())
    assert exact == sum(total for total in cells.values() if total > 0)


def test_bread_basket_counts_transactions_that_hold_an_item(real_data: Path) -> None:
    path = real_data / "bread_basket" / "pos_lines.csv"
    with path.open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["Item"] != "NONE"]
    columns = {"date": "Date", "time": "Time", "ticket": "Transaction", "item": "Item"}
    drop = [{"column": "Item", "equals": ["NONE"]}]
    zones = pl.DataFrame({"store_id": ["E"], "timezone": ["Europe/London"]})
    lines_map = mapping(columns, store_id="E", drop=drop)
    result = lines_to_demand(pl.read_csv(path, infer_schema=False), lines_map, zones)
    assert result.demand["orders"].sum() == len({line["Transaction"] for line in lines})
    assert result.summary.open_days == len({line["Date"] for line in lines})
    assert result.summary.lines_dropped["Item is NONE"] == result.summary.lines_read - len(lines)
