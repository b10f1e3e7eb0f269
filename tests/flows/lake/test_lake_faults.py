"""What other processes, kills and full disks do to the lake: real processes, real limits.

Run as a program it is the writer, or the one that meets the limit.
"""

import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.errors import DaypartError
from daypart.flows.lake import lake as module
from daypart.flows.lake.lake import Lake, Upserted

BATCHES = 12
HALF = 20
START = datetime.fromisoformat("2025-01-31 12:00:00")


def batch(store: str, number: int) -> pl.DataFrame:
    """Says its number in every row; its first half takes the place of the second half of the batch before."""
    steps = pl.int_range(number * HALF, (number + 2) * HALF, dtype=pl.Int64)
    moment = pl.lit(START) + pl.duration(minutes=36 * steps)
    columns = {"store_id": pl.lit(store), "orders": pl.lit(float(number))}
    return pl.select(hour_local=moment, hour_utc=moment, **columns)


def after(store: str, batches: int) -> pl.DataFrame:
    """What all batches of one store leave, in key order."""
    rows = pl.concat(batch(store, number) for number in range(batches))
    last = rows.group_by("store_id", "hour_utc").agg(pl.col("orders").max())
    return last.sort("store_id", "hour_utc")


def stored_rows(root: Path, store: str, version: int | None = None) -> pl.DataFrame:
    rows = Lake(root).scan("demand", version).filter(pl.col("store_id") == store)
    return rows.select("store_id", "hour_utc", "orders").collect().sort("store_id", "hour_utc")


def write(root: str, store: str) -> None:
    """The loop of a writer, once it is told to go."""
    beside = Path(root).parent
    (beside / f"ready-{random.random()}").touch()
    while not (beside / "go").exists():
        time.sleep(0.001)
    for number in range(BATCHES):
        Lake(root).upsert("demand", batch(store, number))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def writers(root: Path, stores: str) -> list["subprocess.Popen[str]"]:
    """One process a letter, all let go at the same moment."""
    command = [sys.executable, __file__, "write", str(root)]
    begun = [subprocess.Popen([*command, store], stderr=subprocess.PIPE, text=True) for store in stores]
    while len(list(root.parent.glob("ready-*"))) < len(stores):
        assert all(writer.poll() is None for writer in begun)
        time.sleep(0.01)
    (root.parent / "go").touch()
    return begun


def test_writers_at_once_leave_what_they_leave_one_after_the_other(root: Path) -> None:
    for writer in writers(root, "AABC"):
        _, complaint = writer.communicate()
        assert (writer.returncode, complaint) == (0, "")
    for store in "ABC":
        assert_frame_equal(stored_rows(root, store), after(store, BATCHES))
    # Every upsert that changed anything is one version: none was lost, none was written twice.
    assert BATCHES * 3 <= Lake(root).history("demand").height <= BATCHES * 4


class Overtaken(Lake):
    """A lake whose writer is overtaken by another one after it has read and before it commits."""

    def __init__(self, root: Path, other_batches: list[pl.DataFrame]) -> None:
        super().__init__(root)
        self.other_batches = other_batches

    def _write(self, *arguments: Any, **options: Any) -> int:
        if self.other_batches:
            Lake(self.root).upsert("demand", self.other_batches.pop())
        return super()._write(*arguments, **options)


@pytest.mark.parametrize("begun", [False, True])
def test_a_key_that_two_writers_bring_at_once_is_there_once(root: Path, begun: bool) -> None:
    if begun:
        Lake(root).upsert("demand", batch("B", 0))
    upserted = Overtaken(root, [batch("A", 0)]).upsert("demand", batch("A", 1))
    assert upserted == Upserted(taken=HALF, replaced=HALF, unchanged=0, version=2 if begun else 1)
    assert_frame_equal(stored_rows(root, "A"), after("A", 2))


