"""Simulate: a chain of any size as folders of Parquet files, written block by block, whole or not at all."""

import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from daypart.features.errors import InputError
from daypart.features.simulator import Chain, ChainSpec, simulate_blocks
from daypart.flows.files import process
from daypart.forecasting.progress import Progress, silent

MEAN_YEAR_DAYS = 365.25
MOST_YEARS = 19.9


@dataclass(frozen=True)
class Written:
    """One table: its rows, their megabytes (10^6 bytes) on the disk and the seconds that writing them took."""

    table: str
    rows: int
    mb: float
    seconds: float


@dataclass(frozen=True)
class Simulated:
    """What was simulated, where it lies, and what each table holds; `seconds` are those of the whole."""

    spec: ChainSpec
    out: Path
    tables: list[Written]
    seconds: float


def chain_of(stores: int, years: float, seed: int, issues_days: int, observed_days: int) -> ChainSpec:
    """The chain asked for; days of weather beyond its span are as many as it has.

    Raises InputError for a size, span or seed that cannot be.
    """
    if not 0.01 <= years <= MOST_YEARS:
        raise InputError(f"years is {years:g}: give 0.01 to {MOST_YEARS}")
    days = round(years * MEAN_YEAR_DAYS)
    issues_days, observed_days = min(issues_days, days), min(observed_days, days)
    return ChainSpec(stores=stores, days=days, seed=seed, issues_days=issues_days, observed_days=observed_days)


def simulate(spec: ChainSpec, out: Path, progress: Progress = silent) -> Simulated:
    """Writes the chain under `out`: a folder of Parquet files per canonical table, `truth` and `planted`.

    A folder holds one file per block of stores; a table without rows has none. `daypart ingest TABLE
    OUT/TABLE` takes each canonical one. Equal specs give equal bytes. `out` appears whole at the end: what a
    killed run leaves is a hidden folder beside it, and the next run removes that. Raises InputError, with
    nothing written, where `out` is neither new nor an empty folder.
    """
    started, destination = time.monotonic(), out.resolve()
    _check(out)
    _remove_abandoned(destination)
    draft = destination.with_name(_draft_prefix(destination) + "~".join(process.identity().values()))
    try:
        _make(draft, out)
        tables = _write(spec, draft, progress)
        _check(out)
        draft.rename(destination)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Simulated(spec, out, tables, time.monotonic() - started)


def _check(out: Path) -> None:
    try:
        if out.exists() and not out.is_dir():
            raise InputError(f"{out}: is a file; name a new or an empty folder")
        if out.is_dir() and any(out.iterdir()):
            raise InputError(
                f"{out}: is not empty, expected a new or an empty folder; name another, or remove it first"
            )
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}); name a folder that can be written") from None


def _make(draft: Path, out: Path) -> None:
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}); name a folder that can be written") from None


def _draft_prefix(out: Path) -> str:
    return f".{out.name}.draft~"


def _remove_abandoned(out: Path) -> None:
    """Removes the drafts of processes that are no more; those of living ones are theirs."""
    prefix = _draft_prefix(out)
    beside = sorted(out.parent.iterdir()) if out.parent.is_dir() else []
    for draft in beside:
        if draft.name.startswith(prefix):
            identity = draft.name.removeprefix(prefix).split("~")
            if not process.lives(dict(zip(process.identity(), identity, strict=True))):
                shutil.rmtree(draft)


def _write(spec: ChainSpec, folder: Path, progress: Progress) -> list[Written]:
    """Writes all blocks, each while the next is simulated."""
    progress("simulate what all stores share", 0.0)
    parts: list[Future[list[Written]]] = []
    store_count = 0
    with ThreadPoolExecutor(max_workers=1) as writer:
        for number, block in enumerate(simulate_blocks(spec)):
            if parts:
                parts[-1].result()  # no more than one block waits, so that memory stays bounded
            parts.append(writer.submit(_write_block, folder, number, block))
            store_count += block.tables["stores"].height
            progress(f"simulated {store_count:,} of {spec.stores:,} stores", store_count / spec.stores)
    written = pl.DataFrame([entry for part in parts for entry in part.result()])
    sums = written.group_by("table", maintain_order=True).sum()
    return [Written(*row) for row in sums.iter_rows()]


def _write_block(folder: Path, number: int, block: Chain) -> list[Written]:
    written = []
    for name, frame in {**block.tables, "truth": block.truth, "planted": block.planted}.items():
        if frame.is_empty():
            continue
        started, path = time.monotonic(), folder / name / f"part-{number:04d}.parquet"
        path.parent.mkdir(exist_ok=True)
        # The fastest level: the files are a tenth larger than at the default, written in two thirds of the time.
        frame.write_parquet(path, compression_level=1)
        written.append(Written(name, frame.height, path.stat().st_size / 1e6, time.monotonic() - started))
    return written
