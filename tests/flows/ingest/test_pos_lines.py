"""Point-of-sale lines in several files, ingested apart: demand is the sum of all of them."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daypart.features.errors import InputError, ValueRefused
from daypart.flows.config.settings import Settings
from daypart.flows.home import Home
from daypart.flows.ingest import pos_lines, pos_sources
from daypart.flows.ingest.ingest import ingest_pos, ingest_table
from daypart.flows.ingest.ingest_report import IngestOptions, IngestReport
from daypart.flows.ingest.pos_sources import list_sources, take_back
from daypart.flows.maintenance.maintain import maintain
from daypart.flows.registry.registry import Registry

STORES = "store_id,timezone,country\nNY,America/New_York,US\nLA,America/Los_Angeles,US\n"
HEADER = "Store,At,No,Total\n"
MAPPING = '[columns]\nstore = "Store"\ntimestamp = "At"\nticket = "No"\nline_total = "Total"\n'
NOW = datetime(2024, 2, 1, 4, tzinfo=UTC)
Rows = list[tuple[str, str, float, float | None]]


class Till:
    """A home, and files that are written and ingested by name."""

    def __init__(self, folder: Path, mapping: str = MAPPING) -> None:
        self.folder, self.as_home = folder, Home(Settings(home=folder / "home"))
        self.lake = self.as_home.lake
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "stores.csv").write_text(STORES)
        ingest_table(self.as_home, "stores", [folder / "stores.csv"])
        self.mapping = folder / "pos.toml"
        self.mapping.write_text(mapping)

    def write(self, name: str, *lines: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
        return path

    def ingest(self, name: str, *lines: str, replace_hours: bool = False) -> IngestReport:
        return self.again(self.write(name, *lines), replace_hours=replace_hours)

    def again(self, *paths: Path, replace_hours: bool = False) -> IngestReport:
        return ingest_pos(
            self.as_home, paths, self.mapping, options=IngestOptions(replace_hours=replace_hours), now=NOW
        )

    def demand(self) -> Rows:
        rows = self.lake.scan("demand").sort("store_id", "hour_utc").collect()
        at = pl.col("hour_local").dt.strftime("%d %H")
        return rows.select("store_id", at, "orders", "sales").rows()

    def line_counts(self) -> dict[str, int]:
        """Stored lines by the name of their file."""
        names = dict(self.lake.scan("pos_sources").select("source", "name").collect().iter_rows())
        counts = self.lake.scan("pos_lines").group_by("source").len().collect()
        return {Path(names[source]).name: count for source, count in counts.iter_rows()}


@pytest.fixture
def till(tmp_path: Path) -> Till:
    return Till(tmp_path)


COFFEE, ROLL = "NY,2024-01-05 08:05:00,1,3", "NY,2024-01-05 08:40:00,2,2"


def test_an_hour_of_two_files_is_their_sum_in_either_order(till: Till, tmp_path: Path) -> None:
    till.ingest("a.csv", COFFEE)
    report = till.ingest("b.csv", ROLL, "NY,2024-01-05 09:10:00,3,4")
    assert (report.rows_taken, report.rows_replaced) == (1, 1)
    assert till.demand() == [("NY", "05 08", 2.0, 5.0), ("NY", "05 09", 1.0, 4.0)]
    other = Till(tmp_path / "other")
    other.ingest("b.csv", ROLL, "NY,2024-01-05 09:10:00,3,4")
    other.ingest("a.csv", COFFEE)
    assert other.demand() == till.demand()


def test_a_file_again_changes_nothing(till: Till) -> None:
    till.ingest("a.csv", COFFEE, ROLL)
    before = till.lake.versions()
    copy = till.write("copy.csv", COFFEE, ROLL)
    assert till.again(till.folder / "a.csv").rows_unchanged == 1
    assert till.lake.versions() == before
    assert till.again(copy).rows_unchanged == 1
    assert till.demand() == [("NY", "05 08", 2.0, 5.0)]
    assert till.line_counts() == {"copy.csv": 2}, "the same content is the same source, under its latest name"


def test_new_content_of_a_name_replaces_only_its_own_lines(till: Till) -> None:
    till.ingest("a.csv", COFFEE, "NY,2024-01-05 10:05:00,1,3")
    till.ingest("b.csv", ROLL)
    report = till.ingest("a.csv", "NY,2024-01-05 08:05:00,1,7")
    assert till.demand() == [("NY", "05 08", 2.0, 9.0)]
    assert report.pos is not None
    assert (report.pos["lines_replaced"], report.pos["hours_removed"]) == (2, 1)
    assert "2 earlier lines replaced" in report.summary
    assert till.line_counts() == {"a.csv": 1, "b.csv": 1}


def test_the_next_night_under_the_same_name_keeps_the_nights_before(till: Till) -> None:
    for day in (5, 6, 7):
        till.ingest("night.csv", f"NY,2024-01-0{day} 08:05:00,1,{day}")
    assert till.demand() == [("NY", f"0{day} 08", 1.0, float(day)) for day in (5, 6, 7)]
    till.ingest("night.csv", "NY,2024-01-06 08:05:00,1,9")
    assert [sales for *_, sales in till.demand()] == [5.0, 9.0, 7.0], "a corrected night replaces that night"


def test_a_window_of_days_that_moves_on_keeps_the_days_that_left_it(till: Till) -> None:
    week = [f"NY,2024-01-0{day} 08:05:00,1,{day}" for day in range(1, 8)]
    till.ingest("window.csv", *week[:5])
    till.ingest("window.csv", *week[2:])
    assert [sales for *_, sales in till.demand()] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]


def test_files_of_one_name_and_other_stores_are_beside_each_other(till: Till) -> None:
    till.ingest("till.csv", COFFEE)
    till.ingest("till.csv", "LA,2024-01-05 08:05:00,1,4")
    assert till.demand() == [("LA", "05 08", 1.0, 4.0), ("NY", "05 08", 1.0, 3.0)]


def test_files_of_one_name_in_two_folders_are_two_sources(till: Till) -> None:
    for folder, line in (("1", COFFEE), ("2", ROLL)):
        till.ingest(f"till{folder}/day.csv", line)
    assert till.demand() == [("NY", "05 08", 2.0, 5.0)]


def test_an_export_until_now_counts_the_lines_of_the_last_one_once(till: Till) -> None:
    till.ingest("noon.csv", COFFEE, ROLL, ROLL)
    report = till.ingest("evening.csv", COFFEE, ROLL, ROLL, "NY,2024-01-05 18:05:00,3,4")
    assert till.demand() == [("NY", "05 08", 2.0, 7.0), ("NY", "05 18", 1.0, 4.0)]
    assert report.pos is not None
    assert report.pos["lines_once"] == 3
    assert any(line.startswith("3 lines counted once") and "noon.csv" in line for line in report.summary)
    assert not any("ticket number" in line for line in report.summary)


def test_lines_without_a_ticket_number_that_two_files_hold_count_once_and_it_is_said(tmp_path: Path) -> None:
    till = Till(tmp_path, MAPPING.replace('ticket = "No"', 'ticket = "At"'))
    till.ingest("a.csv", COFFEE)
    report = till.ingest("b.csv", COFFEE, ROLL)
    assert till.demand() == [("NY", "05 08", 2.0, 5.0)]
    assert "the export has no ticket number: equal lines of two files may be two customers" in report.summary[-1]


def test_a_refund_in_a_file_of_its_own_finds_its_ticket(till: Till) -> None:
    till.ingest("sales.csv", "NY,2024-01-05 23:50:00,1,3", "NY,2024-01-05 23:55:00,2,2")
    till.ingest("refunds.csv", "NY,2024-01-06 00:20:00,1,-3")
    assert till.demand() == [("NY", "05 23", 1.0, 5.0), ("NY", "06 00", 0.0, 0.0)]
    take_back(till.as_home, "refunds.csv", NOW)
    assert till.demand() == [("NY", "05 23", 2.0, 5.0)]


def test_replace_hours_takes_the_place_of_all_lines_of_its_hours(till: Till) -> None:
    till.ingest("a.csv", COFFEE, "NY,2024-01-05 09:05:00,7,3")
    till.ingest("b.csv", ROLL)
    report = till.ingest("c.csv", "NY,2024-01-05 08:10:00,5,1", replace_hours=True)
    assert till.demand() == [("NY", "05 08", 1.0, 1.0), ("NY", "05 09", 1.0, 3.0)]
    assert report.pos is not None
    assert report.pos["lines_replaced"] == 2
    assert {Path(row["name"]).name: row["lines_kept"] for row in list_sources(till.as_home)} == {"a.csv": 1, "c.csv": 1}


def test_a_row_of_an_hourly_table_is_replaced_and_it_is_said(till: Till) -> None:
    hourly = till.folder / "demand.csv"
    hourly.write_text("store_id,hour_local,orders\nNY,2024-01-05 08:00:00,9\nNY,2024-01-05 09:00:00,8\n")
    ingest_table(till.as_home, "demand", [hourly])
    report = till.ingest("a.csv", COFFEE)
    assert till.demand() == [("NY", "05 08", 1.0, 3.0), ("NY", "05 09", 8.0, None)]
    assert any(line.startswith("1 store-hours had demand of no stored line") for line in report.summary)
    ingest_table(till.as_home, "demand", [hourly])
    assert till.demand()[0][2] == 9.0, "a later row of the table takes the place of the sum"
    till.again(till.folder / "a.csv")
    assert till.demand()[0][2] == 1.0, "until lines of the hour come again"


def test_lines_with_and_without_prices_in_one_hour(till: Till) -> None:
    till.ingest("priced.csv", COFFEE)
    till.mapping.write_text(MAPPING.replace('line_total = "Total"\n', ""))
    till.ingest("bare.csv", ROLL)
    assert till.demand() == [("NY", "05 08", 2.0, 3.0)]
    take_back(till.as_home, "priced.csv", NOW)
    assert till.demand() == [("NY", "05 08", 1.0, None)]


def test_sources_are_listed_and_taken_back(till: Till, daypart: Any) -> None:
    home = till.lake.root.parent
    till.ingest("a.csv", COFFEE, "NY,2024-01-05 10:05:00,9,3")
    till.ingest("b.csv", ROLL)
    rows = daypart(home, "sources", "--json").json["sources"]
    row = next(row for row in rows if row["name"].endswith("a.csv"))
    assert (row["lines_read"], row["lines_kept"], row["stores"], row["ingested_utc"]) == (
        2,
        2,
        ["NY"],
        "2024-02-01T04:00:00",
    )
    assert (row["first_hour_local"], row["last_hour_local"]) == ("2024-01-05T08:00:00", "2024-01-05T10:00:00")
    output = daypart(home, "sources", "--take-back", row["sha256"][:12], "--json").json
    assert (output["lines"], output["demand"]["emptied"]) == (2, 1)
    assert till.demand() == [("NY", "05 08", 1.0, 2.0)]
    result = daypart(home, "sources", "--take-back", "a.csv")
    assert (result.status, "was taken back at" in result.err) == (2, True)
    assert daypart(home, "sources", "--take-back", "c.csv").status == 2
    assert "b.csv" in daypart(home, "sources").out
    till.again(till.folder / "a.csv")
    assert till.demand() == [("NY", "05 08", 2.0, 5.0), ("NY", "05 10", 1.0, 3.0)]


def test_a_name_of_two_sources_wants_a_hash(till: Till) -> None:
    till.ingest("1/day.csv", COFFEE)
    till.ingest("2/day.csv", ROLL)
    with pytest.raises(InputError, match="'day.csv' names 2 sources; give the hash of one: "):
        take_back(till.as_home, "day.csv", NOW)
    take_back(till.as_home, str(till.folder / "2" / "day.csv"), NOW)
    assert till.demand() == [("NY", "05 08", 1.0, 3.0)]


class Killed(BaseException):
    """The process ends here."""


STEPS = ("_write_demand", "_write_sources")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("repairing", ["the same command", "another file"])
def test_what_a_kill_between_the_commits_leaves_is_finished(
    till: Till, monkeypatch: pytest.MonkeyPatch, step: str, repairing: str
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    till.ingest("a.csv", COFFEE, "NY,2024-01-05 10:05:00,1,3")
    with monkeypatch.context() as patch:
        patch.setattr(pos_lines, step, killed)
        with pytest.raises(Killed):
            till.ingest("a.csv", "NY,2024-01-05 08:06:00,1,4")
    if repairing == "the same command":
        till.again(till.folder / "a.csv")
        assert till.demand() == [("NY", "05 08", 1.0, 4.0)]
    else:
        report = till.ingest("b.csv", ROLL)
        assert report.pos is not None
        assert report.pos["finished"] == 1
        assert till.demand() == [("NY", "05 08", 2.0, 6.0)]
    assert till.line_counts()["a.csv"] == 1
    with pos_lines.writing(till.lake) as finished:
        assert finished == 0


LINE = st.tuples(st.sampled_from("123"), st.integers(0, 60), st.integers(-3, 9))


@st.composite
def split(draw: st.DrawFn) -> list[list[str]]:
    """Files of a few nights' lines, cut anywhere; equal lines lie in one file."""
    lines = draw(st.lists(LINE, min_size=2, max_size=12, unique=True))
    start = datetime(2024, 1, 5, 14)
    rows = [f"NY,{start + timedelta(minutes=37 * at)},{number},{cents / 100:.2f}" for number, at, cents in lines]
    files = draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    return [part for n in range(3) if (part := [row for row, file in zip(rows, files, strict=True) if file == n])]


