"""A store's time zone is corrected after its rows came in."""

from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features.clock import ClockChanges
from daypart.features.errors import InputError
from daypart.flows.config.settings import Settings
from daypart.flows.home import Home
from daypart.flows.ingest import time_zone_correction as moves
from daypart.flows.ingest.ingest import ingest_pos, ingest_table
from daypart.flows.ingest.ingest_report import IngestOptions

OLD, NEW = "America/Los_Angeles", "America/New_York"
START, NOW = datetime(2024, 1, 5), datetime(2025, 1, 5)
TABLES = ("demand", "labor", "weather", "pos_lines", "stores")
MAPPING = 'store_id = "S"\n[columns]\ntimestamp = "at"\nticket = "no"\nline_total = "total"\n'


class Shop:
    """A home with store S, whose zone may be corrected, and T, which stays."""

    def __init__(self, folder: Path, zone: str = OLD) -> None:
        self.folder, self.as_home = folder, Home(Settings(home=folder / "home"))
        self.lake = self.as_home.lake
        self.numbers = count()
        self.zone(zone)

    def ingest(self, table: str, text: str, **options: Any) -> Any:
        path = self.folder / f"{next(self.numbers)}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        more = options.pop("more", "")
        if table != "pos":
            return ingest_table(self.as_home, table, [path], IngestOptions(**options))
        mapping = self.folder / "m.toml"
        mapping.write_text(MAPPING + more)
        return ingest_pos(self.as_home, [path], mapping, IngestOptions(**options), NOW)

    def zone(self, zone: str, **options: Any) -> Any:
        return self.ingest("stores", f"store_id,timezone,country\nS,{zone},US\nT,{OLD},US\n", **options)

    def rows(self, table: str) -> pl.DataFrame:
        rows = self.lake.scan(table).collect()
        return rows.sort([name for name in rows.columns if rows[name].dtype != pl.Boolean])

    def state(self) -> dict[str, pl.DataFrame]:
        return {name: self.rows(name) for name in TABLES if self.lake.exists(name)}

    def hours(self, table: str = "demand") -> list[tuple]:
        stem = {"weather": "valid"}.get(table, "hour")
        shown = [pl.col(f"{stem}_{clock}").dt.strftime("%d %H") for clock in ("local", "utc")]
        return self.rows(table).select("store_id", *shown).rows()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def filled(shop: Shop) -> Shop:
    """Rows of every table by local time, and lines."""
    shop.ingest(
        "demand",
        "store_id,hour_local,orders\nS,2024-01-31 18:00:00,9\nS,2024-01-31 07:00:00,8\nT,2024-01-31 18:00:00,7\n",
    )
    shop.ingest("labor", "store_id,hour_local,worked_hours\nS,2024-01-31 18:00:00,2\n")
    shop.ingest("weather", "store_id,valid_local,temperature_c\nS,2024-01-31 18:00:00,2\n")
    shop.ingest("pos", "at,no,total\n2024-01-30 18:05:00,1,3\n2024-01-30 23:50:00,2,4\n2024-01-31 00:10:00,2,5\n")
    return shop


def test_another_zone_of_a_store_with_rows_is_refused(shop: Shop, daypart: Any) -> None:
    shop.zone(NEW)
    shop.zone(OLD)
    filled(shop)
    before = shop.state()
    (shop.folder / "s.csv").write_text(f"store_id,timezone,country\nS,{NEW},US\n")
    result = daypart(shop.lake.root.parent, "ingest", "stores", shop.folder / "s.csv")
    assert result.status == 2
    assert result.err == (
        f"daypart: stores: S has rows by the clock of {OLD}, and the file says {NEW}: correct the file, or pass "
        "--resettle to read the rows' local times by the new zone\n"
    )
    assert all(frame.equals(before[name]) for name, frame in shop.state().items())
    assert daypart(shop.lake.root.parent, "ingest", "demand", shop.folder / "s.csv", "--resettle").status == 2
    assert daypart(shop.lake.root.parent, "ingest", "stores", shop.folder / "s.csv", "--resettle").status == 0
    assert shop.hours()[-1] == ("T", "31 18", "01 02"), "another store's rows stay"


def test_resettled_rows_are_those_of_the_right_zone_from_the_start(shop: Shop, tmp_path: Path) -> None:
    filled(shop)
    report = shop.zone(NEW, resettle=True)
    right = filled(Shop(tmp_path / "right", NEW))
    for name, rows in right.state().items():
        assert_frame_equal(shop.rows(name), rows)
    assert report.summary[:1] == [
        f"S from {OLD} to {NEW}: 3 rows of pos_lines, 5 rows of demand, 1 rows of labor, 1 rows of weather moved; "
        "published forecasts and scores stay as they are"
    ]
    versions = shop.lake.versions()
    shop.zone(NEW, resettle=True)
    assert shop.lake.versions() == versions
    filled(shop)
    assert shop.rows("demand").equals(right.rows("demand")), "the same files again double no hour"


