"""Rows by way of the disk come to what they come to whole."""

import os
import random
import subprocess
import sys
import time
from datetime import datetime, timedelta
from glob import glob
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features.errors import ValueRefused
from daypart.flows.lake.commits import UNFINISHED
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.staging import Staging
from daypart.flows.lake.tables import LAKE

START = datetime.fromisoformat("2025-01-31 12:00:00")
VALUE = st.sampled_from([None, 1.0, 2.0])
ROWS = st.dictionaries(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 4)), st.tuples(VALUE, VALUE), min_size=1, max_size=8
)
LACKS = st.sampled_from([(), ("orders",), ("sales",)])
"""Columns that a file lacks."""
CALLS = st.lists(st.lists(st.tuples(ROWS, LACKS), min_size=1, max_size=4), min_size=1, max_size=3)


def frame(rows: dict[tuple[str, int], tuple[float | None, float | None]]) -> pl.DataFrame:
    """Ten hours a step: the rows of a store lie in two months."""
    hours = [START + timedelta(hours=10 * step) for _, step in rows]
    keys = {"store_id": [store for store, _ in rows], "hour_local": hours, "hour_utc": hours}
    values = {
        name: pl.Series([v[n] for v in rows.values()], dtype=pl.Float64) for n, name in enumerate(("orders", "sales"))
    }
    return pl.DataFrame({**keys, **values}, schema=dict(LAKE["demand"].schema))


Stored = dict[tuple[str, datetime], list[float | None]]


def one_by_one(stored: Stored, frames: list[pl.DataFrame]) -> Stored:
    """The slow and obvious way: each file's columns, null or not, over what was there."""
    merged = {key: list(values) for key, values in stored.items()}
    for row in (row for batch in frames for row in batch.to_dicts()):
        values = merged.setdefault((row["store_id"], row["hour_utc"]), [None, None])
        for n, name in enumerate(("orders", "sales")):
            values[n] = row.get(name, values[n])
    return merged


@given(CALLS)
@settings(max_examples=25)
def test_each_file_changes_the_columns_that_it_has(calls: list[list[tuple[dict, tuple[str, ...]]]]) -> None:
    stored: Stored = {}
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake")
        for files in calls:
            frames = [frame(rows).drop(lacks) for rows, lacks in files]
            with Staging("demand", lake.root.parent) as staged:
                for batch in frames:
                    staged.add(batch)
                upserted = lake.upsert("demand", staged)
            before, stored = stored, one_by_one(stored, frames)
            touched = {(row["store_id"], row["hour_utc"]) for batch in frames for row in batch.to_dicts()}
            same = sum(key in before and before[key] == stored[key] for key in touched)
            fresh = len(touched - set(before))
            assert (upserted.inserted, upserted.replaced, upserted.unchanged) == (
                fresh,
                len(touched) - fresh - same,
                same,
            )
            rows = lake.scan("demand").collect().to_dicts()
            actual = {(row["store_id"], row["hour_utc"]): [row["orders"], row["sales"]] for row in rows}
            assert actual == stored


def test_each_partition_comes_once_in_order_of_time_and_again_when_asked(tmp_path: Path) -> None:
    with Staging("demand", tmp_path) as staged:
        staged.add(frame({("B", 4): (1.0, None), ("B", 0): (2.0, None)}))
        staged.add(frame({("A", 0): (3.0, None)}))
        staged.add(frame({("B", 0): (None, 9.0)}).drop("orders"))
        first, again = list(staged), list(staged)
        assert not list(tmp_path.iterdir()), "the files have no name"
    assert [part["month"].unique().to_list() for part in first] == [["2025-01"], ["2025-02"]]
    assert [part.sort("store_id")["orders"].to_list() for part in first] == [[3.0, 2.0], [1.0]]
    for part, same in zip(first, again, strict=True):
        assert_frame_equal(part, same)


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    rows = frame({("A", 0): (1.0, None)})
    with Staging("demand", tmp_path) as staged, pytest.raises(ValueRefused, match="2 rows share a key"):
        staged.add(pl.concat([rows, rows]))


STORES, HOURS, ADDITIONS = 50, 1500, 4


def many(number: int, orders: float) -> pl.DataFrame:
    moment = pl.lit(START) + pl.duration(hours=pl.int_range(HOURS, dtype=pl.Int64))
    hours = pl.select(hour_local=moment, hour_utc=moment)
    names = pl.DataFrame({"store_id": [f"S{number * STORES + n:04d}" for n in range(STORES)]})
    return names.join(hours, how="cross").with_columns(orders=pl.lit(orders))


def write(root: str, orders: str) -> None:
    """What a process upserts: all stores in one commit."""
    with Staging("demand", Path(root).parent) as staged:
        for number in range(ADDITIONS):
            staged.add(many(number, float(orders)))
        print("staged", flush=True)
        Lake(root).upsert("demand", staged)


def begin(root: Path, orders: float) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, __file__, "write", str(root), str(orders)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip


def orders(lake: Lake) -> list[tuple[float, int]]:
    return sorted(lake.scan("demand").group_by("orders").len().collect().rows())


def count_files(lake: Lake) -> int:
    """Data files, also those that are being written; folders may vanish meanwhile."""
    return len(glob("**/*.parquet", root_dir=lake.root, recursive=True, include_hidden=True))


ALL = STORES * HOURS * ADDITIONS


@pytest.mark.parametrize("begun", [False, True])
def test_a_killed_writer_leaves_all_or_nothing_and_no_litter(tmp_path: Path, begun: bool) -> None:
    lake, chance = Lake(tmp_path / "home" / "lake"), random.Random(4)
    if begun:
        write(str(lake.root), "0")
    for number in range(1, 4):
        before = orders(lake) if lake.exists("demand") else []
        writer = begin(lake.root, number)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "staged\n"
        until = time.monotonic() + 5
        files = count_files(lake)
        while time.monotonic() < until and count_files(lake) == files:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))
        writer.kill()
        writer.communicate()
        stored = orders(lake) if lake.exists("demand") else []
        assert stored in (before, [(float(number), ALL)])
        assert {path.name for path in lake.root.parent.iterdir()} <= {"lake"}
    write(str(lake.root), "9")
    assert orders(lake) == [(9.0, ALL)]
    assert list((lake.root / UNFINISHED).iterdir()) == []


def test_two_writers_at_once_leave_one_after_the_other(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "home" / "lake")
    writers = [begin(lake.root, number) for number in (1, 2)]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert orders(lake) in ([(1.0, ALL)], [(2.0, ALL)])
    assert lake.version("demand") == 1


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
