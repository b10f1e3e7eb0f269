"""An audit table that is cut: nothing is appended to it, and verification tells of it until a person repairs it."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daypart.features.errors import DamagedError
from daypart.flows.audit.audit_log import ANCHOR, Audit, Entry
from daypart.flows.audit.hash_chain import hash_of
from daypart.flows.audit.ledger import Ledger
from daypart.flows.audit.verification import gaps, spans
from daypart.flows.config.settings import Settings
from daypart.flows.lake.lake import Lake
from daypart.flows.registry.registry import Registry
from tests.flows.audit.test_audit_log import forge

NOW = datetime(2025, 3, 1, 4)
RECORDS = 6
Cut = Callable[[Path], object]


class Home:
    """A lake with six audit records that can be put back as they were, and the registry that noted them."""

    def __init__(self, folder: Path, database: Path) -> None:
        shutil.copy(database, folder / "mlflow.db")
        self.registry, self._original = Registry(Settings(home=folder)), folder / "kept"
        for number in range(1, RECORDS + 1):
            Audit(Lake(self._original), self.registry).append(
                NOW, "lead", Entry("promote", "orders", {"version": number})
            )
        self.head = str(self.registry.read_note(ANCHOR))
        self.lake, self._runs = folder, 0

    def restored(self) -> Path:
        """The lake's folder, a new copy of the table as it was written."""
        self._runs += 1
        self.lake = self._original.with_name(f"lake-{self._runs}")
        shutil.copytree(self._original, self.lake)
        self.registry.write_note(ANCHOR, self.head)
        return self.lake

    @property
    def audit(self) -> Audit:
        return Audit(Lake(self.lake), self.registry)

    def append(self) -> int:
        return self.audit.append(NOW, "engineer", Entry("retrain", "orders", {})).sequence


@pytest.fixture(scope="module")
def kept_home(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("verification"), database)


@pytest.fixture
def home(kept_home: Home) -> Home:
    kept_home.restored()
    return kept_home


def log(lake: Path, version: int) -> Path:
    return lake / "audit" / "_delta_log" / f"{version:020}.json"


def cut_end(lake: Path, count: int) -> None:
    """Removes the last records' files and log entries, as if they had never been."""
    for file in Ledger(Lake(lake), "audit").files()[-count:]:
        file.path.unlink(missing_ok=True)
    for version in range(Lake(lake).version("audit") + 1)[-count:]:
        log(lake, version).unlink()


def lose_file(lake: Path, number: int) -> None:
    Ledger(Lake(lake), "audit").files()[number - 1].path.unlink()


def overwrite_file(lake: Path, number: int) -> None:
    Ledger(Lake(lake), "audit").files()[number - 1].path.write_bytes(b"not a record")


CUTS: dict[str, st.SearchStrategy[Cut]] = {
    "the last records": st.integers(1, RECORDS).map(lambda count: lambda lake: cut_end(lake, count)),
    "a file": st.integers(1, RECORDS).map(lambda number: lambda lake: lose_file(lake, number)),
    "a file's bytes": st.integers(1, RECORDS).map(lambda number: lambda lake: overwrite_file(lake, number)),
    "a log entry": st.integers(0, RECORDS - 1).map(lambda version: lambda lake: log(lake, version).unlink()),
    "a log entry's end": st.integers(0, RECORDS - 1).map(
        lambda version: lambda lake: log(lake, version).write_text(log(lake, version).read_text()[:99])
    ),
    "a log entry's text": st.integers(0, RECORDS - 1).map(
        lambda version: lambda lake: log(lake, version).write_text("")
    ),
    "the log": st.just(lambda lake: [path.unlink() for path in log(lake, 0).parent.iterdir()]),
    "the table": st.just(lambda lake: shutil.rmtree(lake / "audit")),
    "a record, and the log fits": st.integers(1, RECORDS).map(lambda n: lambda lake: forge(lake, n, lambda row: None)),
}


def repair(home: Home) -> int:
    """Repairs the audit; where its log cannot be read, the folder is moved away first, as the error says."""
    try:
        repair_record = home.audit.repair(NOW, "lead", "the disk broke")
    except DamagedError:
        shutil.rmtree(home.lake / "audit")
        repair_record = home.audit.repair(NOW, "lead", "the disk broke")
    assert repair_record is not None
    return repair_record.sequence


