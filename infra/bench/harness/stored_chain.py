"""Simulated chains of some size and their homes: each is made once and kept in a folder, until that is removed."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from daypart.features.simulator import ChainSpec
from daypart.features.tables.schemas import TABLES
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.simulate import chain_of, simulate
from daypart.flows.lake.lake import Lake
from infra.bench.harness.isolated_job import apart

SEED, ISSUES_DAYS, OBSERVED_DAYS = 7, 28, 56
"""As `daypart simulate` has them."""


@dataclass(frozen=True)
class SimulatedChain:
    """A chain of so many stores and years under `root`. What it has was made before, or is made when asked for."""

    root: Path
    stores: int
    years: float

    def of(self, stores: int) -> "SimulatedChain":
        """The chain of another size."""
        return SimulatedChain(self.root, stores, self.years)

    @property
    def folder(self) -> Path:
        return self.root / f"{self.stores}-stores-{self.years:g}-years"

    @property
    def spec(self) -> ChainSpec:
        return chain_of(self.stores, self.years, SEED, ISSUES_DAYS, OBSERVED_DAYS)

    @property
    def today(self) -> date:
        """The last day of demand, which comes tonight: the origin of the forecast published yesterday."""
        return self.spec.end - timedelta(days=1)

    def files(self) -> Path:
        """A folder of Parquet files per table, as `daypart simulate` writes them."""
        return self.made("files", _simulate, self.spec)

    def arrivals(self) -> Path:
        """A folder with the demand of `today`."""
        return self.made("arrivals", _split, self.files() / "demand", self.today, False)

    def home(self) -> Path:
        """A home whose lake has all tables, with demand before `today`. Never to be changed."""
        earlier = self.made("earlier", _split, self.files() / "demand", self.today, True)
        return self.made("home", _ingest, self.files(), earlier)

    def made(self, name: str, make: Callable[..., None], *arguments: Any) -> Path:
        """What `make(path, ...)` wrote, in a process of its own, into `name` of the folder; whole or not at all."""
        path, draft = self.folder / name, self.folder / f".{name}"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(draft, ignore_errors=True)
            apart(make, draft, *arguments)
            draft.rename(path)
        return path

    @contextmanager
    def copied(self) -> Iterator[Path]:
        """A copy of the home that may be changed, and is removed."""
        home = self.home()
        with self.scratch() as folder:
            shutil.copytree(home, folder, dirs_exist_ok=True, copy_function=_linked)
            yield folder

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder that is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.folder, prefix="scratch-") as folder:
            yield Path(folder)


def _simulate(out: Path, spec: ChainSpec) -> None:
    simulate(spec, out)


def _split(out: Path, demand: Path, today: date, earlier: bool) -> None:
    """The files of demand before today, or of today."""
    out.mkdir()
    day = pl.col("hour_local").dt.date()
    for path in sorted(demand.iterdir()):
        part = pl.scan_parquet(path).filter(day < today if earlier else day == today).collect()
        if part.height:
            part.write_parquet(out / path.name)


def _ingest(home: Path, files: Path, demand: Path) -> None:
    lake = Lake(home / "lake")
    for table in TABLES:
        source = demand if table == "demand" else files / table
        if source.is_dir():
            ingest_table(lake, table, [source])


def _linked(source: str, target: str) -> None:
    """The lake never changes a Parquet file, so that a second name for it is as good as a copy."""
    if source.endswith(".parquet"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
