"""Results that the jobs do not have as one value."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from daypart.features.simulator import ChainSpec
from daypart.flows.jobs.train import TrainingOutcome
from daypart.flows.result import Result


@dataclass(frozen=True, repr=False)
class Training(Result):
    """What a training came to: one outcome per unit."""

    outcomes: tuple[TrainingOutcome, ...]

    def __getitem__(self, unit: str) -> TrainingOutcome:
        """Return the outcome of a unit, such as `orders`. Raises KeyError for one that was not trained."""
        return {outcome.unit: outcome for outcome in self.outcomes}[unit]


@dataclass(frozen=True, repr=False)
class SimulatedChain(Result):
    """A simulated chain.

    `tables` has a frame per canonical table that has rows, ready for `Home.ingest`. `truth` has one row per store and
    hour with the mean that demand was drawn from. `planted` lists the faults that were planted.
    """

    spec: ChainSpec
    tables: Mapping[str, pl.DataFrame]
    truth: pl.DataFrame
    planted: pl.DataFrame
