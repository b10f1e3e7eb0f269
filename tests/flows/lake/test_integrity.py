"""Files of the lake that are cut, emptied, changed or gone: found, named, and never written over."""

import json
import shutil
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from daypart.features.errors import DamagedError
from daypart.flows.audit.audit_log import Audit
from daypart.flows.lake import commits, integrity
from daypart.flows.lake.delta_log import HINT
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import lake_table

START = datetime.fromisoformat("2025-01-31 20:00")


def demand(number: int) -> pl.DataFrame:
    """Eight hours of two months."""
    hours = [START + timedelta(hours=hour) for hour in range(8)]
    return pl.DataFrame({"store_id": f"S{number}", "hour_local": hours, "hour_utc": hours, "orders": float(number)})


@pytest.fixture(scope="module")
def original_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 0 to 4 of demand, the last of which puts one store's rows in the place of older ones."""
    lake = Lake(tmp_path_factory.mktemp("whole") / "lake")
    for number in (0, 1, 2, 3):
        lake.upsert("demand", demand(number))
    lake.upsert("demand", demand(3).with_columns(orders=9.0))
    return lake.root


@pytest.fixture
def lake(original_lake: Path, tmp_path: Path) -> Lake:
    return Lake(shutil.copytree(original_lake, tmp_path / "lake"))


def entry(lake: Lake, version: int) -> Path:
    return lake.root / "demand" / "_delta_log" / f"{version:020}.json"


def checkpointed(lake: Lake) -> Path:
    """The checkpoint of version 4, after which version 5 came."""
    delta = lake.open("demand")
    assert delta is not None
    delta.create_checkpoint()
    lake.upsert("demand", demand(5))
    return entry(lake, 4).with_suffix(".checkpoint.parquet")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def lose_last_line(path: Path) -> None:
    path.write_text("\n".join(lines(path)[:-1]) + "\n")


def keep_first_line(path: Path) -> None:
    path.write_text(lines(path)[0])


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(lake: Lake, message: str) -> None:
    """Reading and writing say so in a line, and nothing is written."""
    before = files_of(lake.root)
    for act in (lambda: lake.scan("demand"), lambda: lake.upsert("demand", demand(8)), lambda: lake.exists("demand")):
        with pytest.raises(DamagedError) as damaged:
            act()
        assert message in str(damaged.value)
        assert "\n" not in str(damaged.value)
    assert files_of(lake.root) == before


@pytest.mark.parametrize("damage", [empty, halve, zero, lose_last_line, keep_first_line])
def test_a_damaged_last_entry_is_refused_and_moving_it_away_takes_the_table_back(
    lake: Lake, damage: Callable[[Path], None]
) -> None:
    path, before = entry(lake, 4), lake.scan("demand", 3).collect().sort(pl.all())
    damage(path)
    refused(lake, f"table demand, version 4: {path} is ")
    refused(lake, "move it away, which takes the table back to version 3, and run `daypart ingest demand FILE` again")
    (finding,) = integrity.verify(lake).damages
    assert (finding.table, finding.version, finding.file) == ("demand", 4, str(path))
    path.unlink()
    assert lake.scan("demand").collect().sort(pl.all()).equals(before)
    assert lake.upsert("demand", demand(3).with_columns(orders=9.0)).version == 4


@pytest.mark.parametrize("damage", [empty, halve, Path.unlink])
def test_a_damaged_entry_before_the_last_one_is_refused(lake: Lake, damage: Callable[[Path], None]) -> None:
    damage(entry(lake, 2))
    refused(lake, f"table demand, version 2: {entry(lake, 2)} is ")
    refused(lake, "restore it from a copy")