@settings(max_examples=16, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.one_of(*CUTS.values()), appends=st.integers(1, 2), later=st.integers(0, 2))
def test_whatever_is_cut_is_found_until_it_is_repaired_and_a_cut_repair_is_found_again(
    kept_home: Home, cut: Cut, appends: int, later: int
) -> None:
    home = kept_home
    cut(home.restored())
    for _ in range(appends):
        with pytest.raises(DamagedError) as refused:
            home.append()
        assert "\n" not in str(refused.value)
        assert home.audit.verify().faults != []
        assert home.registry.read_note(ANCHOR) == home.head
    assert repair(home) == RECORDS + 1
    assert [home.append() for _ in range(later)] == [*range(RECORDS + 2, RECORDS + 2 + later)]
    verified = home.audit.verify()
    assert verified.faults == []
    assert "repaired by record 7 by lead on 2025-03-01: the disk broke" in verified.repaired[0]
    assert home.audit.repair(NOW, "lead", "again") is None
    cut_end(home.lake, later + 1)
    assert home.audit.verify().faults != []
    with pytest.raises(DamagedError):
        home.append()
    assert repair(home) == RECORDS + 2 + later
    assert home.audit.verify().faults == []


def test_a_cut_end_is_named_and_its_numbers_are_not_used_again(home: Home) -> None:
    cut_end(home.lake, 2)
    fault = "records 5 to 6 are gone from the end: the registry knows of 6"
    assert home.audit.verify().faults == [fault]
    with pytest.raises(DamagedError, match=f"nothing more is recorded: {fault}; see `daypart audit --verify`"):
        home.append()
    repair_record = home.audit.repair(NOW, "lead", "the disk broke")
    assert repair_record is not None
    assert (repair_record.sequence, f"6:{repair_record.previous}") == (7, home.head)
    details = json.loads(repair_record.details)
    assert (details["missing"], details["faults"]) == ([[5, 6]], [fault])
    assert (details["noted"], details["reason"]) == ({"the registry": home.head}, "the disk broke")
    repaired = "records 5 to 6 are missing; repaired by record 7 by lead on 2025-03-01: the disk broke"
    assert home.audit.verify().repaired == [repaired]
    assert home.append() == 8
    assert home.audit.records()["sequence"].to_list() == [1, 2, 3, 4, 7, 8]


def test_a_repair_covers_what_it_names_and_nothing_that_comes_later(home: Home) -> None:
    lose_file(home.lake, 3)
    assert repair(home) == 7
    lose_file(home.lake, 2)
    (fault,) = home.audit.verify().faults
    assert fault.startswith("record 2: the file")
    with pytest.raises(DamagedError, match="record 2: the file"):
        home.append()
    assert repair(home) == 8
    assert [text.partition(";")[0] for text in home.audit.verify().repaired] == [
        "record 3 is missing", "record 2 is missing",
    ]  # fmt: skip


def test_a_changed_record_that_was_acknowledged_and_is_changed_again_is_a_fault_again(home: Home) -> None:
    forge(home.lake, 4, lambda row: {**row, "role": "planner"})
    (fault,) = home.audit.verify().faults
    assert fault.startswith("record 4 (promote of orders by planner")
    assert repair(home) == 7
    assert home.audit.verify().faults == []
    assert home.audit.verify().repaired[0].startswith(fault)
    assert home.append() == 8
    forge(home.lake, 4, lambda row: {**row, "details": '{"version":9}'})
    assert home.audit.verify().faults == [fault]


def test_lost_records_that_come_back_are_as_they_were_written(home: Home, tmp_path: Path) -> None:
    file = Ledger(Lake(home.lake), "audit").files()[2].path
    file.rename(tmp_path / file.name)
    assert repair(home) == 7
    shutil.move(tmp_path / file.name, file)
    assert (home.audit.verify().faults, home.audit.verify().repaired) == ([], [])
    assert home.append() == 8