@given(split(), st.randoms(use_true_random=False))
@settings(max_examples=4)
def test_any_split_of_lines_into_files_in_any_order_gives_the_demand_of_one_file(
    files: list[list[str]], order: random.Random
) -> None:
    with TemporaryDirectory() as folder:
        combined, apart = Till(Path(folder) / "whole"), Till(Path(folder) / "apart")
        combined.ingest("all.csv", *(line for lines in files for line in lines))
        paths = [apart.write(f"{n}.csv", *lines) for n, lines in enumerate(files)]
        for path in order.sample([*paths, paths[0]], len(paths) + 1):
            apart.again(path)
        assert apart.demand() == combined.demand()
        until_now = apart.write("until-now.csv", *(line for lines in files[:2] for line in lines))
        apart.again(until_now)
        assert apart.demand() == combined.demand()


@pytest.mark.faults
@given(split(), st.randoms(use_true_random=False))
def test_any_split_gives_the_demand_of_one_file(files: list[list[str]], order: random.Random) -> None:
    test_any_split_of_lines_into_files_in_any_order_gives_the_demand_of_one_file.hypothesis.inner_test(files, order)


def test_files_of_one_call_are_sources_and_their_cut_ticket_counts_whole(till: Till) -> None:
    roll = "NY,2024-01-05 08:10:00,1,2"
    paths = [till.write("1.csv", COFFEE, "NY,2024-01-05 08:09:00,1,1", roll), till.write("2.csv", roll, ROLL)]
    till.again(*paths)
    assert till.demand() == [("NY", "05 08", 2.0, 10.0)]
    assert till.again(*paths).rows_unchanged == 1
    assert till.again(paths[1]).rows_replaced == 1, "alone, its equal line is one that the other file holds"


