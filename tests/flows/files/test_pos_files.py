"""Exports with lines above the header, lines of totals below it, more commas than columns, or in sheets of Excel."""

import gzip
from collections.abc import Sequence
from datetime import datetime, time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xlsxwriter import Workbook

from daypart.features.errors import InputError, SchemaError
from daypart.features.pos.lines import read_lines
from daypart.features.pos.mapping import Mapping
from daypart.flows.files import table_files
from daypart.flows.files.pos_files import read_export

COLUMNS = {"timestamp": "at", "ticket": "receipt", "line_total": "net"}
STORES = pl.DataFrame({"store_id": ["S"], "timezone": ["America/New_York"]})
TEXT = "at,receipt,net\n2025-10-18 08:00:00,1,4.50\n2025-10-18 09:00:00,2,5.50\n"


def mapping(**settings: Any) -> Mapping:
    return Mapping.from_settings({"store_id": "S", "columns": COLUMNS, **settings})


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


ABOVE = st.lists(
    st.sampled_from(["Sales report", "", "Store: Main, 2nd", '"quoted, once"', "a,b,c,d,e", ",,"]), max_size=6
)


@given(above=ABOVE, mark=st.booleans(), ends=st.sampled_from(["\n", "\r\n"]))
def test_lines_above_the_header_are_skipped_or_told(
    tmp_path_factory: pytest.TempPathFactory, above: list[str], mark: bool, ends: str
) -> None:
    path = tmp_path_factory.mktemp("export") / "report.csv"
    text = ends.join([*above, *TEXT.splitlines(), ""])
    path.write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
    assert read_export(path, mapping(skip_lines=len(above))).rows() == [
        ("1", "2025-10-18 08:00:00", "4.50"), ("2", "2025-10-18 09:00:00", "5.50")
    ]  # fmt: skip
    if any(above):
        with pytest.raises(SchemaError, match=f"on line {len(above) + 1}, .*set skip_lines = {len(above)} in") as error:
            read_export(path, mapping())
        assert str(error.value).startswith(f"{path}: columns receipt, at, net are on line")
    with pytest.raises(SchemaError, match=f"expected the header on line {len(above) + 2}; set skip_lines"):
        read_export(path, mapping(skip_lines=len(above) + 1))


def test_a_column_under_another_name_is_told_with_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Report\nAt,receipt,net\n2025-10-18 08:00:00,1,4.50\n")
    with pytest.raises(SchemaError, match=r"no column at, .*; did you mean 'At'\? it has At, receipt, net on line 2"):
        read_export(path, mapping(skip_lines=1))


@pytest.mark.parametrize("name", ["a.CSV", "a.csv.gz", "a.CSV.GZ", "a.Csv.Gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252"])
def test_endings_may_be_in_any_case(tmp_path: Path, name: str, encoding: str) -> None:
    data = ("Report\n" + TEXT.replace(",1,", ",Café,")).encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.lower().endswith("gz") else data)
    assert table_files.find([tmp_path]) == [path]
    assert read_export(path, mapping(skip_lines=1, encoding=encoding)).height == 2
    if encoding != "utf-8":
        with pytest.raises(InputError, match="is not utf-8, more likely windows-1252"):
            read_export(path, mapping(skip_lines=1))


@given(st.lists(st.integers(0, 40), min_size=2, max_size=6))
def test_commas_at_the_end_say_nothing(tmp_path_factory: pytest.TempPathFactory, commas: Sequence[int]) -> None:
    path = tmp_path_factory.mktemp("export") / "a.csv"
    header, first, second = (
        f"{line}{',' * count}\n" for line, count in zip(TEXT.splitlines(), [*commas, 0][:3], strict=True)
    )
    write(path, "Report\n" + header + first + "\n" + second)
    assert read_export(path, mapping(skip_lines=1)).drop_nulls()["net"].to_list() == ["4.50", "5.50"]


