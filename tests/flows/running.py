"""A home whose champion slipped, and the `daypart deploy --local` that serves it."""

import base64
import json
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from daypart.features.simulator import Chain, ChainSpec
from daypart.flows.config.settings import Settings
from daypart.flows.deployment.login import read_login
from daypart.flows.deployment.server import connect
from daypart.flows.home import Home
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.train import TrainRequest, train
from daypart.flows.lake.lake import Lake
from daypart.flows.registry.registry import Registry
from daypart.forecasting.models.recipe import Recipe
from tests.flows.conftest import home_of
from tests.flows.strangers import Sender

SPEC = ChainSpec(stores=6, days=130, seed=5, issues_days=60)
TRAINED, PUBLISHED = 84, (102, 109, 116)
"""Days after the chain's first at which the champion was trained, and at which it published."""
RECIPE = '[recipe.standard]\nmembers = ["ratio"]\nlearning_rate = 0.3\nrounds = 10\nmax_rows = 4000\nfolds = 1\n'
ZONE = "America/New_York"
HASTE = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
    "DAYPART_TIMEZONE": ZONE,
}
POLICY = "[policy]\nconfidence = 0.95\nbias_bps = 2000\ncoverage_low = 0.5\ncoverage_high = 1.0\nworse_bps = 2000\n"
"""Few trees are all that a test has time for: what they are by themselves must not hold a challenger back."""
PATIENCE = 180.0


@dataclass
class Running:
    """A home and the `daypart deploy --local` that serves it."""

    home: Path
    process: Callable[..., subprocess.Popen[str]]
    port: int = 0
    child: Any = None
    deploy_output: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.child = self.process(self.home, "deploy", "--local", "--port", self.port, "--json")
        line = self.child.stdout.readline()
        self.deploy_output = json.loads(line) if line else pytest.fail(self.child.stderr.read())

    def ensure(self) -> None:
        if self.child.poll() is not None:
            self.start()

    def offspring(self) -> list[psutil.Process]:
        children: list[psutil.Process] = psutil.Process(self.child.pid).children(recursive=True)
        return children

    def worker(self) -> psutil.Process:
        return next(process for process in self.offspring() if "worker" in process.cmdline())

    @property
    def store(self) -> Path:
        return Settings(home=self.home).prefect

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def registry(self) -> Registry:
        return Registry(Settings(home=self.home))

    def champions(self) -> dict[str, int | None]:
        return {target: self.registry.version_of(target, "champion") for target in ("orders", "sales")}

    def versions(self) -> int:
        return sum(self.registry.versions(target).height for target in ("orders", "sales"))

    def run(self, deployment: str, **parameters: object) -> Any:
        """Asks for one run, as a schedule or a person does."""
        with connect(self.api_url, self.store) as client:
            record = client.read_deployment_by_name(f"{deployment}/daypart")
            return client.create_flow_run_from_deployment(record.id, parameters=parameters).id

    def authorized_sender(self) -> Sender:
        """A program that has the login."""
        login = read_login(self.store / "login")
        headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
        return Sender(self.port, f"127.0.0.1:{self.port}", headers=headers, token=login)

    def stored(self, query: str) -> list[Any]:
        """What the server's database answers."""
        with closing(sqlite3.connect(f"file:{self.store / 'prefect.db'}?mode=ro", uri=True, timeout=60)) as database:
            return database.execute(query).fetchall()

    def runs_stored(self, flow: str) -> int:
        """How many runs of the flow the server's database holds, in whatever state."""
        runs = "SELECT COUNT(*) FROM flow_run JOIN flow ON flow.id = flow_run.flow_id"
        return int(self.stored(f"{runs} WHERE flow.name = '{flow}'")[0][0])

    def until_stored(self, query: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not self.stored(query):
            assert time.monotonic() < give_up, query
            time.sleep(0.5)

    def until(self, flow: str, condition: Callable[[Any], bool], which: Sequence[Any] = ()) -> Any:
        """The first of the flow's runs, or of those asked for, for which that holds."""
        from prefect.client.schemas.filters import FlowFilter, FlowFilterName

        give_up = time.monotonic() + PATIENCE
        runs: list[Any] = []
        while time.monotonic() < give_up:
            with connect(self.api_url, self.store) as client:
                runs = client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])))
            for run in runs:
                if (not which or run.id in which) and condition(run):
                    return run
            time.sleep(0.5)
        return pytest.fail(f"{flow} {which}: {[(run.id, run.state, run.parameters) for run in runs]}")


def ended(run: Any) -> bool:
    return bool(run.state.is_final())


def degraded(home: Path, chain: Chain) -> None:
    """A champion that learned a day whose mornings grow and whose evenings shrink, on a chain that has no such days."""
    home.mkdir()
    (home / "recipes.toml").write_text(RECIPE)
    (home / "policy.toml").write_text(POLICY)
    lake, registry = Lake(home / "lake"), Registry(Settings(home=home))

    def ingest(table: str, rows: pl.DataFrame) -> None:
        rows.write_parquet(home / "rows.parquet")
        ingest_table(home_of(lake), table, [home / "rows.parquet"])

    for table, rows in chain.tables.items():
        if rows.height and table != "demand":
            ingest(table, rows)
    demand, day = chain.tables["demand"], pl.col("hour_local").dt.date()
    weeks = (day - pl.lit(SPEC.start)).dt.total_days() // 7
    factor = (weeks * pl.when(pl.col("hour_local").dt.hour() < 13).then(0.25).otherwise(-0.25)).exp()
    trained = SPEC.start + timedelta(days=TRAINED)
    bent = demand.filter(day < trained).with_columns((pl.col("orders") * factor).round(), pl.col("sales") * factor)
    ingest("demand", bent)
    train(Home(registry.settings), Recipe(), TrainRequest(as_of=trained))
    for days in PUBLISHED:
        origin = SPEC.start + timedelta(days=days)
        ingest("demand", demand.filter(day < origin))
        publish(Home(registry.settings), origin)
    ingest("demand", demand)