def test_a_record_that_is_put_into_a_repaired_gap_is_found(home: Home) -> None:
    cut_end(home.lake, 2)
    assert repair(home) == 7
    (row,) = home.audit.records().filter(pl.col("sequence") == 4).to_dicts()
    fake = {**row, "sequence": 5, "previous": row["hash"], "role": "planner"}
    fake["hash"] = hash_of(fake)
    Ledger(Lake(home.lake), "audit").extend(
        lambda stored: (pl.DataFrame([fake], stored.schema), {"head": f"5:{fake['hash']}"})
    )
    fault = "record 5 is there, which a repair has as missing, and nothing follows on it"
    assert home.audit.verify().faults == [fault]
    with pytest.raises(DamagedError, match=fault):
        home.append()


@pytest.mark.parametrize("number", [None, 0, -3])
def test_a_record_without_a_number_is_a_fault(home: Home, number: int | None) -> None:
    forge(home.lake, 4, lambda row: {**row, "sequence": number})
    faults = home.audit.verify().faults
    assert faults[0].startswith(f"record {number} (promote of orders by lead")
    assert "record 4 is gone" in faults
    assert repair(home) == 7
    assert home.audit.verify().faults == []
    assert home.append() == 8


def test_an_end_that_was_made_anew_is_not_appended_to(home: Home) -> None:
    """Whoever makes the last records anew, log and all, still has not what the registry noted of them."""
    cut_end(home.lake, 2)
    alone = Audit(Lake(home.lake))
    for number in (8, 9):
        alone.append(NOW, "lead", Entry("promote", "orders", {"version": number}))
    assert alone.verify().faults == []
    with pytest.raises(DamagedError, match="record 6 is another than the registry knows of"):
        home.append()
    assert home.registry.read_note(ANCHOR) == home.head


def test_a_head_that_is_noted_late_takes_no_later_one_back(home: Home) -> None:
    class Late(Audit):
        """Another writer appends between this one's commit and its note."""

        def _note(self, *arguments: object) -> None:
            home.append()
            super()._note(*arguments)  # type: ignore[arg-type]

    assert Late(Lake(home.lake), home.registry).append(NOW, "lead", Entry("promote", "orders", {})).sequence == 7
    assert str(home.registry.read_note(ANCHOR)).startswith("8:")
    assert home.audit.verify().faults == []


def test_a_writer_that_was_killed_before_it_noted_the_head_does_no_harm(home: Home) -> None:
    class Killed(Audit):
        def _note(self, *arguments: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Killed(Lake(home.lake), home.registry).append(NOW, "lead", Entry("promote", "orders", {}))
    assert home.registry.read_note(ANCHOR) == home.head
    assert home.audit.verify().faults == []
    lose_file(home.lake, 7)
    with pytest.raises(DamagedError, match="record 7: the file"):
        home.append()
    with pytest.raises(KeyboardInterrupt):
        Killed(Lake(home.lake), home.registry).repair(NOW, "lead", "the disk broke")
    assert home.append() == 9
    assert home.audit.verify().faults == []


def test_a_note_that_is_no_head_is_a_fault(home: Home) -> None:
    home.registry.write_note(ANCHOR, "nothing")
    fault = "the registry has 'nothing' for a head: expected NUMBER:HASH"
    assert home.audit.verify().faults == [fault]
    with pytest.raises(DamagedError, match=fault):
        home.append()


def test_gaps_are_what_is_between_numbers() -> None:
    assert gaps([], 0) == gaps([1, 2], 2) == []
    assert gaps([], 2) == [(1, 2)]
    assert gaps([5, 2], 10**12) == [(1, 1), (3, 4), (6, 10**12)]


def test_spans_are_numbers_without_gaps() -> None:
    assert spans([]) == []
    assert spans([3, 1, 2, 7]) == [(1, 3), (7, 7)]


@pytest.mark.parametrize(("count", "records", "verb"), [(1, "record 6", "is"), (3, "records 4 to 6", "are")])
def test_what_is_gone_from_the_end_and_what_a_repair_acknowledges_is_told_in_words(
    home: Home, count: int, records: str, verb: str
) -> None:
    cut_end(home.lake, count)
    assert home.audit.verify().faults == [f"{records} {verb} gone from the end: the registry knows of 6"]
    assert repair(home) == RECORDS + 1
    (repaired,) = home.audit.verify().repaired
    assert repaired.startswith(f"{records} {verb} missing; repaired by record 7 by lead on ")
