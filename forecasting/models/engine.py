"""Engines: run the heavy work in this process, or on the workers of a cluster behind the same protocol."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.forecasting.models import statistical
from daypart.forecasting.stages import Stages, unmeasured

Block = TypeVar("Block")
Result = TypeVar("Result")

WORKERS = 2
"""Blocks at once in this process: Polars and LightGBM leave Python's lock, and one keeps less than two processors
busy."""

MAX_BIN = 127


@dataclass(frozen=True)
class Sample:
    """The sample of a boosted member: float32 features (rows, names), and each row's label and weight."""

    features: NDArray[np.float32]
    names: list[str]
    categorical: list[str]
    label: NDArray[np.float64]
    weight: NDArray[np.float64]


class Engine(Protocol):
    """Runs a job's heavy work. Every engine gives the same bits, except where its `boost` says otherwise."""

    @property
    def stages(self) -> Stages:
        """The stages by which the job is measured."""
        ...

    @property
    def shares_memory(self) -> bool:
        """Whether work has access to this process's memory; otherwise it reads its own records."""
        ...

    def map(self, work: Callable[[Block, Stages], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        """Yield the result of every block, in the order of the blocks; a few run at once."""
        ...

    def boost(self, sample: Sample, settings: Mapping[str, Any], rounds: int) -> str:
        """Return LightGBM's text of a model with so many trees, deterministic for a seed among the settings."""
        ...

    def daily_forecasts(self, totals: pl.DataFrame, origins: Sequence[date], horizon_days: int) -> pl.DataFrame:
        """Return the rows of `statistical.daily_forecasts`."""
        ...


@dataclass(frozen=True)
class Local:
    """This process: threads for blocks, LightGBM's own threads for a member."""

    stages: Stages = unmeasured
    shares_memory: ClassVar[bool] = True

    def map(self, work: Callable[[Block, Stages], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        """See Engine."""
        with ThreadPoolExecutor(WORKERS) as pool:
            yield from pool.map(lambda block: work(block, self.stages), blocks)

    def boost(self, sample: Sample, settings: Mapping[str, Any], rounds: int) -> str:
        """See Engine."""
        import lightgbm

        data = lightgbm.Dataset(
            sample.features,
            label=sample.label,
            weight=sample.weight,
            feature_name=sample.names,
            categorical_feature=sample.categorical,
            params={"max_bin": MAX_BIN, "verbose": -1},
        )
        text: str = lightgbm.train(dict(settings), data, num_boost_round=rounds).model_to_string()
        return text

    def daily_forecasts(self, totals: pl.DataFrame, origins: Sequence[date], horizon_days: int) -> pl.DataFrame:
        """See Engine."""
        return statistical.daily_forecasts(totals, origins, horizon_days)


LOCAL = Local()
"""The engine of jobs that are not measured."""
