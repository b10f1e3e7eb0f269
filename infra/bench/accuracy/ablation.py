"""`make bench-ablation`: accuracy gained by each family of features and each member, measured by leaving it out.

python -m infra.bench.accuracy.ablation DATA_FOLDER [SET...] [--only WHAT...] [--out FOLDER]
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from daypart.features import matrix
from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.metrics.accuracy import Level, score
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest, rolling_origins
from infra.bench.accuracy.peer_forecasts import RETRAIN_EVERY_DAYS
from infra.bench.accuracy.real_sets import SETS, RealSet
from infra.bench.harness.results import show, write

ABLATION_CAPTION = (
    "What boosted members earn by a family of features, and the ensemble by a member: bps of WAPE lost without it, "
    "with the standard error over origins, whose horizons overlap"
)
FAMILY_PREFIXES = {
    "calendar: date": ("calendar_weekday", "calendar_day_of_"),
    "calendar: month's end": ("calendar_days_to_month_end",),
    "calendar: hour and lead": ("calendar_hour", "calendar_lead_days"),
    "holidays": ("calendar_days_to_holiday", "calendar_days_since_holiday", "history_holiday"),
    "history: last year": ("history_last_year",),
    "history: levels": ("history_day_", "history_hour_level_", "history_weekday_last"),
    "history: shape": ("history_last_2", "history_last_8", "history_hour_mean_", "history_half_year_shape",
                       "history_shape", "history_incumbent"),
    "history: age": ("history_open_days", "history_silent_days"),
    "weather": ("weather_",),
    "labor": ("labor_",),
    "events": ("event_",),
    "macro": ("macro_",),
}  # fmt: skip
"""How the names of each family's features begin. Linear members see levels and last year in every variant."""

SIMULATED_SPEC = ChainSpec(stores=16, start=date(2023, 11, 6), days=560, issues_days=280)


def _simulated_records(_: Path) -> ChainData:
    return ChainData.from_tables(simulate(SIMULATED_SPEC).tables)


SIMULATED_SET = RealSet(
    "chain",
    ("orders",),
    SIMULATED_SPEC.end - timedelta(days=70),
    SIMULATED_SPEC.end - timedelta(days=1),
    _simulated_records,
    ("issued",),
)
"""Simulated stores that record weather, labor, events and macro."""

DEFAULT_SETS = ("aarhus", "french", "chain")


@dataclass(frozen=True)
class AblationGain:
    """One row per set, target and family or member. `used` is false where the recipe leaves it out: its gain if added."""

    set: str
    target: str
    what: str
    used: bool
    hour_bps: float
    hour_error_bps: float
    day_bps: float
    day_error_bps: float


def variants(recipe: Recipe, features: list[str]) -> dict[str, tuple[bool, Recipe]]:
    """Return by family or member whether the recipe uses it, and the recipe without it (or with it, if unused).

    A family is used if any of its features is, and is left out as a whole. Families without features are omitted.
    """
    cases = {}
    for family, begins in FAMILY_PREFIXES.items():
        if not any(name.startswith(begins) for name in features):
            continue
        used = any(name.startswith(begins) for name in recipe.learns_from(features))
        omitted = tuple(part for part in recipe.left_out if not part.startswith(begins))
        cases[family] = (used, recipe.model_copy(update={"left_out": (*recipe.left_out, *begins) if used else omitted}))
    for name in recipe.members:
        rest = tuple(member for member in recipe.members if member != name)
        cases[f"member: {name}"] = (True, recipe.model_copy(update={"members": rest}))
    return cases


def ablation_gains(data: RealSet, target: str, folder: Path, recipe: Recipe, only: list[str]) -> Iterator[AblationGain]:
    """Return one row per variant of a set and target. `only` names families and members; empty is all."""
    records = data.load(folder).until(data.end)
    recipe = recipe.model_copy(update={"weather": "issued" if "issued" in data.views else "none"})
    origins = rolling_origins(data.start, data.end, 7, recipe.horizon_days)
    features = matrix.feature_names(matrix.build(records, matrix.View(target, recipe.weather), origins[-1:]))
    training_data = TrainingData(records, target, origins[-1])
    baseline, _ = backtest(ModelTrainer(training_data, recipe), origins, RETRAIN_EVERY_DAYS)
    for what, (used, other) in variants(recipe, features).items():
        if only and what not in only:
            continue
        rows, _ = backtest(ModelTrainer(training_data, other), origins, RETRAIN_EVERY_DAYS)
        without, with_it = (rows, baseline) if used else (baseline, rows)
        yield AblationGain(data.name, target, what, used, *_difference(without, with_it, "hour"),
                     *_difference(without, with_it, "day"))  # fmt: skip


def _difference(without: pl.DataFrame, with_it: pl.DataFrame, level: Level) -> tuple[float, float]:
    """Return how much larger the WAPE of `without` is, in bps, and its standard error over origins."""
    bps = [score(rows, level)["accuracy_bps"].item() for rows in (without, with_it)]
    by = [score(rows, level, ["origin_date"])["accuracy_bps"] for rows in (without, with_it)]
    apart = by[1] - by[0]
    error = float(apart.std() or 0.0) / len(apart) ** 0.5  # type: ignore[arg-type]
    return round(bps[1] - bps[0], 1), round(error, 1)


def main() -> int:
    """Run the selected variants and write ablation.json after every row."""
    sets = {data.name: data for data in (*SETS, SIMULATED_SET)}
    parser = argparse.ArgumentParser(prog="python -m infra.bench.accuracy.ablation", description=__doc__)
    parser.add_argument("data", type=Path, help="the folder of real sets")
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(sets)}; default {', '.join(DEFAULT_SETS)}")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WHAT", help="families and members by name; default all"
    )
    parser.add_argument("--out", type=Path, default=Path(".daypart/bench"), help="where ablation.json goes")
    args = parser.parse_args()
    if unknown := set(args.sets) - set(sets):
        parser.error(f"no set {', '.join(sorted(unknown))}: choose from {', '.join(sets)}")
    # As the command line has it: LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args.out.mkdir(parents=True, exist_ok=True)
    rows: list[AblationGain] = []
    for data in (sets[name] for name in args.sets or DEFAULT_SETS):
        for target in data.targets:
            for row in ablation_gains(data, target, args.data, Recipe(), args.only):
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
                write(args.out / "ablation.json", ABLATION_CAPTION, rows)
    if rows:
        show(ABLATION_CAPTION, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
