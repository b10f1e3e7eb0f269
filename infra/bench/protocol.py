"""The shared protocol's own arithmetic, which was written apart from the project, beside the project's figures."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest


def judged(
    real_data: Path, rows: pl.DataFrame, demand: pl.DataFrame, target: str, start: date, end: date, folder: Path
) -> Any:
    """What the judge beside the real data says of a backtest's rows; the test is skipped where there is none."""
    script = real_data.parent / "judge.py"
    if not script.is_file():
        pytest.skip(f"no {script}")
    rows.write_parquet(folder / "rows.parquet")
    demand.select("store_id", "hour_local", target).write_csv(
        folder / "demand.csv", datetime_format="%Y-%m-%d %H:%M:%S"
    )
    arguments = [script, folder / "rows.parquet", folder / "demand.csv", target, start, end]
    process = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True)
    assert process.stdout, process.stderr
    return json.loads(process.stdout)


def assert_agrees(judge: Any, scores: Iterable[Mapping[str, Any]]) -> None:
    """Accuracy and gain at every level, bias and coverage are the judge's to the basis point."""
    of = {row["level"]: row for row in scores}
    for level in ("hour", "daypart", "day"):
        assert round(10_000 - of[level]["accuracy_bps"]) == judge[level], level
        assert round(of[level]["gain_bps"]) == judge[f"gain_{level}"], level
    assert round(of["hour"]["bias_bps"]) == judge["bias"]
    assert round(of["hour"]["coverage"], 3) == judge["cover80"]
