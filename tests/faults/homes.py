"""The homes that faults are tried on, the jobs that are disturbed in them, and what a home holds."""

import contextlib
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl

from features.simulator import ChainSpec, simulate
from flows.adapters.audit import Audit
from flows.adapters.lake import Lake
from flows.adapters.lake_tables import LAKE
from flows.adapters.registry import Registry, digest
from flows.adapters.settings import Settings
from tests.flows.test_pos_lines import HEADER, MAPPING, STORES

WAIT_SECONDS = 600
SPEC = ChainSpec(stores=3, days=134, seed=3, issues_days=60)
ORIGIN = SPEC.end - timedelta(days=14)
EARLIER = ORIGIN - timedelta(days=15)
SMALL = {"rounds": 5, "max_rows": 2000, "folds": 1}
RULE = "responsible = ['automation', 'analyst', 'lead']\naccountable = 'lead'\napproval = true\n"
RULES = "".join(f"[raci.default.{activity}]\n{RULE}" for activity in ("promote", "override_policy"))
PRELOADED = [
    *("lightgbm", "mlflow.store.tracking.sqlalchemy_store", "polars", "pyarrow", "deltalake", "statsforecast"),
    *(
        "flows.cli",
        "flows.approval",
        "flows.forecast",
        "flows.ingest",
        "flows.pos_lines",
        "flows.promote",
        "flows.train",
        "forecasting.gate",
    ),
]
"""Imported once, in the process from which commands are forked: no thread of theirs runs before their first use."""
UNCOMPARED = ("audit",)
"""Tables whose rows hold the moment of writing."""
UNCOMPARED_COLUMNS = ("ingested_utc", "lines_version")
"""Columns that hold the moment of writing, or a count of writes that a repeated command raises."""
SALES_FILES = [
    HEADER + "".join(f"{store},2024-01-{day:02} {hour:02}:{minute},{first}{day}{hour},{hour}.50\n"
            for store in ("NY", "LA") for day in range(first, first + 5) for hour in range(7, 20))
    for first, minute in ((1, 10), (4, 40))
]  # fmt: skip
"""Two exports of a till, which share the hours of two days."""
State = dict[str, str]


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Job:
    """A command, the home in which it begins, and what that holds before and after; `seconds` of its work."""

    name: str
    arguments: tuple[str, ...]
    home: Path
    before: State
    after: State
    seconds: float


class Command:
    """A command line as a process of its own. It begins when everything is imported."""

    def __init__(self, home: Path, arguments: Sequence[str], before: str = "") -> None:
        """Starts it after the Python code `before`, which may define `at_end`, called when the command ends."""
        self.folder = Path(tempfile.mkdtemp(prefix="daypart-faults-"))
        context = get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.process = context.Process(target=_command, args=(self.folder, home, list(arguments), before))
        self.process.start()
        while not (self.folder / "ready").exists() and self.process.is_alive():
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.kill()

    def ended(self) -> Result:
        """Waits for its end."""
        self.process.join(WAIT_SECONDS)
        status = self.process.exitcode
        if status is None:
            self.kill()
        texts = [(self.folder / name).read_text("utf-8", "replace") for name in ("out", "err")]
        shutil.rmtree(self.folder, ignore_errors=True)
        assert status is not None, f"not ended in {WAIT_SECONDS} s"
        return Result(status, *texts)


def _command(folder: Path, home: Path, arguments: Sequence[str], before: str) -> None:
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))
    from flows.cli import main, options

    standard = options.recipe
    options.recipe = lambda weather, seed: standard(weather, seed).model_copy(update=SMALL)
    sys.argv = ["daypart", "--home", str(home), *arguments]
    names: dict[str, Any] = {}
    (folder / "ready").touch()
    exec(before, names)
    try:
        main()
    finally:
        names.get("at_end", lambda: None)()
        sys.stdout.flush()


def start(home: Path, arguments: Sequence[str], before: str = "") -> Command:
    """Starts a command; returns once it is ready to work."""
    return Command(home, arguments, before)


def run(home: Path, *arguments: object) -> Result:
    """Runs a command in this process, as `main` would be called."""
    from flows.cli import main, options

    standard, arguments_before = options.recipe, sys.argv
    options.recipe = lambda weather, seed: standard(weather, seed).model_copy(update=SMALL)
    sys.argv = ["daypart", "--home", str(home), *map(str, arguments)]
    status, out, err = 0, io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as exit_:
        status = int(exit_.code or 0)
    finally:
        options.recipe, sys.argv = standard, arguments_before
    return Result(status, out.getvalue(), err.getvalue())


