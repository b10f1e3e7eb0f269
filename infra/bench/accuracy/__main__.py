"""`make bench-accuracy`: backtests of the real sets by the shared protocol, beside the incumbent and two peers.

python -m infra.bench.accuracy DATA_FOLDER [SET...] [--out FOLDER] [--only-ours] [--weather VIEW...]

Writes accuracy.json, a chart and a table of it (accuracy.svg, accuracy.png, accuracy.md), and hindsight.json.
"""

import argparse
import os
import sys
from itertools import chain
from pathlib import Path
from typing import get_args

from daypart.features.signals.weather import WeatherView
from infra.bench.accuracy.accuracy_chart import draw, markdown
from infra.bench.accuracy.method_score import Score
from infra.bench.accuracy.peer_forecasts import PEERS
from infra.bench.accuracy.real_backtests import SetBacktest
from infra.bench.accuracy.real_sets import SETS
from infra.bench.accuracy.weather_hindsight import HINDSIGHT_CAPTION, WeatherGain, weather_gains
from infra.bench.harness.results import show, write, write_text

ACCURACY_CAPTION = (
    "Errors and gain over the incumbent in bps, all over the same hours, dayparts and days; peers see no weather"
)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's sets, folders and views of the weather."""
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
    """Backtest the selected sets, write the results after every score, and return 1 where a peer failed."""
    args = parse_arguments()
    # As the command line has it: LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[Score] = []
    gains: list[WeatherGain] = []
    for data in (data for data in SETS if not args.sets or data.name in args.sets):
        views = [view for view in ("none", *data.views) if view in args.weather]
        for target in data.targets if views else ():
            case = SetBacktest.load(data, target, args.data)
            peers = [] if args.only_ours else list(PEERS)
            for row in chain(case.own_scores(views), case.other_scores(peers)):
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
                write(args.out / "accuracy.json", ACCURACY_CAPTION, rows)
            gains += weather_gains(data.name, case.runs)
    if rows:
        show(ACCURACY_CAPTION, rows)
        draw(rows, args.out)
        write_text(args.out / "accuracy.md", markdown(rows))
    if gains:
        show(HINDSIGHT_CAPTION, gains)
        write(args.out / "hindsight.json", HINDSIGHT_CAPTION, gains)
    return int(any(row.note.startswith("failed") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