def test_old_lines_go_by_the_retention_and_their_demand_stays(house: Any) -> None:
    till = Till(house.home / "files")
    till.as_home, till.lake = house.as_home, house.lake
    ingest_table(till.as_home, "stores", [till.folder / "stores.csv"])
    till.ingest("old.csv", "NY,2023-01-05 08:05:00,1,3")
    till.ingest("both.csv", "NY,2023-01-06 08:05:00,1,3", COFFEE)
    # From before lines of hours to come were refused.
    ingest_pos(till.as_home, [till.write("ahead.csv", "NY,2031-01-06 08:05:00,1,3")], till.mapping)
    registry = Registry(Settings(home=house.home, lines_days=300))
    removed = maintain(Home(registry.settings), NOW).removed
    assert [(table.table, table.origins) for table in removed.tables if table.table == "pos_lines"] == [
        ("pos_lines", 2)
    ]
    assert [day for _, day, *_ in till.demand()] == ["05 08", "06 08", "05 08", "06 08"]
    with pytest.raises(InputError, match=r"old\.csv cannot be taken back: its lines are gone"):
        take_back(till.as_home, "old.csv", NOW)
    result = take_back(till.as_home, "both.csv", NOW)
    assert (result.lines, result.kept_before) == (1, "2024-01-05")
    assert [day for _, day, *_ in till.demand()] == ["05 08", "06 08", "06 08"]
    assert date(2023, 1, 5) not in house.lake.scan("pos_lines").collect()["date"].to_list()


