import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import DamagedError, NotKnownError
from flows.adapters import upkeep
from flows.adapters.lake import Lake
from flows.adapters.lake_cleanup import TableCleanup
from flows.adapters.lake_tables import LAKE
from flows.adapters.table_log import TableLog
from tests.flows.adapters.test_lake import demand, forecasts, rows_of
from tests.flows.aging import age

AGO = timedelta(days=100)
DAYS = timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def written(lake: Lake, first: int, last: int) -> list[pl.DataFrame]:
    """One commit a day of two stores and two months; what the table holds after each."""
    states = []
    for day in range(first, last):
        for store in "BA":
            lake.upsert("demand", demand(range(24 * day, 24 * day + 3), store, orders=float(day)))
        states.append(rows_of(lake, "demand"))
    return states


def cleaned(lake: Lake, days: int = 90, pinned: set[int] | None = None, at: datetime | None = None) -> TableCleanup:
    moment = at or now()
    plan = TableCleanup.plan(lake, "demand", moment - days * DAYS, pinned or set(), moment - 2 * DAYS)
    assert plan is not None
    plan.write_checkpoints(lake)
    plan.remove()
    return plan


def data_files(lake: Lake, table: str = "demand") -> set[str]:
    return {path.name for path in (lake.root / table).rglob("*.parquet") if "_delta_log" not in path.parts}


def test_compaction_leaves_one_sorted_file_a_partition_and_every_row(lake: Lake) -> None:
    (*_, rows) = written(lake, 0, 4)
    assert upkeep.compact(lake, "demand") == 8
    version = lake.version("demand")
    assert_frame_equal(rows_of(lake, "demand"), rows)
    assert_frame_equal(rows_of(lake, "demand", 7), rows)
    files = lake.files("demand", version)["path"].to_list()
    assert sorted(Path(file).parent.name for file in files) == ["month=2025-01", "month=2025-02"]
    for file in files:
        assert pl.read_parquet(lake.root / "demand" / file)["store_id"].is_sorted()
    assert lake.history("demand")["change"][0] == "compact"
    assert upkeep.compact(lake, "demand") == 0
    assert lake.version("demand") == version


def test_compaction_of_a_table_without_partitions(lake: Lake) -> None:
    for day in range(3):
        rows = pl.DataFrame({"unit": "orders", "decided_on": date(2025, 1, day + 1), "reason": "r", "event_id": "e"})
        lake.upsert("announced", rows)
    before = rows_of(lake, "announced")
    assert upkeep.compact(lake, "announced") == 3
    assert_frame_equal(rows_of(lake, "announced"), before)
    assert len(lake.files("announced", 3)["path"].to_list()) == 1


def test_compaction_and_deletion_touch_some_partitions_alone(lake: Lake) -> None:
    for day in (1, 2, 3):
        for target in ("orders", "sales"):
            lake.upsert("forecasts", forecasts(target, date(2025, 1, day)))
    assert upkeep.compact(lake, "forecasts", {date(2025, 1, 1), date(2025, 1, 2)}) == 4
    assert len(lake.files("forecasts", 6)["path"].to_list()) == 4
    assert upkeep.delete(lake, "forecasts", date(2025, 1, 2)) == 1
    assert upkeep.partitions(lake, "forecasts") == [date(2025, 1, 2), date(2025, 1, 3)]
    assert upkeep.partitions(lake, "forecasts", date(2025, 1, 3)) == [date(2025, 1, 2)]
    assert upkeep.delete(lake, "forecasts", date(2025, 1, 2)) == 0
    assert (lake.version("forecasts"), rows_of(lake, "forecasts").height) == (7, 12)


def test_versions_of_the_retention_and_pinned_ones_stay_and_the_rest_goes(lake: Lake, tmp_path: Path) -> None:
    states = written(lake, 0, 5)
    age(tmp_path, AGO)
    upkeep.compact(lake, "demand")
    states += written(lake, 5, 7)
    plan = cleaned(lake, pinned={3, 12})
    # What was the newest 90 days ago is version 9; the compaction and what follows are later.
    assert (plan.keep_from, plan.pinned, len(plan.log_entries)) == (9, (3,), 9)
    assert plan.files == ()
    assert_frame_equal(rows_of(lake, "demand", 3), states[1])
    for version, state in {9: states[4], 10: states[4], 12: states[5], 14: states[6]}.items():
        assert_frame_equal(rows_of(lake, "demand", version), state)
    for version in (0, 4, 8):
        with pytest.raises(NotKnownError, match="choose one from 9 to 14; `daypart maintain` removed earlier ones"):
            lake.scan("demand", version).collect()
    assert TableLog.read(lake.root / "demand").oldest == 9
    assert not cleaned(lake, pinned={3})
    later = cleaned(lake, at=now() + 91 * DAYS)
    assert (later.keep_from, later.pinned, len(later.files)) == (14, (), 10)
    assert_frame_equal(rows_of(lake, "demand"), states[6])
    assert len(data_files(lake)) == len(lake.files("demand", 14)["path"].to_list())


def test_checkpoints_forget_files_that_were_removed_before_the_retention(lake: Lake, tmp_path: Path) -> None:
    written(lake, 0, 5)
    upkeep.compact(lake, "demand")
    age(tmp_path, AGO)
    for days, removals in ((200, 10), (90, 0)):
        upkeep.forget_removals(lake, "demand", days)
        version = lake.version("demand")
        upkeep.write_checkpoint(lake, "demand", version)
        (path,) = TableLog.read(lake.root / "demand").checkpoints[version]
        assert pl.read_parquet(path)["remove"].struct.field("path").is_not_null().sum() == removals
    upkeep.forget_removals(lake, "demand", 90)
    assert lake.version("demand") == version


def test_what_a_writer_is_just_writing_stays_and_what_a_dead_one_left_goes(lake: Lake) -> None:
    written(lake, 0, 2)
    young, old = (lake.root / "demand" / "month=2025-01" / name for name in ("young.parquet", "old.parquet#1"))
    log = lake.root / "demand" / "_delta_log" / "00000000000000000009.json#1"
    for path in (young, old, log):
        path.write_bytes(b"half")
    for path in (old, log):
        os.utime(path, (time.time() - 3 * 86_400,) * 2)
    plan = cleaned(lake)
    assert (plan.keep_from, set(plan.files), plan.log_entries) == (0, {old}, (log,))
    assert young.exists()


def test_readers_and_writers_go_on_while_a_table_is_maintained(lake: Lake, tmp_path: Path) -> None:
    written(lake, 0, 3)
    age(tmp_path, AGO)
    opened, rows = lake.scan("demand"), rows_of(lake, "demand")
    states: list[pl.DataFrame] = []
    writer = Thread(target=lambda: states.extend(written(Lake(lake.root), 3, 9)))
    writer.start()
    while writer.is_alive():
        upkeep.compact(lake, "demand")
        cleaned(lake)
        assert rows_of(lake, "demand").height >= rows.height
    writer.join()
    assert len(states) == 6
    assert_frame_equal(rows_of(lake, "demand"), states[-1])
    assert_frame_equal(opened.collect().sort(LAKE["demand"].key), rows)


def test_a_log_that_cannot_be_read_stops_the_plan(lake: Lake, tmp_path: Path) -> None:
    written(lake, 0, 2)
    age(tmp_path, AGO)
    upkeep.write_checkpoint(lake, "demand", 3)
    entry = lake.root / "demand" / "_delta_log" / f"{2:020d}.json"
    entry.write_bytes(entry.read_bytes()[:40])
    with pytest.raises(DamagedError, match="log entry of version 2 .* restore"):
        cleaned(lake, days=200)