def test_a_line_with_more_cells_than_the_header_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Report\n" + TEXT.replace("5.50", "1,005.50") + "\n")
    with pytest.raises(InputError, match=r"line 4 has more cells than the header on line 2, such as '005\.50'"):
        read_export(path, mapping(skip_lines=1))


def sheet(path: Path, *, total: bool = False, first: int = 0) -> Path:
    """A workbook as tills write it: a title, typed cells, a second sheet."""
    with Workbook(path) as book:
        sales, other = book.add_worksheet("Sales"), book.add_worksheet("Other")
        stamp, hour = book.add_format({"num_format": "dd/mm/yyyy hh:mm"}), book.add_format({"num_format": "hh:mm:ss"})
        sales.write(first, 0, "Sales report")
        other.write(0, 0, "nothing")
        for n, name in enumerate(["at", "receipt", "net", "", "clock"]):
            sales.write(first + 2, n, name)
        for row in range(2):
            sales.write_datetime(first + 3 + row, 0, datetime(2025, 10, 18, 8 + row, 0), stamp)
            sales.write(first + 3 + row, 1, 1 + row)
            sales.write(first + 3 + row, 2, 4.5 + row)
            sales.write_datetime(first + 3 + row, 4, time(8 + row, 5), hour)
        if total:
            sales.write(first + 5, 0, "Total")
            sales.write(first + 5, 2, 10)
            sales.write(first + 5, 4, "end")
    return path


@pytest.mark.parametrize("total", [False, True])
@pytest.mark.parametrize("first", [0, 2])
def test_a_sheet_is_read_as_its_text_would_be(tmp_path: Path, total: bool, first: int) -> None:
    path = sheet(tmp_path / "report.XLSX", total=total, first=first)
    drop = [{"column": "receipt", "equals": [""]}]
    chosen = mapping(sheet="Sales", skip_lines=first + 2, drop=drop)
    pos_lines = read_lines(read_export(path, chosen), chosen, STORES)
    expected = read_lines(read_export(write(tmp_path / "a.csv", TEXT), mapping()), mapping(), STORES)
    assert pos_lines.refused.is_empty()
    assert pos_lines.rows.equals(expected.rows)
    assert sum(pos_lines.dropped.values()) == total


def test_a_sheet_that_is_not_named_or_not_there_is_told(tmp_path: Path) -> None:
    path = sheet(tmp_path / "report.xlsx")
    with pytest.raises(InputError, match=r"report\.xlsx: has sheets Sales, Other; name one as sheet in the mapping"):
        read_export(path, mapping())
    with pytest.raises(InputError, match="has no sheet 'Sale'; it has Sales, Other: correct sheet in the mapping"):
        read_export(path, mapping(sheet="Sale"))
    with pytest.raises(SchemaError, match="are on line 3, expected the header on line 1; set skip_lines = 2"):
        read_export(path, mapping(sheet="Sales"))
    (tmp_path / "bad.xlsx").write_bytes(b"at,receipt,net\n")
    with pytest.raises(InputError, match=r"bad\.xlsx: cannot be read as Excel .*; export it anew"):
        read_export(tmp_path / "bad.xlsx", mapping())


def test_times_of_day_in_a_sheet_are_times(tmp_path: Path) -> None:
    for total in (False, True):
        path = sheet(tmp_path / f"{total}.xlsx", total=total)
        clock = table_files.read(path, skip_lines=2, sheet="Sales")["clock"]
        assert clock.head(2).cast(pl.String).str.slice(0, 8).to_list() == ["08:05:00", "09:05:00"]


def test_two_columns_of_one_name_in_a_sheet_are_refused(tmp_path: Path) -> None:
    with Workbook(tmp_path / "a.xlsx") as book:
        only = book.add_worksheet()
        only.write_row(0, 0, ["at", "net", "net"])
        only.write_row(1, 0, ["x", 1, 2])
    with pytest.raises(InputError, match="column 'net' is there twice"):
        table_files.read(tmp_path / "a.xlsx")
