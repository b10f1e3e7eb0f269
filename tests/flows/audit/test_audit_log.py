import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.features.errors import InputError
from daypart.flows.audit.audit_log import ANCHOR, Audit, Entry
from daypart.flows.audit.hash_chain import GENESIS_HASH, canonical
from daypart.flows.audit.ledger import Ledger
from daypart.flows.config.settings import Settings
from daypart.flows.lake.lake import Lake
from daypart.flows.registry.registry import Registry

ROOT = Path(__file__).resolve().parents[3]
START = datetime(2025, 1, 1, 3)
RECORDS = 6


def record_details(number: int) -> dict[str, Any]:
    return {
        "version": number,
        "reason": f'naïve, "quoted" reason {number}',
        "figures": {"bps": 12.5, "undefined": None},
    }


def filled(folder: Path, registry: Registry | None = None, records: int = RECORDS) -> Audit:
    audit = Audit(Lake(folder), registry)
    for number in range(1, records + 1):
        audit.append(START + timedelta(days=number), "lead", Entry("promote", "orders", record_details(number)))
    return audit


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "lake"
    filled(folder)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "lake")
    return tmp_path / "lake"


@pytest.fixture
def registry(database: Path, tmp_path: Path) -> Registry:
    shutil.copy(database, tmp_path / "mlflow.db")
    return Registry(Settings(home=tmp_path))


