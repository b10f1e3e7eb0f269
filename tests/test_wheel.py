"""The wheel, installed away from the project: it runs in an empty folder and beside a folder called `flows`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STORES = "store_id,timezone,country\nNY,America/New_York,US\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the unpacked wheel, built from a copy of the project's sources."""
    folder = tmp_path_factory.mktemp("wheel")
    names = ("daypart", "features", "forecasting", "flows", "pyproject.toml", "README.md", "LICENSE")
    (folder / "source").mkdir()
    subprocess.run(["cp", "-a", *(ROOT / name for name in names), folder / "source"], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", folder / "site", folder / "source"], check=True)
    return folder / "site"


def run(installed: Path, folder: Path, *arguments: str) -> str:
    """Run the command line of the wheel in a folder; return what it prints."""
    python = [sys.executable, "-P", "-m", "daypart"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    process = subprocess.run(
        [*python, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_the_wheel_brings_one_top_level_package(installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} - {"bin"}
    assert names == {"daypart"}
    assert (installed / "daypart" / "py.typed").exists()
    assert list(installed.glob("daypart/flows/report/*.j2"))
    assert not any(path.is_symlink() for path in installed.rglob("*"))


@pytest.mark.parametrize("is_beside_flows", [False, True])
def test_the_wheel_runs_wherever_it_is_called(installed: Path, tmp_path: Path, is_beside_flows: bool) -> None:
    if is_beside_flows:
        (tmp_path / "flows").mkdir()
        (tmp_path / "flows" / "__init__.py").write_text("raise ImportError('not the flows of daypart')")
    (tmp_path / "stores.csv").write_text(STORES)
    assert "forecast" in run(installed, tmp_path, "--help")
    run(installed, tmp_path, "ingest", "stores", "stores.csv")
    assert "stores" in run(installed, tmp_path, "status")
