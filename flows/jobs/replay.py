"""Replay: the nights of the past as they would have gone under each policy, side by side; nothing is published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.errors import InputError
from daypart.flows.config.policies import Policies
from daypart.flows.config.prices import Prices
from daypart.flows.config.recipes import STANDARD
from daypart.flows.files.atomic_files import check_out
from daypart.flows.home import Home
from daypart.flows.jobs.hindsight import OBSERVED_WEATHER
from daypart.flows.jobs.snapshot import read_records, with_demand
from daypart.flows.report import replays
from daypart.forecasting.lifecycle.policy import BUILT_IN, Policy
from daypart.forecasting.lifecycle.replay import ReplayPlan, ReplayResult
from daypart.forecasting.lifecycle.replay import replay as live
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.progress import Progress, part, silent, split

LEAST_DAYS = 28


@dataclass(frozen=True)
class Nights:
    """Which nights: from `start` to `end`, so many days apart; demand through `end` is scored."""

    start: date
    end: date
    every_days: int = 1


def policies_by_name(names: Sequence[str]) -> dict[str, Policy]:
    """Policies by name: those built in, and of policy files, by the file's name without its ending.

    All that are built in where none is asked for. Raises InputError for what is neither, and for two of a name.
    """
    policies: dict[str, Policy] = {}
    for name in names or BUILT_IN:
        path = Path(name)
        if name not in BUILT_IN and path.suffix != ".toml":
            raise InputError(f"--policy is {name!r}: expected {', '.join(BUILT_IN)} or a file such as policy.toml")
        short = name if name in BUILT_IN else path.stem
        if short in policies:
            raise InputError(f"--policy has two policies named {short!r}: give each file a name of its own")
        policies[short] = BUILT_IN.get(name) or Policies.read(path, needed=True).policy(STANDARD)
    return policies


@dataclass(frozen=True)
class ReplayRequest:
    """What to replay: the nights, the policies by name, the targets (default: all), and the report's file, if any."""

    nights: Nights
    policies: Mapping[str, Policy]
    targets: tuple[str, ...] | None = None
    out: Path | None = None


def replay(
    home: Home,
    recipe: Recipe,
    request: ReplayRequest,
    progress: Progress = silent,
) -> replays.Replays:
    """Replay every target under every policy, and write a report where `out` is given (.html or .md).

    Models are made as in training: by the recipe, with what the home's `recipes.toml` has for a target over it.
    """
    nights, policies, out, recipes = request.nights, request.policies, request.out, home.recipes
    if out is not None:
        check_out(out, replays.REPORT_ENDINGS)
    progress("read demand", 0.0)
    records, _ = read_records(home.lake)
    chosen = with_demand(records, request.targets)
    for target in chosen:
        _check(records, target, nights)
    plan = ReplayPlan(policies, nights.start, nights.end, nights.every_days)
    parts = [
        live(records, target, recipes.recipe(target, recipe), plan, target_progress)
        for target, target_progress in split(part(progress, 0.02, 0.98), chosen)
    ]
    progress("compare the policies", 0.98)
    replayed = ReplayResult(pl.concat(part.nights for part in parts), pl.concat(part.errors for part in parts))
    stores = records.stores.height
    title = f"{stores} store{'s' * (stores > 1)}, {nights.start} to {nights.end}"
    outcome = replays.Replays(
        title,
        priced(replayed.summary(), home.settings.prices),
        replayed.weekly(),
        replayed.nights,
        [OBSERVED_WEATHER] * (recipe.weather == "observed"),
    )
    if out is not None:
        replays.write(out, outcome)
    return outcome


def priced(summary: pl.DataFrame, prices: Prices) -> pl.DataFrame:
    """With what the processor's time costs, in dollars; memory, which others use by night, is left out."""
    return summary.with_columns(cost_dollars=pl.col("cpu_seconds") / 3600 * prices.cpu_hour)


def _check(records: ChainData, target: str, nights: Nights) -> None:
    first, last = records.first_demand_on(target), records.last_demand_on(target)
    if nights.end < nights.start:
        raise InputError(f"--end {nights.end} is before --start {nights.start}: choose a later end")
    if first is None or (nights.start - first).days < LEAST_DAYS:
        raise InputError(
            f"--start {nights.start} leaves under {LEAST_DAYS} days of history: demand starts on {first}; start later"
        )
    if last is None or nights.end > last:
        raise InputError(f"--end {nights.end} lies beyond the data: {target} ends on {last}; choose an earlier end")
