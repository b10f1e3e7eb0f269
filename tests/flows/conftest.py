"""A small simulated chain in a home: its files, ingested, trained once with a small recipe and published."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.features.simulator import Chain, ChainSpec, simulate
from daypart.flows.audit.audit_log import Audit
from daypart.flows.cli import main, options
from daypart.flows.config.settings import Settings
from daypart.flows.files import process as processes
from daypart.flows.files.lock import file_lock
from daypart.flows.home import Home
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.train import train
from daypart.flows.lake.lake import Lake
from daypart.flows.registry.registry import Registry
from daypart.flows.registry.runs import RunRecord
from daypart.forecasting.models.recipe import Recipe

for name, text in {
    "OMP_WAIT_POLICY": "PASSIVE",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}.items():
    os.environ.setdefault(name, text)
ROOT = Path(__file__).resolve().parents[2]
SMALL = {"rounds": 10, "max_rows": 4000, "folds": 1}
SPEC = ChainSpec(stores=4, days=134, seed=3, issues_days=60)
MADE_BY = "made-by.json"
"""The process that made the published home, beside it."""
ORIGIN = SPEC.end - timedelta(days=14)
"""The demand of the last 14 days is not ingested: it comes later."""
ENTRY = f"""
from daypart.flows.cli import main, options
asked = options.recipe
options.recipe = lambda weather, seed: asked(weather, seed).model_copy(update={SMALL})
"""


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout; NaN and Infinity are not JSON."""

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        assert self.status == 0, self.err
        assert self.out.count("\n") == 1
        document = json.loads(self.out, parse_constant=refuse)
        assert isinstance(document, dict)
        return document


Daypart = Callable[..., Said]


def home_of(lake: Lake) -> Home:
    """The home in which a lake lies."""
    return Home(Settings(home=lake.root.parent))


@dataclass(frozen=True)
class World:
    """One home and what it was filled from."""

    home: Path
    files: Path
    chain: Chain

    @property
    def lake(self) -> Lake:
        return Lake(self.home / "lake")

    @property
    def as_home(self) -> Home:
        return Home(Settings(home=self.home))

    @property
    def registry(self) -> Registry:
        return Registry(Settings(home=self.home))

    @property
    def origin(self) -> date:
        return ORIGIN

    def versions(self) -> dict[str, int]:
        """Versions of the lake's tables, and how many versions of models there are."""
        models = {t: self.registry.version_of(t, "challenger") or 0 for t in ("orders", "sales")}
        return {**self.lake.versions(), **models}

    def forecasts(self) -> pl.DataFrame:
        return self.lake.scan("forecasts").collect().sort("store_id", "target", "origin_date", "hour_utc")


@dataclass(frozen=True)
class House:
    """A lake and a registry in which versions are no models, but files enough to serve."""

    home: Path

    @property
    def registry(self) -> Registry:
        return Registry(Settings(home=self.home))

    @property
    def lake(self) -> Lake:
        return Lake(self.home / "lake")

    @property
    def as_home(self) -> Home:
        return Home(Settings(home=self.home))

    @property
    def audit(self) -> Audit:
        return self.as_home.audit

    def add(self, unit: str = "orders", tier: str = "standard", count: int = 1) -> None:
        for _ in range(count):
            run = self.registry.record(RunRecord("train", unit, {}, {}, {"demand": 0}, {"model.json": b"{}"}))
            version = self.registry.register(unit, run, {"tier": tier})
            self.registry.set_alias(unit, "challenger", version)

    def champion(self, unit: str = "orders") -> int | None:
        return self.registry.version_of(unit, "champion")

    def states(self, unit: str = "orders") -> list[tuple[str, str, str]]:
        rows = self.audit.records().to_dicts()
        return [(r["role"], r["activity"], json.loads(r["details"])["state"]) for r in rows if r["unit"] == unit]