def test_an_only_entry_that_is_empty_is_no_missing_table(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.upsert("demand", demand(0))
    empty(entry(lake, 0))
    refused(lake, f"table demand, version 0: {entry(lake, 0)} is empty")


@pytest.mark.parametrize("damage", [empty, halve, zero, Path.unlink])
def test_a_damaged_checkpoint_is_refused_and_moving_it_away_mends_it(
    lake: Lake, damage: Callable[[Path], None]
) -> None:
    path = checkpointed(lake)
    rows = lake.scan("demand").collect().sort(pl.all())
    damage(path)
    refused(lake, "table demand, version 4: ")
    with pytest.raises(DamagedError, match="move it and _last_checkpoint away|delete it, the entries are all there"):
        lake.open("demand")
    path.unlink(missing_ok=True)
    path.with_name(HINT).unlink()
    assert lake.scan("demand").collect().sort(pl.all()).equals(rows)


@pytest.mark.parametrize("damage", [empty, halve, zero])
def test_a_damaged_hint_at_the_checkpoint_is_refused(lake: Lake, damage: Callable[[Path], None]) -> None:
    path = checkpointed(lake).with_name(HINT)
    damage(path)
    refused(lake, f"table demand: {path} cannot be read: delete it, the log is whole without it")
    path.unlink()
    assert integrity.verify(lake).damages == []


def test_entries_before_a_checkpoint_may_be_cleaned_up_but_not_damaged(lake: Lake) -> None:
    checkpointed(lake)
    rows = lake.scan("demand").collect().height
    empty(entry(lake, 2))
    assert lake.scan("demand").collect().height == rows, "only older versions need it"
    assert [str(entry(lake, 2))] == [damage.file for damage in integrity.verify(lake).damages]
    for version in range(4):
        entry(lake, version).unlink()
    assert integrity.verify(lake).damages == []


def test_what_a_killed_writer_leaves_is_no_damage(lake: Lake) -> None:
    (entry(lake, 4).with_name("_commit_0b.json.tmp")).write_bytes(b"")
    (lake.root / "demand" / "month=2025-01" / "part-x.parquet").write_bytes(b"half")
    leftover = lake.root / commits.UNFINISHED / "elsewhere.1.abc.def"
    leftover.mkdir(parents=True)
    (leftover / "part.parquet").write_bytes(b"half")
    assert integrity.verify(lake).damages == []
    assert lake.upsert("demand", demand(5)).version == 5


# Data files


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def data_file(lake: Lake, table: str = "demand") -> Path:
    return lake.root / table / lake.files(table)["path"][0]


@pytest.mark.parametrize("damage", [flip, extend, halve, empty, zero, Path.unlink])
def test_a_damaged_data_file_is_found(lake: Lake, damage: Callable[[Path], None]) -> None:
    before = integrity.verify(lake)
    assert (before.unverified, before.damages) == (0, [])
    assert before.files == lake.files("demand").height > 0
    path = data_file(lake)
    damage(path)
    (finding,) = integrity.verify(lake).damages
    assert (finding.table, finding.version, finding.file) == ("demand", 4, str(path))
    assert str(finding).endswith(": restore it from a copy")
    with pytest.raises(DamagedError, match=f"table demand, version 4: {path}"):
        integrity.check_versions(lake, {"demand": 4})


def test_only_the_files_of_a_version_are_looked_at(lake: Lake) -> None:
    old, new = ({*lake.files("demand", version)["path"]} for version in (3, 4))
    (removed_file, *_) = old - new
    flip(lake.root / "demand" / removed_file)
    integrity.check_versions(lake, {"demand": 4})
    with pytest.raises(DamagedError, match="version 3"):
        integrity.check_versions(lake, {"demand": 3})


def test_a_partition_is_looked_at_alone(tmp_path: Path) -> None:
    lake, days = Lake(tmp_path / "lake"), [date(2025, 1, 1), date(2025, 1, 2)]
    for day in days:
        row = dict.fromkeys(lake.columns("forecasts"))
        row |= {"store_id": "A", "target": "orders", "origin_date": day, "lead_days": 0, "hour_utc": START}
        schema = lake_table("forecasts").schema
        lake.replace("forecasts", pl.DataFrame([row], schema=schema), day)
    (path,) = (lake.root / "forecasts" / f"origin_date={days[0]}").iterdir()
    flip(path)
    integrity.check_versions(lake, {"forecasts": 1}, {"forecasts": days[1]})
    with pytest.raises(DamagedError, match="holds other bytes than were written"):
        integrity.check_versions(lake, {"forecasts": 1}, {"forecasts": days[0]})


def test_a_file_of_before_checksums_counts_as_unverified(lake: Lake) -> None:
    from deltalake import write_deltalake

    delta = lake.open("demand")
    rows = lake.scan("demand", 0).collect().with_columns(store_id=pl.lit("old"), month=pl.lit("2025-01"))
    write_deltalake(delta, rows.to_arrow(), mode="append")
    verification = integrity.verify(lake)
    assert (verification.unverified, verification.damages) == (1, [])
    (old,) = (path for path in (lake.root / "demand").rglob("*.parquet") if len(path.name) < 100)
    halve(old)
    assert [damage.file for damage in integrity.verify(lake).damages] == [str(old)]


def test_audit_records_are_verified_too(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    Audit(lake).append(START, "lead", "retrain", "orders", {})
    assert integrity.verify(lake).files == 1
    flip(data_file(lake, "audit"))
    assert len(integrity.verify(lake).damages) == 1


def test_any_reader_of_delta_tables_reads_what_is_written(lake: Lake) -> None:
    rows = pl.read_delta(str(lake.root / "demand")).drop("month").sort("store_id", "hour_utc")
    assert rows.equals(lake.scan("demand").collect().select(rows.columns).sort("store_id", "hour_utc"))
    info = json.loads(lines(entry(lake, 4))[0])["commitInfo"]
    assert info["change"] == "upsert"


def test_files_rewritten_by_a_commit_have_their_checksums(lake: Lake) -> None:
    """As a compaction does: fewer files, the same rows."""
    rows = lake.scan("demand").collect().sort(pl.all())

    def compact(delta: object) -> int:
        stored = [pl.scan_delta(delta).collect()]  # type: ignore[arg-type]
        return lake.overwrite("demand", stored, delta, "compact", None)  # type: ignore[arg-type]

    assert lake.committed("demand", compact) == 5
    assert lake.scan("demand").collect().sort(pl.all()).equals(rows)
    assert (lake.files("demand").height, integrity.verify(lake).unverified) == (2, 0)