def test_a_row_that_another_writer_changed_is_not_put_back(root: Path) -> None:
    Lake(root).upsert("demand", batch("A", 0))
    rows = batch("A", 0).with_columns(sales=pl.lit(9.0)).drop("orders").head(1)
    Overtaken(root, [batch("A", 1)]).upsert("demand", rows)
    assert_frame_equal(stored_rows(root, "A"), after("A", 2))
    assert Lake(root).scan("demand").select(pl.col("sales").sum()).collect().item() == 9.0


def test_a_writer_that_is_always_overtaken_gives_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    lake = Overtaken(root, [batch("B", number) for number in (2, 1, 0)])
    with pytest.raises(DaypartError, match="other writers came first 3 times"):
        lake.upsert("demand", batch("A", 0))
    assert stored_rows(root, "A").is_empty()
    assert_frame_equal(stored_rows(root, "B"), after("B", 3))


def test_a_killed_writer_leaves_whole_batches_and_can_be_run_again(root: Path) -> None:
    chance, versions = random.Random(3), 0
    for number, store in enumerate("ABCDEF"):
        [writer] = writers(root, store)
        while (Lake(root).version("demand") or 0) < versions + number % 4:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.03))
        writer.kill()
        writer.communicate()
        assert writer.returncode == -9
        _forget(root)
        lake = Lake(root)
        versions = lake.version("demand") or 0
        rows = stored_rows(root, store) if lake.exists("demand") else after(store, 1).clear()
        assert_frame_equal(rows, after(store, rows.height // HALF - 1) if rows.height else rows)
    assert versions > 0
    for store in "ABCDEF":
        for number in range(BATCHES):
            Lake(root).upsert("demand", batch(store, number))
        assert_frame_equal(stored_rows(root, store), after(store, BATCHES))


def _forget(root: Path) -> None:
    for mark in [*root.parent.glob("ready-*"), root.parent / "go"]:
        mark.unlink()


def big() -> pl.DataFrame:
    """Half a megabyte that does not compress."""
    chance = random.Random(5)
    sales = pl.Series("sales", [chance.random() for _ in range(60_000)])
    moment = pl.lit(START) + pl.duration(minutes=pl.int_range(60_000, dtype=pl.Int64))
    return pl.select(store_id=pl.lit("A"), hour_local=moment, hour_utc=moment).with_columns(sales)


def write_big(root: str, file_bytes: str) -> None:
    """Prints how a big upsert fails where no file may grow beyond `file_bytes`."""
    if file_bytes != "0":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes), int(file_bytes)))
    try:
        Lake(root).upsert("demand", big())
    except (DaypartError, OSError) as failed:
        print(f"{type(failed).__name__}: {failed}")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB; skipped where this user may mount none."""
    mount = tmp_path / "small"
    mount.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if mounting.returncode:
        pytest.skip("this user may not mount a small file system")
    yield mount / "lake"
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.parametrize("begun", [False, True])
def test_a_file_that_cannot_grow_leaves_the_last_version(root: Path, begun: bool) -> None:
    _assert_survives(root, begun, file_bytes=100_000)
    Lake(root).upsert("demand", big())
    assert Lake(root).scan("demand").collect().height >= 60_000


@pytest.mark.parametrize("begun", [False, True])
def test_a_full_disk_leaves_the_last_version(full_disk: Path, begun: bool) -> None:
    _assert_survives(full_disk, begun, file_bytes=0)


def _assert_survives(root: Path, begun: bool, file_bytes: int) -> None:
    if begun:
        Lake(root).upsert("demand", batch("A", 0))
    command = [sys.executable, __file__, "write_big", str(root), str(file_bytes)]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert completed.stdout.startswith("DaypartError: demand was not written")
    assert completed.stdout.count("\n") == 1
    assert Lake(root).version("demand") == (0 if begun else None)
    if begun:
        assert_frame_equal(stored_rows(root, "A"), after("A", 1))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
