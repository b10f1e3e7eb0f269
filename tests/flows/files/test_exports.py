"""What is exported is text where it was text, and never a formula."""

import csv
import re
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree
from zipfile import ZipFile

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features.errors import ValueRefused
from daypart.flows.files import exports, table_files
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.forecast import write_out
from daypart.flows.lake.lake import Lake
from tests.flows.conftest import home_of

TRIGGERS = ("=", "+", "-", "@", "\t", "\r")
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
# Excel holds no control characters but these, and Unicode without surrogates.
PLAIN = st.text(st.sampled_from("ab1='\"+-@,;|\n\té "), max_size=6)
TEXT = st.one_of(PLAIN, st.tuples(st.sampled_from(["", "'", "''"]), st.sampled_from(TRIGGERS), PLAIN).map("".join))
NUMBER = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 3) + 0.0)
ROWS = st.lists(st.tuples(TEXT, NUMBER, st.integers(-(10**6), 10**6)), min_size=1, max_size=5)


def frame(rows: list[tuple[str, float, int]], text: str = "store_id") -> pl.DataFrame:
    return pl.DataFrame(rows, {text: pl.String, "forecast": pl.Float64, "lead_days": pl.Int64}, orient="row")


def read_sheet(path: Path) -> list[list[tuple[str, str]]]:
    """Kind and content of each cell of an Excel file, by its own XML; `f` is a formula, `s` a shared text."""
    with ZipFile(path) as archive:
        shared = [
            "".join(part.text or "" for part in item.iter(f"{SHEET}t"))
            for item in ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))
        ]
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    sheet_rows = []
    for row in sheet.iter(f"{SHEET}row"):
        cells = []
        for cell in row:
            kind, value = cell.get("t", "n"), cell.findtext(f"{SHEET}v", "")
            kind = "f" if cell.find(f"{SHEET}f") is not None else kind
            cells.append((kind, _unescaped(shared[int(value)]) if kind == "s" else value))
        sheet_rows.append(cells)
    return sheet_rows


def _unescaped(text: str) -> str:
    return re.sub("_x([0-9A-F]{4})_", lambda match: chr(int(match[1], 16)), text)


@given(ROWS, TEXT)
def test_csv_has_no_formula_equal_numbers_and_is_read_back_as_it_was(
    rows: list[tuple[str, float, int]], header: str
) -> None:
    name = header if header not in ("forecast", "lead_days", "") else "store_id"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.csv"
        write_out(frame(rows, name), path)
        with path.open(newline="", encoding="utf-8") as file:
            head, *csv_rows = list(csv.reader(file))
        assert len(csv_rows) == len(rows)
        assert not head[0].startswith(TRIGGERS)
        for (text, forecast, lead), (shown, *numbers) in zip(rows, csv_rows, strict=True):
            assert not shown.startswith(TRIGGERS)
            assert shown.lstrip("'") == text.lstrip("'")
            assert [float(numbers[0]), int(numbers[1])] == [forecast, lead]
        back = table_files.read(path)
        assert back[back.columns[0]].fill_null("").to_list() == [text for text, *_ in rows]


@given(ROWS)
@settings(max_examples=25)
def test_excel_has_no_formula_and_equal_numbers(rows: list[tuple[str, float, int]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.xlsx"
        write_out(frame(rows), path)
        _, *sheet_rows = read_sheet(path)
    assert len(sheet_rows) == len(rows)
    for (text, forecast, lead), cells in zip(rows, sheet_rows, strict=True):
        shown = [cell for cell in cells if cell[0] != "n"] or [("s", "")]
        numbers = [float(value) for kind, value in cells if kind == "n" and value]
        assert [kind for kind, _ in shown] == ["s"]
        assert not shown[0][1].startswith(TRIGGERS)
        assert shown[0][1].lstrip("'") == text.lstrip("'")
        assert numbers == pytest.approx([forecast, lead], rel=1e-12)


def test_addresses_are_no_links_and_dates_stay_dates(tmp_path: Path) -> None:
    rows = pl.DataFrame({
        "store_id": ["http://example.com", "=HYPERLINK(1)"], "origin_date": [date(2025, 1, 2)] * 2,
        "hour_local": [datetime(2025, 1, 2, 5)] * 2, "basis": pl.Series([None, "-a"], dtype=pl.Categorical),
    })  # fmt: skip
    write_out(rows, tmp_path / "out.xlsx")
    with ZipFile(tmp_path / "out.xlsx") as archive:
        assert b"hyperlink" not in archive.read("xl/worksheets/sheet1.xml").lower()
    _, first, second = read_sheet(tmp_path / "out.xlsx")
    assert [(kind, bool(value)) for kind, value in first] == [("s", True), ("n", True), ("n", True), ("n", False)]
    assert [second[0], second[-1]] == [("s", "'=HYPERLINK(1)"), ("s", "'-a")]
    write_out(rows, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[2].startswith("'=HYPERLINK(1),2025-01-02,2025-01-02T05")


def test_parquet_and_what_is_no_formula_are_as_they_are(tmp_path: Path) -> None:
    rows = frame([("=1+1", -1.0, -2), ("'", 1.0, 2), ("O'Hare - Gate 2", 0.0, 0)])
    write_out(rows, tmp_path / "out.parquet")
    assert_frame_equal(pl.read_parquet(tmp_path / "out.parquet"), rows)
    assert exports.neutralise(rows)["store_id"].to_list() == ["'=1+1", "'", "O'Hare - Gate 2"]


def test_what_is_refused_is_listed_without_a_formula_and_known_again_when_corrected(tmp_path: Path) -> None:
    lake, file = Lake(tmp_path / "home" / "lake"), tmp_path / "stores.csv"
    file.write_text("store_id,timezone,country\n=S1,Nowhere,US\n@S2,+Nowhere,US\n")
    with pytest.raises(ValueRefused):
        ingest_table(home_of(lake), "stores", [file])
    (listed,) = (tmp_path / "home" / "refused").iterdir()
    with listed.open(newline="") as opened:
        assert [row["value"] for row in csv.DictReader(opened)] == ["Nowhere", "'+Nowhere"]
    # As a spreadsheet that took over an export would hand it in.
    file.write_text("store_id,timezone,country\n'=S1,America/New_York,US\n@S2,America/New_York,US\n")
    ingest_table(home_of(lake), "stores", [file])
    assert sorted(lake.scan("stores").collect()["store_id"]) == ["=S1", "@S2"]
