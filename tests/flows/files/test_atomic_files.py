"""Files that commands write: whole or not at all, whoever else writes there and however a writer ends."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from daypart.features.errors import InputError
from daypart.flows.files import exports
from daypart.flows.files.atomic_files import DRAFT_PREFIX, atomic_write, check_out

ROOT = Path(__file__).resolve().parents[3]
WRITER = """
import os, sys, time
from pathlib import Path
from daypart.flows.files.atomic_files import atomic_write
path, letter, meet = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
with atomic_write(path) as draft, draft.open("w") as file:
    file.write(letter * 1_000_000)
    file.flush()
    (meet / letter).touch()
    print("writing", flush=True)
    while len(os.listdir(meet)) < 2:
        time.sleep(0.01)
    file.write(letter * 1_000_000)
"""


def started(path: Path, letter: str, meet: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), letter, str(meet)]
    writer = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    with writer.stdout as output:
        assert output.readline() == "writing\n"
    return writer


def test_of_two_writers_to_one_file_one_wins_whole(tmp_path: Path) -> None:
    meet, path = tmp_path / "meet", tmp_path / "out.csv"
    meet.mkdir()
    writers = [started(path, letter, meet) for letter in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert path.read_text() in ("a" * 2_000_000, "b" * 2_000_000)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["meet", "out.csv"]


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_tidies(tmp_path: Path) -> None:
    meet, path = tmp_path / "meet", tmp_path / "out.csv"
    meet.mkdir()
    path.write_text("old")
    writer = started(path, "a", meet)
    with atomic_write(tmp_path / "other.csv") as draft:
        draft.write_text("new")
    assert len(list(tmp_path.glob(f"{DRAFT_PREFIX}*"))) == 1, "the draft of a living writer stays"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert path.read_text() == "old"
    foreign = tmp_path / f"{DRAFT_PREFIX}notes.csv"
    foreign.write_text("not a draft of ours")
    with atomic_write(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.glob(f"{DRAFT_PREFIX}*")) == [foreign]


def test_a_failed_writer_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_write(tmp_path / "out.csv") as draft:
            draft.write_text("half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 (its own)
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_draft_is_as_private_as_the_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        for mode, expected in ((0o666, 0o644), (0o600, 0o600)):
            with atomic_write(tmp_path / "out", mode) as draft:
                assert stat.S_IMODE(draft.stat().st_mode) == expected
                draft.write_text("text")
            assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == expected
    finally:
        os.umask(before)


@pytest.mark.parametrize("ending", exports.EXPORT_ENDINGS)
def test_every_export_is_written_through_a_draft(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"{'n' * 240}{ending}"
    with atomic_write(path) as draft:
        exports.write(pl.DataFrame({"store_id": ["S1"]}), draft, ending)
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_size


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.pdf", "its ending is .pdf, expected .csv"),
        ("out", "its ending is missing"),
        ("nowhere/out.csv", "does not exist; make it first"),
        ("folder.csv", "that is a folder; name a file"),
        ("file.csv/out.csv", "does not exist"),
        (f"{'n' * 300}.csv", "File name too long; name another file"),
        (f"{'n/' * 3000}.csv/out.csv", "File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file.csv").touch()
    with pytest.raises(InputError, match="cannot write") as refused:
        check_out(tmp_path / name, [".csv"])
    assert words in str(refused.value)
