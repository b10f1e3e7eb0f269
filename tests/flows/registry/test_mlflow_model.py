"""A registered version as an MLflow model: loaded from code, called in this process and over a socket."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from daypart.flows.jobs.model_input import model_input
from daypart.flows.registry.mlflow_model import REQUIREMENTS
from tests.flows.conftest import World
from tests.flows.governance.test_model_versions import folder

FIGURES = ["forecast", "q10", "q50", "q90"]
PATIENCE = 120.0


@pytest.fixture
def mlflow_uri(published_world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = f"sqlite:///{published_world.home / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return uri


def published(world: World, rows: pl.DataFrame, target: str) -> pl.DataFrame:
    """The published figures of rows, in their order."""
    forecasts = world.lake.scan("forecasts").filter(pl.col("target") == target).collect()
    key = ["store_id", "hour_utc"]
    found = rows.select(key).join(forecasts, on=key, how="left", maintain_order="left")
    assert found["forecast"].null_count() == 0
    return found.select(FIGURES)


@pytest.mark.parametrize("target", ["orders", "sales"])
def test_the_champion_in_mlflow_makes_the_published_forecast_to_the_bit(
    published_world: World, mlflow_uri: str, target: str
) -> None:
    import mlflow

    rows = model_input(published_world.as_home, target)
    model = mlflow.pyfunc.load_model(f"models:/daypart-{target}@champion")
    assert pl.from_pandas(model.predict(rows.to_pandas())).equals(published(published_world, rows, target))
    forecasts = published_world.lake.scan("forecasts").filter(pl.col("target") == target).collect()
    others = forecasts.join(rows, on=["store_id", "hour_utc"], how="anti")
    assert others.select(FIGURES).sum().row(0) == (0.0, 0.0, 0.0, 0.0)
    # MLflow writes a note of the version beside it: the version is whole all the same.
    assert published_world.registry.load(target, 1)
    example = model.input_example
    assert example["store_id"].nunique() == example["date"].nunique() == 1
    assert (model.predict(example)["forecast"] > 0).all()


def test_a_version_says_what_it_takes_and_needs_and_has_no_pickle(published_world: World, mlflow_uri: str) -> None:
    import mlflow

    info = mlflow.models.get_model_info("models:/daypart-orders@champion")
    types = {column["name"]: column["type"] for column in info.signature.inputs.to_dict()}
    assert (types["store_id"], types["date"], types["hour"], types["history_last"]) == (
        "string", "datetime", "long", "double",
    )  # fmt: skip
    assert [column["name"] for column in info.signature.outputs.to_dict()] == FIGURES
    files = folder(published_world, "orders", 1)
    pins = (files / "requirements.txt").read_text().split()
    assert [pin.partition("==")[0] for pin in pins] == list(REQUIREMENTS)
    assert all(pin.partition("==")[2] for pin in pins)
    assert {path.suffix for path in files.rglob("*") if path.is_file()} == {
        "", ".yaml", ".txt", ".json", ".py", ".parquet",
    }  # fmt: skip


def test_a_version_without_a_column_that_it_reads_says_so(published_world: World, mlflow_uri: str) -> None:
    import mlflow

    rows = model_input(published_world.as_home, "orders").drop("history_last").to_pandas()
    with pytest.raises(mlflow.exceptions.MlflowException, match="history_last"):
        mlflow.pyfunc.load_model("models:/daypart-orders@champion").predict(rows)


def test_the_input_of_some_stores_is_that_of_all(published_world: World) -> None:
    home = published_world.as_home
    some = model_input(home, "orders", stores=["S0002"])
    assert some.equals(model_input(home, "orders").filter(pl.col("store_id") == "S0002"))


def test_a_served_model_answers_over_a_socket_with_the_published_forecast(
    published_world: World, mlflow_uri: str, tmp_path: Path
) -> None:
    rows = model_input(published_world.as_home, "orders", stores=["S0001"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["models", "serve", "-m", "models:/daypart-orders@champion", "--env-manager", "local"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "--port", str(port)], stdout=log, stderr=log,
            start_new_session=True, env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        )  # fmt: skip
        try:
            wait_for(server, port, tmp_path / "log")
            answer = ask(port, rows)
        finally:
            stop(server)
    assert pl.DataFrame(answer["predictions"]).equals(published(published_world, rows, "orders"))


def ask(port: int, rows: pl.DataFrame) -> Any:
    """The server's answer to rows as JSON has them."""
    plain = rows.drop("hour_utc", "hour_local").with_columns(pl.col("origin_date", "date").cast(pl.String))
    body = json.dumps({"dataframe_split": {"columns": plain.columns, "data": plain.rows()}}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def wait_for(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(log.read_text())


def stop(server: "subprocess.Popen[bytes]") -> None:
    """Ends the server with its worker, which is in the server's session."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
    server.wait(30)