def state(home: Path) -> State:
    """Return what a home holds: by table the hash of its rows, by unit of its champion's files, and the audit's faults.

    Raises what reading raises: a home that cannot be read has lost something.
    """
    lake, registry = Lake(home / "lake"), Registry(Settings(home=home))
    found = {}
    for table in LAKE:
        if table not in UNCOMPARED and lake.exists(table):
            rows = lake.scan(table).drop(UNCOMPARED_COLUMNS, strict=False).collect()
            found[table] = str(rows.sort(list(LAKE[table].key)).hash_rows().implode().hash()[0]) + f" {rows.height}"
    for unit in ("orders", "sales"):
        version = registry.version_of(unit, "champion")
        found[f"champion of {unit}"] = "none" if version is None else digest(registry.load(unit, version))
    found["audit"] = "; ".join(Audit(lake, registry).verify().faults)
    return found


def between(now: State, job: Job) -> bool:
    """Whether everything is as before the job or as after it."""
    names = now.keys() | job.before.keys() | job.after.keys()
    return all(now.get(name) in (job.before.get(name), job.after.get(name)) for name in names)


def repeated(job: Job, home: Path, now: State) -> tuple[Result, bool]:
    """Runs the job's command again, and whether it ended as it may after a fault that left `now`."""
    result = run(home, *job.arguments)
    # What was asked for may have come about before the fault; then an approval finds no request any more.
    is_served = job.name == "approve" and now == job.after and result.status == 2
    return result, result.status == 0 or is_served


@contextlib.contextmanager
def copied(home: Path) -> Iterator[Path]:
    """A copy of a home, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="daypart-faults-") as folder:
        shutil.copytree(home, Path(folder) / "home")
        yield Path(folder) / "home"


def made(folder: Path) -> dict[str, Job]:
    """The jobs by name, each with its home under `folder`; takes about a minute."""
    simulated = _simulated(folder)
    fresh = folder / "fresh"
    for table in ("stores", *(name for name in simulated if name not in ("stores", "later"))):
        _done(fresh, "ingest", table, simulated[table])
    trained = _like(fresh, "trained", "train", "--as-of", EARLIER)
    published = _like(trained, "published", "forecast")
    challenged = _like(published, "challenged", "train", "--targets", "orders")
    other = str(3 - (Registry(Settings(home=challenged)).version_of("orders", "champion") or 0))
    waiting = _like(challenged, "waiting")
    (waiting / "governance.toml").write_text(RULES)
    promote = ("promote", "orders", "--version", other, "--reason", "a trial", "--role")
    _done(waiting, *promote, "analyst")
    with_sales_file, second_file, mapping = _with_sales_file(folder)
    jobs = {
        "pos": (with_sales_file, ("ingest", "pos", str(second_file), "--mapping", str(mapping))),
        "ingest": (published, ("ingest", "demand", str(simulated["later"]))),
        "train": (fresh, ("train", "--targets", "orders")),
        "forecast": (trained, ("forecast",)),
        "promote": (challenged, (*promote, "lead")),
        "approve": (waiting, ("approve", "orders", "--role", "lead", "--reason", "a trial")),
    }
    return {name: _job(name, home, arguments) for name, (home, arguments) in jobs.items()}


def _simulated(folder: Path) -> dict[str, Path]:
    """The chain's tables as files; `later` is the demand of the last two weeks."""
    tables = dict(simulate(SPEC).tables)
    came = pl.col("hour_local").dt.date() < ORIGIN
    tables |= {"later": tables["demand"].filter(~came), "demand": tables["demand"].filter(came)}
    (folder / "files").mkdir(parents=True)
    for name, rows in tables.items():
        rows.write_parquet(folder / "files" / f"{name}.parquet")
    return {name: folder / "files" / f"{name}.parquet" for name, rows in tables.items() if rows.height}


def _with_sales_file(folder: Path) -> tuple[Path, Path, Path]:
    """Return a home into which one export of a till was ingested, a second export, and the mapping of both."""
    paths = [folder / "files" / name for name in ("stores.csv", "first.csv", "second.csv", "pos.toml")]
    for path, text in zip(paths, (STORES, *SALES_FILES, MAPPING), strict=True):
        path.write_text(text)
    home = folder / "with_sales_file"
    _done(home, "ingest", "stores", paths[0])
    _done(home, "ingest", "pos", paths[1], "--mapping", paths[3])
    return home, paths[2], paths[3]


def _like(home: Path, name: str, *arguments: object) -> Path:
    """A copy of a home in which a command was run."""
    copy = home.with_name(name)
    shutil.copytree(home, copy)
    if arguments:
        _done(copy, *arguments)
    return copy


def _done(home: Path, *arguments: object) -> None:
    result = run(home, *arguments)
    assert result.status == 0, result.err


def _job(name: str, home: Path, arguments: tuple[str, ...]) -> Job:
    with copied(home) as copy:
        before = state(copy)
        process = start(copy, arguments)
        began = time.perf_counter()
        result = process.ended()
        assert result.status == 0, result.err
        return Job(name, arguments, home, before, state(copy), time.perf_counter() - began)