@pytest.fixture(scope="session")
def published_world(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> World:
    """Never to be changed: `world` is a copy that may be. The first worker that wants it makes it for all of them."""
    folder = tmp_path_factory.getbasetemp() / "chain"
    if worker_id != "master":
        folder = tmp_path_factory.getbasetemp().parent / "chain"
    world = World(folder / "home", folder / "files", simulate(SPEC))
    folder.mkdir(exist_ok=True)
    with file_lock(folder / "lock"):
        if not (folder / MADE_BY).exists():
            _make(world)
            (folder / MADE_BY).write_text(json.dumps(processes.identity()))
    return world


def _make(world: World) -> None:
    _write(world)
    for table in ("stores", *(name for name in world.chain.tables if name != "stores")):
        if (world.files / f"{table}.parquet").exists():
            ingest_table(world.as_home, table, [world.files / f"{table}.parquet"])
    train(world.as_home, Recipe(**SMALL))
    publish(world.as_home)


def _write(world: World) -> None:
    world.files.mkdir()
    is_past = pl.col("hour_local").dt.date() < world.origin
    demand = world.chain.tables["demand"]
    frames = {**world.chain.tables, "demand": demand.filter(is_past), "later": demand.filter(~is_past)}
    for name, frame in frames.items():
        if frame.height:
            frame.write_parquet(world.files / f"{name}.parquet")


@pytest.fixture
def world(published_world: World, tmp_path: Path) -> World:
    """A copy of the published home. Models trained in it keep their files beside the original's."""
    shutil.copytree(published_world.home, tmp_path / "home")
    return World(tmp_path / "home", published_world.files, published_world.chain)


@pytest.fixture(scope="module")
def shared_world(published_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A copy of the published home, one a module, that no refused command changes."""
    home = tmp_path_factory.mktemp("kept") / "home"
    shutil.copytree(published_world.home, home)
    return World(home, published_world.files, published_world.chain)


@pytest.fixture
def untrained(published_world: World, empty_database: Path, tmp_path: Path) -> World:
    """The same tables, but no model and no forecast."""
    keep = shutil.ignore_patterns("forecasts", "audit", "mlflow.db", "artifacts")
    shutil.copytree(published_world.home, tmp_path / "untrained", ignore=keep)
    shutil.copy(empty_database, tmp_path / "untrained" / "mlflow.db")
    return World(tmp_path / "untrained", published_world.files, published_world.chain)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a home in which nothing ran; making it takes seconds, so it is made once."""
    registry = Registry(Settings(home=tmp_path_factory.mktemp("empty") / "home"))
    registry._create()
    return registry.settings.mlflow_database


@pytest.fixture(scope="session")
def database(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a home with one finished run."""
    home = tmp_path_factory.mktemp("first")
    shutil.copy(empty_database, home / "mlflow.db")
    registry = Registry(Settings(home=home))
    registry.record(RunRecord("train", "orders", {}, {}, {}, {}))
    return registry.settings.mlflow_database


@pytest.fixture
def house(database: Path, tmp_path: Path) -> House:
    shutil.copy(database, tmp_path / "mlflow.db")
    return House(tmp_path)


@pytest.fixture
def daypart(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Daypart:
    """Runs the command line in this process, as a user would, with a recipe small enough for tests."""
    full_recipe = options.recipe
    monkeypatch.setattr(options, "recipe", lambda weather, seed: full_recipe(weather, seed).model_copy(update=SMALL))

    def run(home: Path, *arguments: object) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["daypart", "--home", str(home), *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        captured = capsys.readouterr()
        return Said(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.Popen[str]]:
    """Starts the command line as a process of its own, beside a folder `flows` of somebody else's.

    `before` is code that runs first in it.
    """
    folder = tmp_path_factory.mktemp("beside")
    (folder / "flows").mkdir()
    (folder / "flows" / "__init__.py").write_text("raise ImportError('not the flows of daypart')")

    def start(home: Path, *arguments: object, before: str = "") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", f"{ENTRY}\n{before}\nmain()", "--home", str(home), *map(str, arguments)],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start
