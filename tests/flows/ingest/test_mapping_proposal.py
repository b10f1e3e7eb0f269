"""A mapping proposed for an export reads it as the mapping that a person wrote for it does."""

import tomllib
from collections.abc import Mapping as Mappable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xlsxwriter import Workbook

from daypart.features.errors import InputError
from daypart.features.pos.mapping import Mapping
from daypart.features.pos.store_hours import lines_to_demand
from daypart.flows.files.pos_files import read_export
from daypart.flows.ingest.ingest import ingest_pos, ingest_table, read_mapping
from daypart.flows.ingest.mapping_proposal import guess_pos
from daypart.flows.lake.lake import Lake
from tests.flows.conftest import home_of

ZONE = "America/New_York"


def guess(folder: Path, content: str | bytes, name: str = "export.csv") -> tuple[Mapping, list[str], Path]:
    """The mapping proposed, as read back from its TOML, its doubts, and the file."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    proposal = guess_pos(home_of(Lake(folder / "home" / "lake")), [path])
    assert not (folder / "home").exists(), "nothing is written"
    return Mapping.from_settings(tomllib.loads(proposal.toml)), proposal.doubts, path


def demand(path: Path, mapping: Mapping) -> list[tuple[Any, ...]]:
    lines = read_export(path, mapping)
    stores = lines[mapping.columns.store] if mapping.columns.store else pl.Series([mapping.store_id])
    zones = stores.drop_nulls().unique().to_frame("store_id").with_columns(timezone=pl.lit(ZONE))
    converted = lines_to_demand(lines, mapping, zones)
    assert converted.refused.is_empty(), converted.refused.row(0)
    return converted.demand.select("store_id", "hour_local", "orders", *converted.demand.columns[4:]).rows()


SQUARE = """Date,Time,Time Zone,Category,Item,Qty,Gross Sales,Discounts,Net Sales,Tax,Transaction ID,Event Type,Location
2026-07-18,12:59:30,Eastern Time (US & Canada),None,Tea,1.0,$8.00,$0.00,$8.00,$0.62,T2,Payment,Lake
2026-07-18,12:59:30,Eastern Time (US & Canada),None,Catering,1.0,"$1,000.00",$0.00,"$1,000.00",$0,T2,Payment,Lake
2026-07-19,09:00:00,Eastern Time (US & Canada),None,Mug,-1.0,-$18.00,$3.00,-$15.00,-$1.2,T1,Refund,Lake
"""
TOAST = """Location,Order Id,Sent Date,Order Date,Check Id,Menu Item,Gross Price,Discount,Net Price,Qty,Void?
High Street,13001,10/8/26 5:18 PM,10/8/26 5:17 PM,13002,Tea,20.00,0.00,20.00,1.0,false
High Street,13001,10/8/26 5:18 PM,10/8/26 5:17 PM,13003,Cake,16.00,4.00,12.00,1.0,false
High Street,13005,10/8/26 9:00 PM,10/8/26 9:00 PM,13004,Tea,20.00,0.00,20.00,1.0,true
High Street,13006,10/9/26 12:10 AM,10/9/26 12:09 AM,13007,Tea,20.00,20.00,0.00,1.0,false
"""
LOYVERSE = """Date,Receipt number,Receipt type,Category,SKU,Item,Quantity,Gross sales,Discounts,Net sales,POS,Store,Status
01/10/2026 23:50,2-1678,Sale,FOOD,1,Choco,1.000,15.00,0.00,15.00,POS 2,Lake,Closed
10/01/2026 09:20,1-2,Refund,FOOD,1,"Brake, Pad",1,-25.00,0.00,-25.00,POS 1,Lake,Closed
10/01/2026 09:25,1-3,Sale,FOOD,1,Tea,1,5.00,0.00,5.00,POS 1,Lake,Cancelled
"""
SHOPIFY = """Name,Email,Financial Status,Subtotal,Total,Lineitem quantity,Lineitem name,Lineitem price,Created at,Location
#1001,a@b,paid,9.00,9.90,2,Bun,2.00,2026-05-26 08:00:00 -0700,
#1001,,,,,1,Loaf,5.00,2026-05-26 08:00:00 -0700,
#1002,a@b,paid,5.00,5.50,1,Loaf,5.00,2026-05-26 09:00:00 -0700,
"""
CLOVER = """Line Item Date,Order ID,Order Employee Name,Item Name,Item Revenue,Total Revenue,Refunded
18-Oct-2025 07:48 AM EDT,A1,Ann,Tea,3.00,3.00,No
18-Oct-2025 07:48 AM EDT,A1,Ann,Bun,2.00,2.00,Yes
19-Oct-2025 01:05 PM EDT,A2,Ann,Bun,2.00,2.00,No
"""
LIGHTSPEED = """Date,Receipt Number,Line Type,Details,Quantity,Subtotal,Sales Tax,Register,Status
2026-05-26 08:00:00,17,Sale,,1,7.00,0.70,Main,CLOSED
2026-05-26 08:00:00,17,Sale Line,Bun,1,7.00,0.70,Main,CLOSED
2026-05-26 08:00:00,17,Payment,Cash,,7.70,,Main,CLOSED
2026-05-26 08:10:00,18,Sale Line,Bun,1,7.00,0.70,Main,VOIDED
"""
SHAPES: Mappable[str, tuple[str, dict[str, Any], list[tuple[Any, ...]]]] = {
    "Square items": (SQUARE, {}, [
        ("Lake", datetime(2026, 7, 18, 12), 1.0, 1008.0), ("Lake", datetime(2026, 7, 19, 9), 0.0, 0.0)]),
    "Toast item selections": (TOAST, {"formats": {"timestamp": "%m/%d/%y %I:%M %p"}}, [
        ("High Street", datetime(2026, 10, 8, 17), 2.0, 32.0), ("High Street", datetime(2026, 10, 9, 0), 0.0, 0.0)]),
    "Loyverse receipts by item": (LOYVERSE, {"formats": {"timestamp": "%d/%m/%Y %H:%M"}}, [
        ("Lake", datetime(2026, 1, 10, 9), 0.0, 0.0), ("Lake", datetime(2026, 10, 1, 23), 1.0, 15.0)]),
    "Shopify orders": (SHOPIFY, {}, [
        ("STORE", datetime(2026, 5, 26, 11), 1.0, 9.0), ("STORE", datetime(2026, 5, 26, 12), 1.0, 5.0)]),
    "Clover line items": (CLOVER, {"formats": {"timestamp": "%d-%b-%Y %I:%M %p %Z"}}, [
        ("STORE", datetime(2025, 10, 18, 7), 1.0, 3.0), ("STORE", datetime(2025, 10, 19, 13), 1.0, 2.0)]),
    "Lightspeed Retail sales": (LIGHTSPEED, {}, [("STORE", datetime(2026, 5, 26, 8), 1.0, 7.0)]),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_known_shapes_are_read_as_they_are_meant(tmp_path: Path, shape: str) -> None:
    content, parts, expected = SHAPES[shape]
    mapping, _, path = guess(tmp_path, content)
    for name, value in parts.items():
        assert mapping.model_dump(exclude_none=True)[name] == value
    assert demand(path, mapping) == expected
    text = guess_pos(home_of(Lake(tmp_path / "lake")), [path]).toml
    assert text.startswith(f"# mapping of export.csv, a {shape} export\n")


def test_a_file_in_another_layout_is_read_too(tmp_path: Path) -> None:
    content = "Kassenbericht;\n\nDatum;Beleg;Artikel;Betrag;Filiale\n24.12.2026 08:05;9;Crème;1.234,50;Café\n"
    content += "24.12.2026 08:06;10;Brot;3,50;Café\n;;;1.238,00;\n"
    mapping, doubts, path = guess(tmp_path, content.encode("windows-1252"), "EXPORT.CSV")
    assert (mapping.skip_lines, mapping.delimiter, mapping.decimal, mapping.encoding) == (2, ";", ",", "windows-1252")
    assert demand(path, mapping) == [("Café", datetime(2026, 12, 24, 8), 2.0, 1238.0)]
    assert any("the last 1 lines, without Beleg, are dropped as those of totals" in doubt for doubt in doubts)


def test_a_sheet_is_proposed_too(tmp_path: Path) -> None:
    with Workbook(tmp_path / "a.xlsx") as book:
        cover, sales = book.add_worksheet("Cover"), book.add_worksheet("Sales")
        cover.write(0, 0, "Report")
        stamp = book.add_format({"num_format": "dd/mm/yyyy hh:mm"})
        sales.write_row(2, 0, ["Sold at", "Receipt", "Net"])
        for row in (3, 4):
            sales.write_datetime(row, 0, datetime(2026, 5, 26, 8, row), stamp)
            sales.write_row(row, 1, [row, 2.5])
    mapping, _, path = guess(tmp_path, (tmp_path / "a.xlsx").read_bytes(), "export.xlsx")
    assert (mapping.sheet, mapping.skip_lines) == ("Sales", 2)
    assert demand(path, mapping) == [("STORE", datetime(2026, 5, 26, 8), 2.0, 5.0)]


def test_what_is_unsure_is_said(tmp_path: Path) -> None:
    mapping, doubts, _ = guess(tmp_path, "date,time,price\n01/02/2026,08:00,3\n02/02/2026,09:00,4\n")
    text = "\n".join(doubts)
    assert mapping.columns.ticket == ("date", "time")
    for doubt in (
        "day and month of date could be exchanged", "times are read as the store's own", 'replace "STORE"',
        "no column numbers tickets: lines of one time are one ticket", "store STORE is not in stores",
    ):  # fmt: skip
        assert doubt in text


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "x\ny\n", "a,b,c\n,,\n"])
def test_an_export_without_times_has_a_proposal_that_says_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "export.csv"
    path.write_text(content)
    proposal = guess_pos(home_of(Lake(tmp_path / "lake")), [path])
    assert any("no column holds times" in doubt for doubt in proposal.doubts)
    assert proposal.lines == []
    assert tomllib.loads(proposal.toml)


STAMPS = st.sampled_from(
    ["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y-%m-%dT%H:%M:%SZ", "%b %d, %Y %H:%M"]
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)


@given(
    format=STAMPS, delimiter=st.sampled_from(",;\t|"), names=st.permutations(range(4)), item=TEXT, ragged=st.booleans()
)
@settings(max_examples=6)
def test_a_proposal_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, format: str, delimiter: str, names: list[int], item: str, ragged: bool
) -> None:
    start = datetime(2026, 5, 1, 8)
    rows = [
        ((start + timedelta(days=n)).strftime(format), str(100 + n), f"{n}.50", f"Item {n} {item}".strip())
        for n in range(30)
    ]
    rows = [("created at", "receipt", "net sales", "item"), *rows]
    quoted = [['"' + row[n].replace('"', '""') + '"' for n in names] for row in rows]
    text = "".join(delimiter.join(row) + delimiter * ragged + "\n" for row in quoted)
    mapping, _, path = guess(tmp_path_factory.mktemp("guess"), text)
    demand_rows = demand(path, mapping)
    hour = 4 if format.endswith("Z") else 8
    assert [at for _, at, _, _ in demand_rows] == [start.replace(hour=hour) + timedelta(days=n) for n in range(30)]
    assert sum(sales for *_, sales in demand_rows) == sum(n + 0.5 for n in range(30))
    assert sum(orders for _, _, orders, _ in demand_rows) == 30


def test_a_proposal_is_written_where_nothing_is_yet_and_can_be_ingested(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "a" / name).write_text(SQUARE.replace(",T2,", f",{name[0]}2,").replace(",T1,", f",{name[0]}1,"))
    lake, out = Lake(tmp_path / "home" / "lake"), tmp_path / "square.toml"
    stores = tmp_path / "stores.csv"
    stores.write_text("store_id,timezone,country\nLake,America/Chicago,US\n")
    ingest_table(home_of(lake), "stores", [stores])
    proposal = guess_pos(home_of(lake), [tmp_path / "a"], out)
    assert (proposal.doubts, proposal.path) == ([], str(out))
    assert proposal.lines[0] == {
        "store_id": "Lake", "ticket": "a2", "at_local": "2026-07-18 11:59:30", "amount": 8.0
    }  # fmt: skip
    assert read_mapping(out).columns.timezone == "Time Zone"
    with pytest.raises(InputError, match=r"square\.toml: is there already; give --mapping another file"):
        guess_pos(home_of(lake), [tmp_path / "a"], out)
    assert not lake.exists("demand")
    assert ingest_pos(home_of(lake), [tmp_path / "a"], out).pos["tickets_kept"] == 2  # type: ignore[index]


def test_without_a_file_the_mapping_alone_goes_to_standard_output(daypart: Any, tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(SQUARE)
    result = daypart(tmp_path / "home", "ingest", "pos", tmp_path / "items.csv", "--guess")
    assert result.status == 0
    assert tomllib.loads(result.out)["columns"]["timezone"] == "Time Zone"
    assert "Square items" in result.err
    assert "2026-07-18 12:59:30" in result.err
    assert not (tmp_path / "home").exists()
    as_json = daypart(tmp_path / "home", "ingest", "pos", tmp_path / "items.csv", "--guess", "--json").json
    assert (as_json["shape"], len(as_json["lines"])) == ("Square items", 3)
    wrong = daypart(tmp_path / "home", "ingest", "demand", tmp_path / "items.csv", "--guess")
    assert (wrong.status, wrong.err) == (2, "daypart: --guess is for pos lines, not for demand: leave it out\n")
