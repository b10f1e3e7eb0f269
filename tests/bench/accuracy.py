"""`make bench-accuracy`: backtests of the real sets by the shared protocol, ours beside the incumbent and two peers.

python -m tests.bench.accuracy DATA_FOLDER [SET...] [--out FOLDER] [--only-ours]
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from features.records import Records
from flows.backtest import level_scores
from forecasting.backtest import backtest, rolling_origins
from forecasting.recipe import Recipe
from tests.bench.accuracy_peers import PEERS, RETRAIN_EVERY_DAYS
from tests.bench.scale import show, write
from tests.bench.sets import SETS, RealSet

TOLD = "WAPE and gain over the incumbent in bps, without weather, all over the same hours, dayparts and days"
RECIPE = Recipe(weather="none")


@dataclass(frozen=True)
class Score:
    """A row of the table; without figures `note` says why. `coverage` is null where there is no band."""

    set: str
    target: str
    who: str
    hour_wape_bps: int | None = None
    daypart_wape_bps: int | None = None
    day_wape_bps: int | None = None
    hour_gain_bps: int | None = None
    day_gain_bps: int | None = None
    bias_bps: int | None = None
    coverage: float | None = None
    seconds: float | None = None
    note: str = ""


def scores(data: RealSet, target: str, folder: Path, peers: list[str]) -> Iterator[Score]:
    """Ours, the incumbent and the named peers at one set and target; a peer that fails says so in its row."""
    records = data.load(folder).until(data.end)
    origins = rolling_origins(data.start, data.end, 7, RECIPE.horizon_days)
    began = time.perf_counter()
    rows, _ = backtest(records, target, RECIPE, origins, RETRAIN_EVERY_DAYS)
    yield scored(rows, data.name, "ours", time.perf_counter() - began)
    unbanded = rows.with_columns(q10=0.0, q90=0.0)
    yield scored(unbanded.with_columns(forecast="incumbent"), data.name, "incumbent")
    for who in peers:
        yield peer_score(who, records, unbanded, data.name, origins)


def peer_score(who: str, records: Records, rows: pl.DataFrame, name: str, origins: list[date]) -> Score:
    """The named peer by our backtest rows of the set's name and one target, or why there is none."""
    target = rows["target"][0]
    if find_spec(who) is None:
        return Score(name, target, who, note=f"{who} is not installed")
    began = time.perf_counter()
    try:
        told = PEERS[who](records, target, origins, RECIPE.horizon_days)
        return scored(in_place(rows, told), name, who, time.perf_counter() - began)
    except Exception as failed:
        traceback.print_exc()
        return Score(name, target, who, note=f"failed: {type(failed).__name__}: {failed}")


def in_place(rows: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Backtest rows with a peer's forecast instead of ours, null where it has none."""
    keys = ["store_id", "origin_date", "hour_utc"]
    return rows.drop("forecast").join(told, on=keys, how="left", maintain_order="left", validate="1:1")


def scored(rows: pl.DataFrame, name: str, who: str, seconds: float | None = None) -> Score:
    """The figures of backtest rows of one target. Raises `InputError` where a scored row has no forecast."""
    levels = {row["level"]: row for row in level_scores(rows.with_columns(unit_value=pl.lit(1.0))).to_dicts()}
    wape = {f"{level}_wape_bps": round(1e4 - row["accuracy_bps"]) for level, row in levels.items()}
    hour, day = levels["hour"], levels["day"]
    coverage = hour["coverage"]
    return Score(
        name, rows["target"][0], who, **wape,
        hour_gain_bps=round(hour["gain_bps"]), day_gain_bps=round(day["gain_bps"]), bias_bps=round(hour["bias_bps"]),
        coverage=None if coverage is None else round(coverage, 3), seconds=None if seconds is None else round(seconds, 1),
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.accuracy", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of real sets")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(data.name for data in SETS)}; default all")
    parser.add_argument("--out", type=Path, default=Path(".daypart/bench"), help="where accuracy.json goes")
    parser.add_argument("--only-ours", action="store_true", help="leave the peers out")
    given = parser.parse_args()
    unknown = set(given.sets) - {data.name for data in SETS}
    if unknown:
        parser.error(f"no set {', '.join(sorted(unknown))}: choose from {', '.join(data.name for data in SETS)}")
    # As the command line has it: LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given.out.mkdir(parents=True, exist_ok=True)
    rows: list[Score] = []
    for data in (data for data in SETS if not given.sets or data.name in given.sets):
        for target in data.targets:
            for row in scores(data, target, given.data, [] if given.only_ours else list(PEERS)):
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
                write(given.out / "accuracy.json", TOLD, rows)
    show(TOLD, rows)
    return int(any(row.note.startswith("failed") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
