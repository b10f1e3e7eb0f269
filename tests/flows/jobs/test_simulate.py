"""Simulated chains on the disk: the same as in memory, whole or not at all."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.errors import InputError
from daypart.features.simulator import Chain, ChainSpec, Drift, simulate
from daypart.features.simulator import simulated_chain as chains
from daypart.features.tables.schemas import TABLES
from daypart.flows.files import process as processes
from daypart.flows.jobs import simulate as simulates
from daypart.flows.lake.lake import Lake

SPEC = ChainSpec(stores=5, days=37, seed=3, issues_days=2, observed_days=9)
ASKED = ("--stores", 5, "--years", 0.1, "--seed", 3, "--issues-days", 2, "--observed-days", 9)
KILLED = """
import os, signal, daypart.flows.jobs.simulate as module
write = module._write_block
def killed(folder, number, block):
    write(folder, number, block)
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
module._write_block = killed
"""
SMALL_BLOCKS = "import daypart.features.simulator.simulated_chain as chains; chains.BLOCK_ROWS = 4_000\n"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two stores, so that a folder holds several files."""
    monkeypatch.setattr(chains, "BLOCK_ROWS", 4_000)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return simulate(SPEC)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("small_blocks")
def test_what_is_ingested_is_the_chain(daypart, chain: Chain, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    home, out = tmp_path / "home", tmp_path / "chain"
    output = daypart(home, "simulate", *ASKED, "--out", out, "--json").json
    assert (output["stores"], output["start"], output["end"]) == (5, str(SPEC.start), str(SPEC.end))
    assert {table_row["table"]: table_row["rows"] for table_row in output["tables"]} == {
        name: frame.height for name, frame in {**chain.tables, "truth": chain.truth}.items()
    }
    assert len(list((out / "demand").iterdir())) == 3
    assert pl.read_parquet(out / "truth").equals(chain.truth)
    assert not (out / "planted").exists()
    for name, table in TABLES.items():
        assert daypart(home, "ingest", name, out / name, "--json").json["rows_refused"] == 0
        stored = Lake(home / "lake").scan(name).collect()
        assert_frame_equal(stored.sort(table.key), chain.tables[name].sort(table.key), check_exact=True)


def test_people_see_a_line_per_table(daypart, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result = daypart(tmp_path, "simulate", *ASKED, "--out", tmp_path / "chain")
    assert result.status == 0, result.err
    assert all(f"\n{name} " in result.out for name in (*TABLES, "truth"))
    assert str(tmp_path / "chain") in result.out
    assert "{" not in result.out


@pytest.mark.usefixtures("small_blocks")
def test_equal_specs_give_equal_bytes_and_faults_are_listed(tmp_path: Path) -> None:
    spec = replace(SPEC, faults=(Drift(SPEC.start + timedelta(days=9)),))
    (tmp_path / "b").mkdir()
    for name in ("a", "b", "deep/c"):
        simulates.simulate(spec, tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "deep/c")
    assert pl.read_parquet(tmp_path / "a/planted").equals(simulate(spec).planted)


@pytest.mark.parametrize(("years", "days"), [(0.01, 4), (1, 365), (3, 1096), (19.9, 7268)])
def test_years_are_days_and_weather_beyond_the_span_is_all_of_it(years: float, days: int) -> None:
    spec = simulates.chain_of(1, years, 7, 9999, 9999)
    assert (spec.days, spec.issues_days, spec.observed_days) == (days, days, days)


def test_a_folder_that_holds_anything_is_left_alone(daypart, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "notes.txt").write_text("mine")
    result = daypart(tmp_path, "simulate", *ASKED, "--out", tmp_path / "chain")
    assert (result.status, result.out) == (2, "")
    assert "is not empty, expected a new or an empty folder; name another, or remove it first" in result.err
    assert contents(tmp_path) == {"chain/notes.txt": b"mine"}


def test_a_folder_that_is_filled_meanwhile_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "chain"

    def fill(step: str, share: float) -> None:
        out.mkdir(exist_ok=True)
        (out / "notes.txt").write_text("mine")

    with pytest.raises(InputError, match="is not empty"):
        simulates.simulate(SPEC, out, fill)
    assert contents(tmp_path) == {"chain/notes.txt": b"mine"}


@pytest.mark.usefixtures("small_blocks")
def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = simulates._write_block

    def full(folder: Path, number: int, block: Chain) -> list[simulates.Written]:
        if number == 1:
            raise OSError("no space left")
        return write(folder, number, block)

    monkeypatch.setattr(simulates, "_write_block", full)
    with pytest.raises(OSError, match="no space left"):
        simulates.simulate(SPEC, tmp_path / "chain")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_leaves_only_what_the_next_one_removes(
    process: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    out = tmp_path / "chain"
    killed = process(tmp_path / "home", "simulate", *ASKED, "--out", out, before=SMALL_BLOCKS + KILLED)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    drafts = list(tmp_path.iterdir())
    assert [path.name.split("~")[0] for path in drafts] == [".chain.draft"]
    assert list(drafts[0].rglob("*.parquet"))
    other_draft = drafts[0].with_name(f".other.{drafts[0].name.partition('.chain.')[2]}")
    other_draft.mkdir()
    simulates.simulate(SPEC, out)
    assert sorted(tmp_path.iterdir()) == [other_draft, out]


def test_the_draft_of_a_living_process_stays(tmp_path: Path) -> None:
    other = {**processes.identity(), "pid": str(os.getppid())}
    draft = tmp_path / f".chain.draft~{'~'.join(other.values())}"
    draft.mkdir()
    simulates.simulate(SPEC, tmp_path / "chain")
    assert sorted(tmp_path.iterdir()) == [draft, tmp_path / "chain"]


@pytest.mark.usefixtures("small_blocks")
def test_no_more_than_one_block_waits_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated_count, written_count, ahead = 0, 0, []
    blocks, write = simulates.simulate_blocks, simulates._write_block

    def counted(spec: ChainSpec) -> Iterator[Chain]:
        nonlocal simulated_count
        for block in blocks(spec, 1):
            simulated_count += 1
            ahead.append(simulated_count - written_count)
            yield block

    def slow(folder: Path, number: int, block: Chain) -> list[simulates.Written]:
        nonlocal written_count
        files = write(folder, number, block)
        written_count += 1
        return files

    monkeypatch.setattr(simulates, "simulate_blocks", counted)
    monkeypatch.setattr(simulates, "_write_block", slow)
    simulates.simulate(SPEC, tmp_path / "chain")
    assert (simulated_count, written_count) == (5, 5)
    assert max(ahead) <= 2
