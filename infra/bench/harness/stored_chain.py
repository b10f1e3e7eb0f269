"""Simulated chains and their homes on disk. Each is built once and stays in its folder until you remove it."""

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
from daypart.flows.config.settings import Settings
from daypart.flows.home import Home
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.simulate import chain_of, simulate
from infra.bench.harness.isolated_job import run_isolated

CHAIN_SEED, ISSUES_DAYS, OBSERVED_DAYS = 7, 28, 56
"""The defaults of `daypart simulate`."""


@dataclass(frozen=True)
class StoredChain:
    """A chain of so many stores and years under `root`. Each file is built when it is first needed."""

    root: Path
    stores: int
    years: float

    def with_stores(self, stores: int) -> "StoredChain":
        """Return the chain of another size."""
        return StoredChain(self.root, stores, self.years)

    @property
    def folder(self) -> Path:
        """The folder of this size."""
        return self.root / f"{self.stores}-stores-{self.years:g}-years"

    @property
    def spec(self) -> ChainSpec:
        """What the simulator is given."""
        return chain_of(self.stores, self.years, CHAIN_SEED, ISSUES_DAYS, OBSERVED_DAYS)

    @property
    def today(self) -> date:
        """The last day of demand, which arrives tonight: the origin of the forecast published yesterday."""
        return self.spec.end - timedelta(days=1)

    def files(self) -> Path:
        """Return a folder of Parquet files per table, as `daypart simulate` writes them."""
        return self.build_once("files", _simulate, self.spec)

    def arrivals(self) -> Path:
        """Return a folder with the demand of `today`."""
        return self.build_once("arrivals", _split, self.files() / "demand", self.today, False)

    def home(self) -> Path:
        """Return a home whose lake has all tables, with demand before `today`. Do not change it; use `copy_of_home`."""
        earlier = self.build_once("earlier", _split, self.files() / "demand", self.today, True)
        return self.build_once("home", _ingest, self.files(), earlier)

    def build_once(self, name: str, make: Callable[..., None], *arguments: Any) -> Path:
        """Return `name` of the folder. If it is missing, run `make(path, ...)` in a process of its own to write it.

        The folder appears only when it is complete.
        """
        path, draft = self.folder / name, self.folder / f".{name}"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(draft, ignore_errors=True)
            run_isolated(make, draft, *arguments)
            draft.rename(path)
        return path

    @contextmanager
    def copy_of_home(self) -> Iterator[Path]:
        """Return a copy of the home that you may change; it is removed afterwards."""
        home = self.home()
        with self.scratch() as folder:
            shutil.copytree(home, folder, dirs_exist_ok=True, copy_function=copy_or_link)
            yield folder

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Return an empty folder; it is removed afterwards."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.folder, prefix="scratch-") as folder:
            yield Path(folder)


def _simulate(out: Path, spec: ChainSpec) -> None:
    simulate(spec, out)


def _split(out: Path, demand: Path, today: date, earlier: bool) -> None:
    """Write the files of demand before today, or of today."""
    out.mkdir()
    day = pl.col("hour_local").dt.date()
    for path in sorted(demand.iterdir()):
        part = pl.scan_parquet(path).filter(day < today if earlier else day == today).collect()
        if part.height:
            part.write_parquet(out / path.name)


def _ingest(home: Path, files: Path, demand: Path) -> None:
    opened = Home(Settings(home=home))
    for table in TABLES:
        source = demand if table == "demand" else files / table
        if source.is_dir():
            ingest_table(opened, table, [source])


def copy_or_link(source: str, target: str) -> None:
    """Copy a file, or link a Parquet file, which the lake never changes in place."""
    if source.endswith(".parquet"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
