"""The engine that runs on the workers of a Dask cluster: they read and compute blocks and train members."""

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, ClassVar

import numpy as np
import polars as pl
from dask import array, delayed
from distributed import Client, KilledWorker, get_worker

from daypart.features.errors import DaypartError
from daypart.flows.compute.meter import Meter, Usage
from daypart.forecasting.models import statistical
from daypart.forecasting.models.engine import MAX_BIN, Block, Result, Sample
from daypart.forecasting.stages import Stages

RETURN_SECONDS = 60
"""Time that lost workers have to come back."""
NOTICE_SECONDS = 5
"""Time that the scheduler has to notice that a worker is lost."""
BLOCKS_PER_WORKER = 2
"""Number of blocks in flight for each worker."""
SERIES_STORES = 25
"""Number of stores whose daily series are one task."""
FIT_ROWS = 500_000
"""Training rows for each worker that trains a member: more than the usual sample."""
TRIES = 3
SINGLE_PROCESS_NETWORK = {"num_threads": "0", "local_listen_port": "12400", "machines": "", "num_machines": "1"}
"""Network parameters of a model text that was trained in one process. Those of a cluster differ from run to run."""


@dataclass(frozen=True)
class DaskEngine:
    """The workers behind a client. Results equal those of the local engine bit for bit, except `boost` on big samples.

    Workers read the blocks themselves. A worker that is lost costs only time. Processor seconds of a worker with
    several threads include all work that it does in that time.
    """

    client: Client
    stages: Meter
    fit_rows: int = FIT_ROWS
    shares_memory: ClassVar[bool] = False

    def map(self, work: Callable[[Block, Stages], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        """See Engine. Raises DaypartError for a block that ends one worker after the other."""
        # A separate task goes to each worker once and, unlike scattered data, is repeated if a worker is lost.
        work_future = self.client.submit(_identity, work, pure=False)
        in_flight_limit = BLOCKS_PER_WORKER * max(len(self.client.ncores()), 1)
        in_flight: deque[Any] = deque()
        for block in blocks:
            in_flight.append(self.client.submit(_measure, work_future, block, pure=False))
            if len(in_flight) >= in_flight_limit:
                yield self._wait_for(in_flight.popleft())
        while in_flight:
            yield self._wait_for(in_flight.popleft())

    def _wait_for(self, future: Any) -> Any:
        began = time.monotonic()
        while True:
            try:
                result, worker, usages = future.result(RETURN_SECONDS)
                break
            except KilledWorker:
                raise DaypartError(
                    "the same block of stores ended several workers, most likely for want of memory: give them more"
                ) from None
            except TimeoutError:
                if future.done():
                    raise
                if not self.client.ncores():
                    raise DaypartError("the cluster has lost all its workers: start some and run again") from None
        self.stages.add(worker, usages, time.monotonic() - began)
        return result

    def daily_forecasts(self, totals: pl.DataFrame, origins: Sequence[date], horizon_days: int) -> pl.DataFrame:
        """See Engine. This does not use statsforecast's backend for Dask, which rounds to single precision."""
        ids = totals["store_id"].unique().sort()
        parts = [totals.filter(pl.col("store_id").is_in(ids[first : first + SERIES_STORES].implode()))
                 for first in range(0, max(len(ids), 1), SERIES_STORES)]  # fmt: skip
        forecasts = pl.concat(self.map(partial(_daily_forecasts, list(origins), horizon_days), parts))
        return forecasts.sort("store_id", "origin_date", "date")

    def boost(self, sample: Sample, settings: Mapping[str, Any], rounds: int) -> str:
        """See Engine. One worker trains on up to `fit_rows` rows; its model text equals that of the local engine.

        More rows are spread over several workers by LightGBM's data-parallel training. Each worker finds the bins of
        some features in its own rows, so trees differ from the local engine's and from run to run. The difference is
        smaller than that of another seed: on the simulated chain forecasts move by 1.4% of volume and WAPE by 3 bps
        (another seed: 13 bps). A lost worker ends a fit, which starts again on the workers that are left or came
        back. Raises DaypartError after TRIES.
        """
        for _ in range(TRIES):
            try:
                self.client.wait_for_workers(1, timeout=RETURN_SECONDS)
            except TimeoutError:
                break
            worker_count = -(-len(sample.label) // self.fit_rows)
            workers = sorted(self.client.ncores())[:worker_count]
            try:
                return self._boost_on(sample, settings, rounds, workers)
            except Exception:
                if not self._lost_any(workers):
                    raise
        raise DaypartError(f"training lost its workers {TRIES} times: look into their logs and train again")

    def _boost_on(self, sample: Sample, settings: Mapping[str, Any], rounds: int, workers: list[str]) -> str:
        from lightgbm import DaskLGBMRegressor, register_logger

        register_logger(_silent_logger())
        began = self.client.run(_process_usage, workers=workers)
        x, label, weight = (self._distribute(rows, workers) for rows in (sample.features, sample.label, sample.weight))
        model = DaskLGBMRegressor(client=self.client, n_estimators=rounds, max_bin=MAX_BIN, **settings)
        with self.client.as_current():
            model.fit(x, label, sample_weight=weight, feature_name=sample.names, categorical_feature=sample.categorical)
        for worker, (seconds, gib) in self.client.run(_process_usage, workers=workers).items():
            cpu_seconds = seconds - began[worker][0]
            self.stages.add(worker, [Usage("fit", 0.0, cpu_seconds, gib), Usage("total", 0.0, cpu_seconds, gib)], 0.0)
        names = "|".join(SINGLE_PROCESS_NETWORK)
        text = model.booster_.model_to_string()
        return re.sub(rf"(?m)^\[({names}): .*\]$", lambda line: f"[{line[1]}: {SINGLE_PROCESS_NETWORK[line[1]]}]", text)

    def _distribute(self, rows: np.ndarray[Any, Any], workers: list[str]) -> Any:
        """Return the rows as a Dask array of equal shares, one on each worker."""
        shares = zip(np.array_split(rows, len(workers)), workers, strict=True)
        parts = [(self.client.scatter(share, workers=[worker], hash=False), share.shape) for share, worker in shares]
        return array.concatenate([array.from_delayed(delayed(share), shape, rows.dtype) for share, shape in parts])

    def _lost_any(self, workers: list[str]) -> bool:
        """Return whether one of the workers is lost. If so, restart the rest, where LightGBM may still wait for it."""
        give_up = time.monotonic() + NOTICE_SECONDS
        while set(workers) <= set(running := self.client.ncores()):
            if time.monotonic() > give_up:
                return False
            time.sleep(0.1)
        if survivors := [worker for worker in workers if worker in running]:
            self.client.restart_workers(survivors, timeout=RETURN_SECONDS, raise_for_error=False)
        return True


def _identity(work: Any) -> Any:
    return work


def _measure(work: Callable[[Block, Stages], Result], block: Block) -> tuple[Result, str, list[Usage]]:
    """Return the result of a block, the address of the worker, and the usage by stage there."""
    meter = Meter()
    result = work(block, meter)
    return result, get_worker().address, meter.usage()


def _daily_forecasts(origins: Sequence[date], horizon_days: int, totals: pl.DataFrame, stages: Stages) -> pl.DataFrame:
    with stages("evidence"):
        return statistical.daily_forecasts(totals, origins, horizon_days)


def _process_usage() -> tuple[float, float]:
    """Return this process's processor seconds and its peak memory in GiB so far."""
    return time.process_time(), Meter().usage()[-1].peak_gib


def _silent_logger() -> logging.Logger:
    """Return a logger for LightGBM, which otherwise writes about ports to standard output."""
    logger = logging.getLogger("lightgbm")
    logger.setLevel(logging.ERROR)
    return logger
