"""What retraining policies would have cost and gained, on cafes in the pandemic and a simulated chain.

python -m infra.bench.loop.policy_replay DATA_FOLDER [aarhus] [chain] [--stores N] [--every-days N] [--max-rows N] [--out FOLDER]
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.flows.config.prices import Prices
from daypart.flows.display.replay import show_replay
from daypart.flows.jobs.replay import priced
from daypart.flows.report import replays
from daypart.forecasting.lifecycle.policy import BUILT_IN
from daypart.forecasting.lifecycle.replay import ReplayPlan, replay
from daypart.forecasting.models.recipe import Recipe
from infra.bench.accuracy.real_sets import aarhus_shut

REPLAYED_DAYS = 365


@dataclass(frozen=True)
class ReplayCase:
    """Records of one target and the nights to replay, from `start` to `end`."""

    records: ChainData
    target: str
    start: date
    end: date
    recipe: Recipe


def cafes(folder: Path, _: int) -> ReplayCase:
    """Return three cafes through the pandemic, without weather."""
    return ReplayCase(aarhus_shut(folder), "sales", date(2019, 9, 1), date(2020, 12, 31), Recipe(weather="none"))


def chain(_: Path, stores: int) -> ReplayCase:
    """Return a simulated chain of two years, of which the second is replayed; weather is issued throughout."""
    spec = ChainSpec(stores=stores, issues_days=730)
    start = spec.end - timedelta(days=REPLAYED_DAYS)
    return ReplayCase(
        ChainData.from_tables(simulate(spec).tables), "orders", start, spec.end - timedelta(days=1), Recipe()
    )


REPLAY_CASES: dict[str, Callable[[Path, int], ReplayCase]] = {"aarhus": cafes, "chain": chain}


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.bench.loop.policy_replay", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of real sets")
    parser.add_argument("names", nargs="*", metavar="PAST", help=f"{', '.join(REPLAY_CASES)}; default all")
    parser.add_argument("--stores", type=int, default=48, help="of the simulated chain")
    parser.add_argument("--every-days", type=int, default=1, help="days from one night to the next")
    parser.add_argument(
        "--max-rows", type=int, default=Recipe().max_rows, help="training rows at most; fewer is faster"
    )
    parser.add_argument("--out", type=Path, default=Path(".daypart/bench"), help="where reports go")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(REPLAY_CASES):
        parser.error(f"no past {', '.join(sorted(unknown))}: choose from {', '.join(REPLAY_CASES)}")
    return arguments


def main() -> int:
    """Replay the policies on each case and write its reports and tables."""
    arguments = parse_arguments()
    # As the command line has it: LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or REPLAY_CASES:
        case = REPLAY_CASES[name](arguments.data, arguments.stores)
        recipe = case.recipe.model_copy(update={"max_rows": arguments.max_rows})
        outcome = replay(
            case.records, case.target, recipe, ReplayPlan(BUILT_IN, case.start, case.end, arguments.every_days),
            lambda night, name=name: print(name, night, file=sys.stderr, flush=True),
        )  # fmt: skip
        title = f"{name}, {case.start} to {case.end}"
        report = replays.Replays(title, priced(outcome.summary(), Prices()), outcome.weekly(), outcome.nights)
        for ending in replays.REPORT_ENDINGS:
            replays.write(arguments.out / f"replay-{name}{ending}", report)
        outcome.nights.write_parquet(arguments.out / f"replay-{name}-nights.parquet")
        outcome.errors.write_parquet(arguments.out / f"replay-{name}-errors.parquet")
        show_replay(report, arguments.out / f"replay-{name}.html", as_json=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