def test_a_file_of_which_no_line_counts_is_a_source_too(till: Till) -> None:
    till.mapping.write_text(MAPPING + '[[drop]]\ncolumn = "No"\nequals = ["VOID"]\n')
    till.again(till.write("a.csv", COFFEE), till.write("void.csv", ROLL.replace(",2,", ",VOID,")))
    rows = {Path(row["name"]).name: row for row in list_sources(till.as_home)}
    assert (rows["void.csv"]["lines_read"], rows["void.csv"]["lines_kept"], rows["void.csv"]["stores"]) == (1, 0, [])
    result = take_back(till.as_home, "void.csv", NOW)
    assert (result.lines, result.demand.emptied, result.kept_before) == (0, 0, None)
    assert till.demand() == [("NY", "05 08", 1.0, 3.0)]


def test_a_night_reads_only_the_dates_that_it_touches(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    till.ingest("old.csv", *(f"NY,2024-01-{day:02} 08:05:00,1,3" for day in range(1, 20)))
    read: list[int] = []
    stored_lines = pos_lines.stored_lines

    def noted(*arguments: Any) -> pl.DataFrame:
        lines = stored_lines(*arguments)
        read.append(lines.height)
        return lines

    monkeypatch.setattr(pos_lines, "stored_lines", noted)
    monkeypatch.setattr(pos_sources, "stored_lines", noted)
    till.ingest("night.csv", "NY,2024-01-19 18:05:00,2,3")
    assert max(read) <= 3


def test_blocks_of_stores_give_what_all_stores_give(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{store},2024-01-05 08:05:00,{n},{n}" for n, store in enumerate(["NY", "LA"] * 3, 1)]
    till.ingest("a.csv", *lines[:4])
    monkeypatch.setattr(pos_lines, "BLOCK_LINES", 1)
    till.ingest("b.csv", *lines[3:])
    assert till.demand() == [("LA", "05 08", 3.0, 12.0), ("NY", "05 08", 3.0, 9.0)]


def test_a_line_of_an_hour_to_come_is_refused(till: Till) -> None:
    with pytest.raises(ValueRefused, match=r"At '2031-01-06 08:05:00' lies ahead of now, 2024-02-01 04:00 UTC"):
        till.ingest("ahead.csv", "NY,2031-01-06 08:05:00,1,3")
