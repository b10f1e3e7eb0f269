"""`make bench-accuracy`: backtests of the real sets by the shared protocol, ours beside the incumbent and two peers.

python -m infra.bench.accuracy DATA_FOLDER [SET...] [--out FOLDER] [--only-ours] [--weather VIEW...]

Writes accuracy.json, a chart and a table of it (accuracy.svg, accuracy.png, accuracy.md), and hindsight.json.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.signals.weather import WeatherView
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest, rolling_origins
from infra.bench import hindsight
from infra.bench.accuracy_peers import PEERS, RETRAIN_EVERY_DAYS
from infra.bench.accuracy_picture import draw, markdown
from infra.bench.hindsight import Worth, worth
from infra.bench.scale import show, write, write_text
from infra.bench.score import INCUMBENT, OURS, Score, scored
from infra.bench.sets import SETS, RealSet

TOLD = "Errors and gain over the incumbent in bps, all over the same hours, dayparts and days; peers see no weather"
HORIZON_DAYS = Recipe().horizon_days


def scores(
    data: RealSet, target: str, folder: Path, peers: list[str], views: list[WeatherView], worths: list[Worth]
) -> Iterator[Score]:
    """Ours by each of the views, the incumbent and the named peers at one set and target.

    A peer that fails says so in its row. Adds to `worths` what weather is worth, where the set can tell.
    """
    records = data.load(folder).until(data.end)
    origins = rolling_origins(data.start, data.end, 7, HORIZON_DAYS)
    runs: dict[WeatherView, pl.DataFrame] = {}
    for view in views:
        began = time.perf_counter()
        trainer = ModelTrainer(TrainingData(records, target, origins[-1]), Recipe(weather=view))
        runs[view], _ = backtest(trainer, origins, RETRAIN_EVERY_DAYS)
        yield scored(runs[view], records, data.name, OURS, view, time.perf_counter() - began)
    worths += worth(data.name, runs)
    rows = runs[views[0]]
    yield scored(rows.with_columns(forecast="incumbent"), records, data.name, INCUMBENT)
    for who in peers:
        yield peer_score(who, records, rows, data.name, origins)


def peer_score(who: str, records: ChainData, rows: pl.DataFrame, name: str, origins: list[date]) -> Score:
    """The named peer by our backtest rows of the set's name and one target, or why there is none."""
    target = rows["target"][0]
    if find_spec(who) is None:
        return Score(name, target, who, note=f"{who} is not installed")
    began = time.perf_counter()
    try:
        forecasts = PEERS[who](records, target, origins, HORIZON_DAYS)
        return scored(in_place(rows, forecasts), records, name, who, seconds=time.perf_counter() - began)
    except Exception as failed:
        traceback.print_exc()
        return Score(name, target, who, note=f"failed: {type(failed).__name__}: {failed}")


def in_place(rows: pl.DataFrame, forecasts: pl.DataFrame) -> pl.DataFrame:
    """Backtest rows with a peer's forecast instead of ours, null where it has none."""
    keys = ["store_id", "origin_date", "hour_utc"]
    return rows.drop("forecast").join(forecasts, on=keys, how="left", maintain_order="left", validate="1:1")


def _given() -> argparse.Namespace:
    views = get_args(WeatherView)
    parser = argparse.ArgumentParser(prog="python -m infra.bench.accuracy", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of real sets")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(data.name for data in SETS)}; default all")
    parser.add_argument("--out", type=Path, default=Path(".daypart/bench"), help="where the results go")
    parser.add_argument("--only-ours", action="store_true", help="leave the peers out")
    parser.add_argument("--weather", nargs="+", choices=views, default=views,
                        help="what ours may see of it, of what a set has; default all")  # fmt: skip
    args = parser.parse_args()
    unknown = set(args.sets) - {data.name for data in SETS}
    if unknown:
        parser.error(f"no set {', '.join(sorted(unknown))}: choose from {', '.join(data.name for data in SETS)}")
    return args


def main() -> int:
    args = _given()
    # As the command line has it: LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[Score] = []
    worths: list[Worth] = []
    for data in (data for data in SETS if not args.sets or data.name in args.sets):
        views = [view for view in ("none", *data.views) if view in args.weather]
        for target in data.targets if views else ():
            for row in scores(data, target, args.data, [] if args.only_ours else list(PEERS), views, worths):
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
                write(args.out / "accuracy.json", TOLD, rows)
    if rows:
        show(TOLD, rows)
        draw(rows, args.out)
        write_text(args.out / "accuracy.md", markdown(rows))
    if worths:
        show(hindsight.TOLD, worths)
        write(args.out / "hindsight.json", hindsight.TOLD, worths)
    return int(any(row.note.startswith("failed") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
