"""Accuracy by the independent script beside the real data, to check the project's own metrics in tests."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest


@dataclass(frozen=True)
class ReferenceScorer:
    """The script `judge.py` beside the folder of real data, and a folder for the files that it reads."""

    real_data: Path
    scratch: Path

    def score(self, rows: pl.DataFrame, demand: pl.DataFrame, target: str, start: date, end: date) -> Any:
        """Return the script's figures of a backtest's rows. Skips the test where there is no script."""
        script = self.real_data.parent / "judge.py"
        if not script.is_file():
            pytest.skip(f"no {script}")
        rows.write_parquet(self.scratch / "rows.parquet")
        demand.select("store_id", "hour_local", target).write_csv(
            self.scratch / "demand.csv", datetime_format="%Y-%m-%d %H:%M:%S"
        )
        arguments = [script, self.scratch / "rows.parquet", self.scratch / "demand.csv", target, start, end]
        process = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True)
        assert process.stdout, process.stderr
        return json.loads(process.stdout)


def assert_agrees(reference: Any, scores: Iterable[Mapping[str, Any]]) -> None:
    """Check accuracy and gain at every level, bias and coverage against the reference, to the basis point."""
    by_level = {row["level"]: row for row in scores}
    for level in ("hour", "daypart", "day"):
        assert round(10_000 - by_level[level]["accuracy_bps"]) == reference[level], level
        assert round(by_level[level]["gain_bps"]) == reference[f"gain_{level}"], level
    assert round(by_level["hour"]["bias_bps"]) == reference["bias"]
    assert round(by_level["hour"]["coverage"], 3) == reference["cover80"]
