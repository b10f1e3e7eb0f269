"""Training cost and accuracy of a tiered portfolio beside one uniform top tier, on a simulated chain.

The chain is split into classes of volume. `uniform` trains every unit by TOP_RECIPE: the default recipe without
weather and with at most 15,000 rows, so that the run takes minutes. `tiered` trains so only the TOP_SHARE of each
target's classes that sell the most, and the others by LIGHT_RECIPE. Each model forecasts the fortnight after its last
day. Processor time is the meter's, of training alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.segments import Rule, mean_daily
from daypart.features.simulator import ChainSpec, simulate
from daypart.features.tables.schemas import TARGETS
from daypart.flows.compute.meter import Meter
from daypart.flows.config.portfolio import Portfolio, Unit
from daypart.flows.governance import units
from daypart.forecasting.metrics.actuals import idle_days, with_actuals
from daypart.forecasting.models.engine import Local
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData, chain_sums
from daypart.forecasting.serving.publication import ServedModel, forecast_block

TOP_SHARE = 0.5
TOP_RECIPE = Recipe(weather="none", max_rows=15_000)
LIGHT_RECIPE = TOP_RECIPE.model_copy(update={"members": ("ratio", "linear", "statistical"), "rounds": 150, "folds": 1})
CLASS_STRIDE = 8
MAX_CPU_RATIO, MAX_LOST_BPS = 0.7, 25.0


@dataclass(frozen=True)
class UnitResult:
    """The processor time of one unit's training in a tier, and the sums of errors and actuals of its forecasts."""

    unit: str
    target: str
    tier: str
    cpu_seconds: float
    error: float
    actual: float


@dataclass(frozen=True)
class SegmentedChain:
    """A chain split into units: their stores, the date up to which models may see data, and sums over the chain."""

    records: ChainData
    as_of: date
    members: units.Members
    sums: Mapping[str, pl.DataFrame]

    @classmethod
    def from_spec(cls, spec: ChainSpec, segments: int) -> "SegmentedChain":
        """Simulate a chain and split it. The last 14 days are held out to score forecasts."""
        records, as_of = ChainData.from_tables(simulate(spec).tables).without("weather"), spec.end - timedelta(days=14)
        members = split_by_volume(records, segments, as_of)
        sums = {target: chain_sums(records.until(as_of - timedelta(days=1)), target, as_of) for target in TARGETS}
        return cls(records, as_of, members, sums)

    def train_and_score(self, unit: Unit, tier: str) -> UnitResult:
        """Train a unit on data before `as_of` by the recipe of a tier, and score the fortnight that follows."""
        recipe, meter, ids = {"top": TOP_RECIPE, "light": LIGHT_RECIPE}[tier], Meter(), self.members[unit]
        past_records = self.records.until(self.as_of - timedelta(days=1))
        data = TrainingData(past_records, unit.target, self.as_of, ids, self.sums[unit.target])
        trainer = ModelTrainer(data, recipe, Local(meter))
        model = trainer.train(self.as_of)
        cpu_seconds = meter.usage()[-1].cpu_seconds
        served = ServedModel(model, tier)
        forecast_rows = pl.concat(forecast_block(block, [served], self.as_of) for block in trainer.blocks())
        block = self.records.block(ids)
        scored = with_actuals(forecast_rows, block.demand, idle_days(block, self.as_of), block.stores)
        scored = scored.drop_nulls("actual")
        error = (scored["forecast"] - scored["actual"]).abs().sum()
        return UnitResult(unit.name, unit.target, tier, cpu_seconds, float(error), float(scored["actual"].sum()))


def tier_savings(spec: ChainSpec, segments: int) -> Iterator[dict[str, object]]:
    """Return processor time and WAPE of both ways by target, and the savings and losses, of more and more units."""
    chain = SegmentedChain.from_spec(spec, segments)
    # Code that is compiled at its first use counts for no unit.
    chain.train_and_score(next(iter(chain.members)), "light")
    ranked = {target: [unit for unit in chain.members if unit.target == target] for target in TARGETS}
    busiest = {unit for ranking in ranked.values() for unit in ranking[-round(len(ranking) * TOP_SHARE) :]}
    results: list[UnitResult] = []
    # Units are taken with a stride, so that the results so far cover classes of all sizes.
    for unit in (
        unit for first in range(CLASS_STRIDE) for ranking in ranked.values() for unit in ranking[first::CLASS_STRIDE]
    ):
        for tier in ("top",) if unit in busiest else ("top", "light"):
            results.append(chain.train_and_score(unit, tier))
        yield compare_ways(results)


def split_by_volume(records: ChainData, segments: int, as_of: date) -> units.Members:
    """Return units of as many classes of volume for each target, each with its stores, in rising order of volume."""
    volumes = {target: mean_daily(records.scan_demand(), records.stores, target, as_of) for target in TARGETS}
    return Portfolio(dict.fromkeys(TARGETS, Rule("volume", segments))).members(records.stores, volumes)


def compare_ways(results: list[UnitResult]) -> dict[str, object]:
    """Return the figures of `uniform` and `tiered`. In `tiered` the light model counts where there is one."""
    ways = {
        "uniform": {result.unit: result for result in results if result.tier == "top"},
        "tiered": {result.unit: result for result in results},
    }
    cpu = {way: sum(result.cpu_seconds for result in models.values()) for way, models in ways.items()}
    wape = {way: {target: _wape(models, target) for target in TARGETS} for way, models in ways.items()}
    losses = {target: wape["tiered"][target] - wape["uniform"][target] for target in TARGETS}
    saved = 1 - cpu["tiered"] / cpu["uniform"]
    return {
        "units": len(ways["uniform"]),
        "in the top tier": sum(result.tier == "top" for result in ways["tiered"].values()),
        "cpu_seconds": cpu,
        "saved": saved,
        "wape_bps": wape,
        "lost_bps": losses,
        "reached": saved >= 1 - MAX_CPU_RATIO and max(losses.values()) <= MAX_LOST_BPS,
    }


def _wape(models: dict[str, UnitResult], target: str) -> float:
    results = [result for result in models.values() if result.target == target]
    return 1e4 * sum(result.error for result in results) / sum(result.actual for result in results) if results else 0.0
