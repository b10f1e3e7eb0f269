import gzip
import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.features.clock import ClockChanges
from daypart.features.errors import InputError, SchemaError, ValueRefused
from daypart.flows.ingest.ingest import ingest_pos, ingest_table
from daypart.flows.ingest.ingest_report import IngestOptions
from daypart.flows.lake.lake import Lake
from tests.flows.conftest import home_of

STORES = "store_id,timezone,country\nNY,America/New_York,US\nSJ,America/St_Johns,CA\n"
HEADER = "store_id,hour_local,orders\n"
MAPPING = """
[columns]
store = "Store"
timestamp = "At"
ticket = "No"
line_total = "Total"
"""
LINES = "Store,At,No,Total\n"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "home" / "lake")
    ingest_table(home_of(lake), "stores", [write(tmp_path / "stores.csv", STORES)])
    return lake


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def demand(lake: Lake) -> list[tuple[str, datetime, float | None, float | None]]:
    rows = lake.scan("demand").select("store_id", "hour_local", "orders", "sales").collect()
    return rows.sort("store_id", "hour_local").rows()


def at(hour: int) -> datetime:
    return datetime(2024, 1, 5, hour)  # noqa: DTZ001


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_rows_are_taken_replaced_and_left(lake: Lake, tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", HEADER + "NY,2024-01-05 08:00:00,1\nNY,2024-01-05 09:00:00,2\n")
    report = ingest_table(home_of(lake), "demand", [first])
    assert (report.rows_taken, report.rows_replaced, report.rows_unchanged, report.version) == (2, 0, 0, 0)
    second = write(tmp_path / "b.csv", HEADER + "NY,2024-01-05 09:00:00,3\nNY,2024-01-05 08:00:00,1\n")
    report = ingest_table(home_of(lake), "demand", [second])
    assert (report.rows_taken, report.rows_replaced, report.rows_unchanged, report.version) == (0, 1, 1, 1)
    sales = write(tmp_path / "c.csv", "store_id,hour_utc,sales\nNY,2024-01-05 13:00:00,9.5\n")
    ingest_table(home_of(lake), "demand", [sales])
    assert demand(lake) == [("NY", at(8), 1.0, 9.5), ("NY", at(9), 3.0, None)]
    json.dumps(report.as_dict())


def test_folders_gzip_and_parquet_are_read_by_name_and_the_last_file_wins(lake: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write(folder / "1.csv", HEADER + "NY,2024-01-05 08:00:00,1\nNY,2024-01-05 09:00:00,2\n")
    zipped = gzip.compress(b"store_id,hour_local,sales\nNY,2024-01-05 08:00:00,7\nNY,2024-01-05 10:00:00,8\n")
    (folder / "2.csv.gz").write_bytes(zipped)
    pl.DataFrame({
        "store_id": ["NY"], "hour_utc": [at(14)], "orders": pl.Series([5], dtype=pl.Int16),
    }).write_parquet(folder / "3.parquet")  # fmt: skip
    write(folder / "notes.txt", "not data")
    report = ingest_table(home_of(lake), "demand", [folder, folder / "1.csv"])
    assert [Path(name).name for name in report.files] == ["1.csv", "2.csv.gz", "3.parquet"]
    assert (report.rows_taken, report.version) == (3, 0), "one commit for all files"
    assert demand(lake) == [("NY", at(8), 1.0, 7.0), ("NY", at(9), 5.0, None), ("NY", at(10), None, 8.0)]


def test_an_empty_cell_clears_a_value_and_an_absent_column_leaves_it(lake: Lake, tmp_path: Path) -> None:
    def stored() -> list[tuple[date | None, str | None]]:
        return lake.scan("stores").filter(pl.col("store_id") == "NY").select("closed_on", "region").collect().rows()

    header = "store_id,timezone,country"
    content = f"{header},closed_on,region\nNY,America/New_York,US,2024-02-01,East\n"
    ingest_table(home_of(lake), "stores", [write(tmp_path / "closed.csv", content)])
    assert stored() == [(date(2024, 2, 1), "East")]
    ingest_table(home_of(lake), "stores", [write(tmp_path / "lacks.csv", f"{header}\nNY,America/New_York,US\n")])
    assert stored() == [(date(2024, 2, 1), "East")]
    reopened = write(tmp_path / "open.csv", f"{header},closed_on\nNY,America/New_York,US,\n")
    report = ingest_table(home_of(lake), "stores", [reopened])
    assert (report.rows_taken, report.rows_replaced, report.rows_unchanged) == (0, 1, 0)
    assert stored() == [(None, "East")]
    assert ingest_table(home_of(lake), "stores", [reopened]).rows_unchanged == 1


def test_each_file_of_a_call_speaks_of_its_own_columns(lake: Lake, tmp_path: Path) -> None:
    row = "NY,2024-01-05 08:00:00"
    both = write(tmp_path / "1.csv", f"store_id,hour_local,orders,sales\n{row},1,5\nNY,2024-01-05 09:00:00,2,6\n")
    blank = write(tmp_path / "2.csv", f"store_id,hour_local,orders,sales\n{row},,7\n")
    alone = write(tmp_path / "3.csv", f"store_id,hour_local,sales\n{row},8\n")
    ingest_table(home_of(lake), "demand", [both, blank, alone])
    assert demand(lake) == [("NY", at(8), None, 8.0), ("NY", at(9), 2.0, 6.0)]


def test_lines_without_prices_leave_sales_as_they_are(lake: Lake, tmp_path: Path) -> None:
    demand_file = write(tmp_path / "a.csv", "store_id,hour_local,orders,sales\nNY,2024-01-05 08:00:00,9,50\n")
    ingest_table(home_of(lake), "demand", [demand_file])
    lines = write(tmp_path / "lines.csv", LINES + "NY,2024-01-05 08:05:00,1,2.5\n")
    mapping = write(tmp_path / "m.toml", MAPPING.replace('line_total = "Total"\n', ""))
    ingest_pos(home_of(lake), [lines], mapping)
    assert demand(lake) == [("NY", at(8), 1.0, 50.0)]


def test_one_bad_row_stops_all_unless_it_may_be_skipped(lake: Lake, tmp_path: Path) -> None:
    good = write(tmp_path / "a.csv", HEADER + "NY,2024-01-05 08:00:00,1\n")
    bad = write(tmp_path / "b.csv", HEADER + "NY,2024-01-05 09:00:00,2\nNY,2024-01-05 10:00:00,-3\n")
    with pytest.raises(ValueRefused) as error:
        ingest_table(home_of(lake), "demand", [good, bad])
    assert not lake.exists("demand")
    (listed,) = (tmp_path / "home" / "refused").iterdir()
    assert one_line(error) == (
        f"demand: 1 row refused, nothing written; row 2 of {bad}: orders '-3' is below 0; "
        f"correct what {listed} lists, or pass --skip-bad"
    )
    # A text that begins like a formula is quoted.
    expected = [(str(bad), 2, "orders", "'-3", "is below 0")]
    assert pl.read_csv(listed, schema_overrides={"value": pl.String}).rows() == expected
    report = ingest_table(home_of(lake), "demand", [good, bad], options=IngestOptions(skip_bad=True))
    assert (report.rows_taken, report.rows_refused, report.refused) == (2, 1, {"orders is below 0": 1})
    assert report.refused_file == str(listed), "the same faults are the same file"
    assert list((tmp_path / "home" / "refused").iterdir()) == [listed]
    assert [hour for _, hour, *_ in demand(lake)] == [at(8), at(9)]


def test_nothing_but_bad_rows_is_refused_even_so(lake: Lake, tmp_path: Path) -> None:
    bad = write(tmp_path / "b.csv", HEADER + "LA,2024-01-05 09:00:00,2\n")
    with pytest.raises(ValueRefused, match="store_id 'LA' is not in stores: ingest stores first"):
        ingest_table(home_of(lake), "demand", [bad], options=IngestOptions(skip_bad=True))
    assert not lake.exists("demand")


def test_repeats_collapse_within_a_file(lake: Lake, tmp_path: Path) -> None:
    twice = write(tmp_path / "a.csv", HEADER + "NY,2024-01-05 08:00:00,1\n" * 2)
    report = ingest_table(home_of(lake), "demand", [twice])
    assert (report.rows_taken, report.rows_collapsed) == (1, 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"store_id,hour_local,orders\n", "found no rows"),
        (b"store_id;hour_local;orders\nNY;2024-01-05 08:00:00;1\n", "it is divided by ';'"),
        (
            "store_id,hour_local,orders\nCaf\xe9,2024-01-05 08:00:00,1\n".encode("cp1252"),
            "likely windows-1252",
        ),
        ("store_id,hour_local,orders\nNY,2024-01-05 08:00:00,1\n".encode("utf-16"), "likely utf-16"),
        (b"store_id,hour_local,orders\nNY,2024-01-05 08:00:00,1,2\n", "cannot be read as CSV"),
        (b"store_id,hour_local,order\nNY,2024-01-05 08:00:00,1\n", "did you mean orders"),
    ],
)
def test_files_that_cannot_be_read_are_named(lake: Lake, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        ingest_table(home_of(lake), "demand", [path])
    assert one_line(error).startswith(f"{path}: ")


def test_names_that_are_not_there_are_told(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown table 'demands'; expected one of stores, demand, hours"):
        ingest_table(home_of(lake), "demands", [tmp_path])
    with pytest.raises(InputError, match=r"no\.csv: no such file"):
        ingest_table(home_of(lake), "demand", [tmp_path / "no.csv"])
    with pytest.raises(InputError, match=r"a\.txt: is of no known kind"):
        ingest_table(home_of(lake), "demand", [write(tmp_path / "a.txt", "x")])
    with pytest.raises(InputError, match="holds no .csv"):
        ingest_table(home_of(lake), "demand", [write(tmp_path / "in" / "a.txt", "x").parent])
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read as Parquet"):
        ingest_table(home_of(lake), "demand", [write(tmp_path / "a.parquet", "x")])
    with pytest.raises(InputError, match="ingest stores first"):
        ingest_table(
            home_of(Lake(tmp_path / "other")), "demand", [write(tmp_path / "a.csv", HEADER + "NY,2024-01-05 08:00,1\n")]
        )


def test_every_table_comes_in(lake: Lake, tmp_path: Path) -> None:
    tables = {
        "hours": "store_id,weekday,opens,closes\nNY,1,07:00,19:00\n",
        "closures": "store_id,date\nNY,2024-12-25\n",
        "weather": "store_id,valid_local,issued_utc,humidity_pct\nNY,2024-01-05 08:00,2024-01-04 05:12,3\n",
        "macro": "series,observation_date,released_on,value\nCPI,2024-05-01,2024-06-12,313\n",
        "labor": "store_id,hour_local,worked_hours\nNY,2024-01-05 08:00:00,3\n",
        "events": "name,kind,starts_local,ends_local\nfair,local,2024-05-01 00:00:00,2024-05-02 00:00:00\n",
    }
    for name, text in tables.items():
        path = write(tmp_path / f"{name}.csv", text)
        assert ingest_table(home_of(lake), name, [path]).rows_taken == 1
        again = ingest_table(home_of(lake), name, [path])
        assert (again.rows_unchanged, again.version) == (1, 0)
    assert lake.scan("closures").collect()["date"].to_list() == [date(2024, 12, 25)]


def test_pos_lines_of_many_files_are_counted_together(lake: Lake, tmp_path: Path) -> None:
    mapping = write(tmp_path / "pos.toml", 'delimiter = ";"\nencoding = "windows-1252"\ndecimal = ","\n' + MAPPING)
    head = LINES.replace(",", ";")
    cut = "NY;2024-01-05 08:10:00;1;"
    a = write(tmp_path / "in" / "a.csv", f"{head}{cut}3,50 \u20ac\n", "cp1252")
    write(tmp_path / "in" / "b.csv", f"{head}{cut}1,00 \u20ac\nNY;2024-01-05 08:20:00;2;2,00\n", "cp1252")
    report = ingest_pos(home_of(lake), [a.parent], mapping)
    assert demand(lake) == [("NY", at(8), 2.0, 6.5)]
    assert report.table == "demand"
    assert report.pos is not None
    assert (report.pos["lines_read"], report.pos["tickets_kept"]) == (3, 2)
    assert report.summary[1] == "2 orders of 2 tickets"
    json.dumps(report.as_dict())


def test_lines_that_two_of_three_files_hold_are_not_counted_twice(lake: Lake, tmp_path: Path) -> None:
    mapping = write(tmp_path / "pos.toml", MAPPING)
    folder = tmp_path / "in"
    a = write(folder / "a.csv", LINES + "NY,2024-01-05 08:00:00,0,1\nNY,2024-01-05 08:10:00,1,3\n")
    b = write(folder / "b.csv", LINES + "NY,2024-01-05 09:20:00,2,2\n")
    c = write(folder / "c.csv", LINES + "NY,2024-01-05 08:10,1,3.00\nNY,2024-01-05 10:20:00,3,2\n")
    for paths in ([folder], [c, a, b]):
        with pytest.raises(InputError, match="1 line is in more than one of") as error:
            ingest_pos(home_of(lake), paths, mapping, options=IngestOptions(skip_bad=True))
        assert not lake.exists("demand")
        places = [f"row 2 of {a}", f"row 1 of {c}"]
        files, example = ([a, c], places) if paths == [folder] else ([c, a], places[::-1])
        assert one_line(error) == (
            f"pos: 1 line is in more than one of {files[0]}, {files[1]} and would count twice, such as No 1 of store NY "
            f"at 2024-01-05 08:10:00: {example[0]} and {example[1]}; "
            "give each line once, and all lines of a ticket that has equal ones in one file"
        )
    assert ingest_pos(home_of(lake), [a, b], mapping).rows_taken == 2


def test_exports_that_overlap_are_not_counted_twice(lake: Lake, tmp_path: Path) -> None:
    mapping = write(tmp_path / "pos.toml", MAPPING)
    lines = [f"NY,2024-01-05 {hour:02}:10:00,{hour},3\n" for hour in range(6, 20)]
    paths = [write(tmp_path / f"{n}.csv", LINES + "".join(lines[n : n + 3])) for n in range(0, 12, 2)]
    with pytest.raises(InputError, match=r"pos: 5 lines are in more than one of .*0\.csv, .* and 1 more"):
        ingest_pos(home_of(lake), paths, mapping)
    assert not lake.exists("demand")


def test_an_export_again_or_corrected_replaces_its_hours(lake: Lake, tmp_path: Path) -> None:
    mapping = write(tmp_path / "pos.toml", MAPPING)
    export = write(tmp_path / "a.csv", LINES + "NY,2024-01-05 08:10:00,1,3\nNY,2024-01-05 09:10:00,2,4\n")
    assert ingest_pos(home_of(lake), [export], mapping).rows_taken == 2
    assert ingest_pos(home_of(lake), [export, export], mapping).rows_unchanged == 2, "one file given twice is one file"
    write(export, LINES + "NY,2024-01-05 08:10:00,1,3\nNY,2024-01-05 08:10:00,1,3\nNY,2024-01-05 09:10:00,2,4\n")
    report = ingest_pos(home_of(lake), [export], mapping)
    assert (report.rows_replaced, report.rows_unchanged) == (1, 1)
    assert demand(lake) == [("NY", at(8), 1.0, 6.0), ("NY", at(9), 1.0, 4.0)]


AUTUMN = HEADER + "".join(f"NY,2024-11-03 {hour:02}:00:00,{orders}\n" for orders, hour in enumerate([0, 1, 1, 2, 3], 1))


def test_every_hour_of_an_autumn_day_comes_in_by_the_choice(lake: Lake, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", AUTUMN)
    with pytest.raises(ValueRefused, match="2 rows refused.* pass --repeated-hour first, second or both"):
        ingest_table(home_of(lake), "demand", [path])
    report = ingest_table(home_of(lake), "demand", [path], options=IngestOptions(changes=ClockChanges("both")))
    assert (report.rows_taken, report.rows_refused) == (5, 0)
    stored = lake.scan("demand").sort("hour_utc").collect()
    assert stored["hour_utc"].dt.hour().to_list() == [4, 5, 6, 7, 8]
    assert stored["orders"].to_list() == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(("written", "chosen", "utc_hour"), [("first", None, 5), ("first", "second", 6)])
def test_the_choice_of_a_call_comes_before_that_of_the_mapping(
    lake: Lake, tmp_path: Path, written: str, chosen: Any, utc_hour: int
) -> None:
    mapping = write(tmp_path / "pos.toml", f'repeated_hour = "{written}"\n{MAPPING}')
    lines = write(tmp_path / "a.csv", LINES + "NY,2024-11-03 01:10:00,1,3\n")
    ingest_pos(home_of(lake), [lines], mapping, options=IngestOptions(changes=ClockChanges(chosen)))
    assert lake.scan("demand").collect()["hour_utc"].dt.hour().to_list() == [utc_hour]
    with pytest.raises(ValueRefused, match=r"set repeated_hour in the mapping or --repeated-hour to first"):
        ingest_pos(home_of(lake), [lines], mapping, options=IngestOptions(changes=ClockChanges("refuse")))


def test_refused_lines_are_told_by_file_and_row(lake: Lake, tmp_path: Path) -> None:
    mapping = write(tmp_path / "pos.toml", MAPPING)
    a = write(tmp_path / "a.csv", LINES + "NY,2024-01-05 08:10:00,1,3\n")
    b = write(tmp_path / "b.csv", LINES + "NY,2024-01-05 09:10:00,2,3\nNY,soon,3,4\n")
    with pytest.raises(ValueRefused, match=r"pos: 1 row refused.*row 2 of .*b\.csv: At 'soon' is not written"):
        ingest_pos(home_of(lake), [a, b], mapping)
    assert not lake.exists("demand")
    report = ingest_pos(home_of(lake), [a, b], mapping, options=IngestOptions(skip_bad=True))
    assert (report.rows_taken, report.rows_refused) == (2, 1)


def test_what_pos_lacks_is_told(lake: Lake, tmp_path: Path) -> None:
    mapping = write(tmp_path / "pos.toml", MAPPING)
    lines = write(tmp_path / "a.csv", LINES + "LA,2024-01-05 08:10:00,1,3\n")
    with pytest.raises(InputError, match="store LA not in stores: ingest stores first"):
        ingest_pos(home_of(lake), [lines], mapping)
    with pytest.raises(InputError, match="ingest stores first"):
        ingest_pos(home_of(Lake(tmp_path / "other")), [lines], mapping)
    with pytest.raises(InputError, match="no such mapping file"):
        ingest_pos(home_of(lake), [lines], tmp_path / "no.toml")
    with pytest.raises(InputError, match="bad.toml cannot be read: .*; expected a mapping"):
        ingest_pos(home_of(lake), [lines], write(tmp_path / "bad.toml", "columns = ["))
    with pytest.raises(InputError, match=r"odd\.toml: mapping: colums: Extra"):
        ingest_pos(home_of(lake), [lines], write(tmp_path / "odd.toml", "colums = 1\n" + MAPPING))
    other = write(tmp_path / "b.csv", "Store,At,No\nNY,2024-01-05 08:10:00,1\n")
    with pytest.raises(SchemaError, match=r"b\.csv: no column Total, which the mapping names; it has Store, At, No"):
        ingest_pos(home_of(lake), [other], mapping)
    dropped = 'drop = [{ column = "No", equals = [1] }]\n' + MAPPING
    with pytest.raises(InputError, match="no line of 1 files counts"):
        ingest_pos(home_of(lake), [lines], write(tmp_path / "drop.toml", dropped))


def test_the_french_bakery_comes_in_whole(lake: Lake, tmp_path: Path, real_data: Path) -> None:
    store = write(tmp_path / "bakery.csv", "store_id,timezone,country\nB,Europe/Paris,FR\n")
    ingest_table(home_of(lake), "stores", [store])
    text = """store_id = "B"
[columns]
date = "date"
time = "time"
ticket = "ticket_number"
line_total = "item_order_total"
"""
    export = real_data / "french_bakery" / "pos_lines.csv.gz"
    report = ingest_pos(home_of(lake), [export], write(tmp_path / "pos.toml", text))
    assert report.pos is not None
    stored = lake.scan("demand").collect()
    assert stored["orders"].sum() == report.pos["tickets_kept"]
    total_sales = report.pos["sales_before_clipping"] + report.pos["clipped_sales"]
    assert stored["sales"].sum() == pytest.approx(total_sales, abs=1e-6)
    assert stored.filter(pl.col("sales") > 0)["hour_local"].dt.date().n_unique() == report.pos["open_days"] == 600