def test_rows_that_came_by_utc_alone_keep_their_moment(shop: Shop) -> None:
    shop.ingest("demand", "store_id,hour_utc,orders\nS,2024-01-31 18:00:00,9\n")
    shop.ingest("labor", "store_id,hour_local,worked_hours\nS,2024-01-31 10:00:00,2\n")
    shop.zone(NEW, resettle=True)
    assert shop.hours() == [("S", "31 13", "31 18")]
    assert shop.hours("labor") == [("S", "31 10", "31 15")]


def test_lines_that_are_instants_keep_their_moment_and_their_demand_moves_on_the_clock(shop: Shop) -> None:
    instants = '[formats]\ntimestamp = "%Y-%m-%d %H:%M%z"\n'
    shop.ingest("pos", "at,no,total\n2024-01-31 02:05+0000,1,3\n", more=instants)
    shop.ingest("demand", "store_id,hour_local,orders\nS,2024-01-31 18:00:00,9\n")
    shop.zone(NEW, resettle=True)
    assert shop.hours() == [("S", "30 21", "31 02"), ("S", "31 18", "31 23")]
    assert shop.rows("pos_lines")["date"].to_list() == [datetime(2024, 1, 30).date()]


def test_a_zone_off_by_half_an_hour_counts_lines_again(shop: Shop) -> None:
    instants = '[formats]\ntimestamp = "%Y-%m-%d %H:%M%z"\n'
    shop.ingest("pos", "at,no,total\n2024-01-31 02:05+0000,1,3\n2024-01-31 02:45+0000,2,4\n", more=instants)
    shop.zone("Asia/Kolkata", resettle=True)
    rows = shop.rows("demand").select(pl.col("hour_local").dt.strftime("%H:%M"), "orders", "sales").rows()
    assert rows == [("07:00", 1.0, 3.0), ("08:00", 1.0, 4.0)]


def test_hours_that_only_the_wrong_clock_showed_twice_become_one(shop: Shop) -> None:
    autumn = "store_id,hour_utc,hour_local,orders\nS,2024-11-03 08:00:00,2024-11-03 01:00:00,3\nS,2024-11-03 09:00:00,2024-11-03 01:00:00,4\n"
    shop.ingest("demand", autumn)
    other = Shop(shop.folder / "other")
    other.ingest("demand", autumn)
    shop.zone("America/Phoenix", resettle=True)
    assert shop.rows("demand").select("orders").rows() == [(7.0,)]
    other.zone(NEW, resettle=True)
    assert other.hours() == [("S", "03 01", "03 05"), ("S", "03 01", "03 06")]
    assert other.rows("demand")["orders"].to_list() == [3.0, 4.0]


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(4))
def test_a_kill_in_the_middle_is_finished_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    shop, right = filled(Shop(tmp_path / "shop")), filled(Shop(tmp_path / "right", NEW))
    steps_left, write = [step], moves.edit

    def killing(*arguments: Any) -> Any:
        if steps_left[0] == 0:
            raise Killed
        steps_left[0] -= 1
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(moves, "edit", killing)
        with pytest.raises(Killed):
            shop.zone(NEW, resettle=True)
    with pytest.raises(InputError, match="pass --resettle"):
        shop.zone(NEW)
    shop.zone(NEW, resettle=True)
    for name, rows in right.state().items():
        assert_frame_equal(shop.rows(name), rows)


CHANGES = ClockChanges("first", "later")
ZONES = st.sampled_from([OLD, NEW, "America/Phoenix", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"])


@given(ZONES, ZONES, st.sets(st.integers(0, 24 * 12), min_size=1, max_size=10), st.booleans())
@settings(max_examples=4)
def test_there_is_one_row_per_local_hour_after_any_correction(
    old: str, new: str, hours: set[int], by_lines: bool
) -> None:
    with TemporaryDirectory() as folder:
        shop = Shop(Path(folder), old)
        at = [START.replace(month=3) + timedelta(hours=hour) for hour in sorted(hours)]
        lines = "".join(f"{moment},{n},1\n" for n, moment in enumerate(at))
        rows = "".join(f"S,{moment},1\n" for moment in at)
        if by_lines:
            shop.ingest("pos", "at,no,total\n" + lines, more="", changes=CHANGES)
        else:
            shop.ingest("demand", "store_id,hour_local,orders\n" + rows, changes=CHANGES)
        before = shop.rows("demand")
        shop.zone(new, resettle=True)
        after = shop.rows("demand")
        assert after.select("store_id", "hour_local").is_unique().all()
        assert after["orders"].sum() == before["orders"].sum()
        same_hours = before.join(after, on=["store_id", "hour_local"], how="semi")
        assert same_hours.height >= before.height - 1, "but for an hour that the new clock skips, local hours stay"
        versions = shop.lake.versions()
        shop.zone(new, resettle=True)
        assert shop.lake.versions() == versions