def forge(folder: Path, number: int, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Changes or removes a record as one would who knows how files are named and logged."""
    stored = Ledger(Lake(folder), "audit").files()[number - 1]
    (row,) = pl.read_parquet(stored.path).to_dicts()
    log = folder / "audit" / "_delta_log" / f"{number - 1:020}.json"
    lines = log.read_text().splitlines()
    changed, buffer = change(dict(row)), io.BytesIO()
    schema = pl.read_parquet_schema(stored.path)
    pl.DataFrame([changed] if changed else [], schema=schema).write_parquet(buffer)
    name = f"{hashlib.sha256(buffer.getvalue()).hexdigest()}.parquet"
    (folder / "audit" / name).write_bytes(buffer.getvalue())
    lines = [
        line.replace(stored.path.name, name).replace(f'"size":{stored.path.stat().st_size}', f'"size":{buffer.tell()}')
        for line in lines
    ]
    log.write_text("\n".join(lines))


def flipped(value: Any, rng: random.Random) -> Any:
    """The value with one bit of it another."""
    if isinstance(value, int):
        return value ^ (1 << rng.randrange(8))
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1 << rng.randrange(40))
    at = rng.randrange(len(value))
    return value[:at] + chr(ord(value[at]) ^ (1 << rng.randrange(6))) + value[at + 1 :]


def test_records_come_back_in_order_as_they_were_told(written: Path) -> None:
    audit = Audit(Lake(written))
    rows = audit.records().to_dicts()
    assert [row["sequence"] for row in rows] == list(range(1, RECORDS + 1))
    assert [json.loads(row["details"]) for row in rows] == [record_details(number) for number in range(1, RECORDS + 1)]
    assert [row["previous"] for row in rows] == [GENESIS_HASH, *(row["hash"] for row in rows[:-1])]
    for row in rows:
        fields = [row[name] for name in ("activity", "at_utc", "details", "previous", "role", "sequence", "unit")]
        names = '{{"activity":"{}","at_utc":"{}","details":{},"previous":"{}","role":"{}","sequence":{},"unit":"{}"}}'
        fields[2] = json.dumps(fields[2])
        assert row["hash"] == hashlib.sha256(names.format(*fields).encode()).hexdigest()
    assert audit.verify().faults == []
    assert audit.verify().head == f"{RECORDS}:{rows[-1]['hash']}"


def test_nothing_recorded_is_nothing_wrong_and_asking_leaves_nothing(tmp_path: Path) -> None:
    audit = Audit(Lake(tmp_path / "lake"), Registry(Settings(home=tmp_path / "home")))
    assert audit.records().is_empty()
    assert (audit.verify().records, audit.verify().faults) == (0, [])
    assert list(tmp_path.iterdir()) == []


def test_moments_are_kept_in_utc_and_values_in_one_way(tmp_path: Path) -> None:
    audit, east = Audit(Lake(tmp_path)), timezone(timedelta(hours=5))
    for now in (datetime(2025, 1, 1, 5, tzinfo=east), datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 1)):
        audit.append(now, "lead", Entry("promote", "orders", {"b": float("nan"), "a": now.date()}))
    assert audit.records()["at_utc"].unique().to_list() == [datetime(2025, 1, 1)]
    assert audit.records()["details"].unique().to_list() == ['{"a":"2025-01-01","b":"NaN"}']
    assert canonical({"b": [1, 2], "a": "é"}) == '{"a":"\\u00e9","b":[1,2]}'


def test_several_records_are_one_commit(tmp_path: Path) -> None:
    audit = Audit(Lake(tmp_path))
    audit.extend(START, "automation", [("retrain", f"orders.{n}", {}) for n in range(50)])
    added = audit.extend(START, "automation", [("retrain", f"orders.{n}", {}) for n in range(50)])
    assert (added[0].sequence, added[-1].sequence, Lake(tmp_path).version("audit")) == (51, 100, 1)
    assert audit.verify().faults == []


def test_any_flipped_bit_of_any_column_of_any_record_is_found(folder: Path) -> None:
    """By the hashes alone: files and log are forged to agree with each other."""
    rng, audit = random.Random(7), Audit(Lake(folder))
    log = folder / "audit" / "_delta_log"
    for number in range(1, RECORDS + 1):
        original_text = (log / f"{number - 1:020}.json").read_text()
        for column in audit.records().columns:
            forge(folder, number, lambda row, name=column: {**row, name: flipped(row[name], rng)})
            faults = audit.verify().faults
            assert any(fault.startswith((f"record {number} ", "record ")) and "changed" in fault for fault in faults), (
                number, column, faults,
            )  # fmt: skip
            if column != "sequence":
                assert faults[0].startswith(f"record {number} (")
            (log / f"{number - 1:020}.json").write_text(original_text)
    assert audit.verify().faults == []


def test_any_flipped_byte_of_any_file_is_found(folder: Path) -> None:
    rng, audit = random.Random(3), Audit(Lake(folder))
    for number, stored in enumerate(Ledger(Lake(folder), "audit").files(), 1):
        content = stored.path.read_bytes()
        for at in {0, len(content) - 1, *(rng.randrange(len(content)) for _ in range(6))}:
            stored.path.write_bytes(content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :])
            assert audit.verify().faults == [f"record {number}: the file {stored.path.name} is gone or changed"]
        stored.path.unlink()
        assert audit.verify().faults == [f"record {number}: the file {stored.path.name} is gone or changed"]
        stored.path.write_bytes(content)
    assert audit.verify().faults == []


@pytest.mark.parametrize("number", range(1, RECORDS + 1))
def test_a_removed_record_is_found(folder: Path, number: int) -> None:
    forge(folder, number, lambda row: None)
    place = " from the end: the table's log knows of 6" if number == RECORDS else ""
    assert f"record {number} is gone{place}" in Audit(Lake(folder)).verify().faults


def test_records_that_change_places_and_one_that_is_put_between_are_found(folder: Path) -> None:
    rows = Audit(Lake(folder)).records().to_dicts()
    swapped = {2: 3, 3: 2}
    for number, other in swapped.items():
        forge(folder, number, lambda row, other=other: {**rows[other - 1], "sequence": row["sequence"]})
    faults = Audit(Lake(folder)).verify().faults
    assert [fault[:9] for fault in faults if "was changed" in fault] == ["record 2 ", "record 3 "]
    forge(folder, 2, lambda row: rows[1])
    forge(folder, 3, lambda row: {**rows[1], "role": "planner"})
    faults = Audit(Lake(folder)).verify().faults
    assert "record 2 is there 2 times" in faults
    assert "record 3 is gone" in faults


def test_delta_refuses_to_change_the_table_and_what_is_forced_is_found(folder: Path) -> None:
    from deltalake import DeltaTable, write_deltalake
    from deltalake.exceptions import DeltaError

    table = DeltaTable(folder / "audit")
    with pytest.raises(DeltaError, match="append-only"):
        table.delete("sequence = 2")
    with pytest.raises(DeltaError, match="append-only"):
        table.update(new_values={"role": "planner"}, predicate="sequence = 2")
    table.alter.set_table_properties({"delta.appendOnly": "false"})
    assert Audit(Lake(folder)).verify().faults == []
    rows = Audit(Lake(folder)).records().filter(pl.col("sequence") != 4)
    write_deltalake(table, rows.to_arrow(), mode="overwrite")
    faults = Audit(Lake(folder)).verify().faults
    assert "record 4 is gone" in faults
    assert f"version {RECORDS + 1} of the table was not written by daypart: WRITE" in faults


def test_a_history_made_anew_shows_by_the_registry_and_else_by_a_head_kept_elsewhere(
    registry: Registry, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    head = filled(lake, registry).verify().head
    assert registry.read_note(ANCHOR) == head
    shutil.rmtree(lake)
    filled(lake, None, RECORDS - 2)
    audit = Audit(Lake(lake), registry)
    assert audit.verify().faults == ["records 5 to 6 are gone from the end: the registry knows of 6"]
    alone = Audit(Lake(lake))
    assert alone.verify().faults == []
    assert alone.verify(head).faults == ["records 5 to 6 are gone from the end: the head given knows of 6"]
    other = filled(tmp_path / "other").verify().head
    assert other == head
    assert alone.verify(f"1:{'f' * 64}").faults == ["record 1 is another than the head given knows of"]


@pytest.mark.parametrize("head", ["", "nonsense", "7", "0:" + "f" * 64, "7:" + "F" * 64, "7:" + "f" * 63])
def test_a_head_that_is_none_is_refused(written: Path, head: str) -> None:
    with pytest.raises(InputError, match="--head is .*: expected NUMBER:HASH"):
        Audit(Lake(written)).verify(head)


def test_a_table_that_is_gone_or_whose_log_is_broken_is_told(registry: Registry, tmp_path: Path) -> None:
    audit = filled(tmp_path / "lake", registry, 2)
    log = tmp_path / "lake" / "audit" / "_delta_log" / f"{0:020}.json"
    original_bytes = log.read_bytes()
    log.write_bytes(original_bytes[:50])
    assert f"version 0: {log} is cut or garbled: restore it from a copy" in audit.verify().faults[0]
    shutil.rmtree(tmp_path / "lake")
    assert audit.verify().faults == ["records 1 to 2 are gone from the end: the registry knows of 2"]


def append(lake: str, role: str, count: str) -> None:
    """Appends so many records, or for ever."""
    audit, number = Audit(Lake(lake)), 0
    while number < (float(count)):
        number += 1
        audit.append(START, role, Entry("retrain", "orders", {"number": number}))


def start(folder: Path, role: str, count: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "append", str(folder), role, str(count)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_two_writers_at_once_make_one_chain(tmp_path: Path) -> None:
    both = [start(tmp_path, role, 20) for role in ("analyst", "engineer")]
    error_texts = [writer.communicate(timeout=100)[1].decode() for writer in both]
    assert [writer.returncode for writer in both] == [0, 0], error_texts
    audit = Audit(Lake(tmp_path))
    rows = audit.records()
    assert rows["sequence"].to_list() == list(range(1, 41))
    assert audit.verify().faults == []
    for role in ("analyst", "engineer"):
        role_details = rows.filter(pl.col("role") == role)["details"].to_list()
        assert [json.loads(text)["number"] for text in role_details] == list(range(1, 21))


def test_a_killed_writer_leaves_whole_records(tmp_path: Path) -> None:
    audit, rng = Audit(Lake(tmp_path)), random.Random(1)
    for _ in range(2):
        before = audit.records().height
        writer = start(tmp_path, "engineer", "inf")
        while audit.records().height < before + 3:
            assert writer.poll() is None, writer.stderr
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        assert audit.verify().faults == []
    last = audit.records().height
    assert audit.append(START, "lead", Entry("promote", "orders", {})).sequence == last + 1
    assert audit.verify().faults == []


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
