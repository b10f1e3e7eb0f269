"""A Dask cluster as the engine: its workers read and compute blocks, smooth series and train boosted members."""

import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, ClassVar

import numpy as np
import polars as pl
from dask import array, config, delayed
from distributed import Client, KilledWorker, LocalCluster, get_worker

from daypart.features.errors import DaypartError, InputError
from daypart.flows.compute.meter import Meter, Usage
from daypart.flows.config.settings import Settings
from daypart.forecasting.models import statistical
from daypart.forecasting.models.engine import MAX_BIN, Block, Engine, Result, Sample
from daypart.forecasting.stages import Stages

ALIKE = ("daypart", "polars", "lightgbm", "statsforecast", "numpy")
"""Packages on which the bits of a result depend."""
ANSWER_SECONDS = 10
"""How long a scheduler may take to answer, and to have a worker."""
RETURN_SECONDS = 60
"""How long lost workers may take to come back."""
NOTICE_SECONDS = 5
"""How long the scheduler may take to notice that a worker is lost."""
AHEAD = 2
"""Blocks in flight for each worker."""
SERIES_STORES = 25
"""Stores whose daily series are one task."""
KEEPING = {
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:10000,muzzy_decay_ms:10000",
}
"""Memory of one block is kept for the next: to give it back and get it anew took a third of a worker's time."""
FIT_ROWS = 500_000
"""Training rows for each worker that trains a member: more than the usual sample."""
TRIES = 3
OF_ONE_PROCESS = {"num_threads": "0", "local_listen_port": "12400", "machines": "", "num_machines": "1"}
"""What LightGBM's text says of its network where there is none: it would tell one run from the next."""


@contextmanager
def opened(settings: Settings) -> Iterator[Callable[[Meter], Engine]]:
    """What makes an engine on the settings' cluster: the one at `scheduler`, else one that lives as long as this.

    Raises InputError for a scheduler that does not answer, has no worker, or has one with other versions of the
    packages that results depend on, or one that cannot see the lake.
    """
    if settings.scheduler is None:
        with (
            _local(settings.workers or os.cpu_count() or 1) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield partial(Dask, client)
        return
    with _connected(settings.scheduler) as client:
        _check(client, settings)
        yield partial(Dask, client)


def _local(workers: int) -> LocalCluster:
    """Processes of one thread, also for Polars; for LightGBM and NumPy that is Dask's own default.

    What LightGBM prints about its network goes to stderr, for stdout is the command's.
    """
    with config.set({f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in KEEPING.items()}):
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            env={"POLARS_MAX_THREADS": "1"},
            preload=["import os; os.dup2(2, 1)"],
        )


def _connected(address: str) -> Client:
    try:
        return Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError):
        raise InputError(
            f"no Dask scheduler answers at {address!r}: expected an address such as tcp://host:8786; start one with "
            "`dask scheduler`, or leave it out for a cluster of this machine"
        ) from None


def _check(client: Client, settings: Settings) -> None:
    try:
        client.wait_for_workers(1, timeout=ANSWER_SECONDS)
    except TimeoutError:
        raise InputError(
            f"the scheduler at {settings.scheduler} has no worker: start some with `dask worker`"
        ) from None
    reply = client.get_versions(packages=ALIKE)
    here = reply["client"]["packages"]
    # The scheduler reads the work too, on its way to the workers.
    peers = {"the scheduler": reply["scheduler"], **{f"worker {name}": info for name, info in reply["workers"].items()}}
    for who, info in peers.items():
        for name in ALIKE:
            if (there := info["packages"].get(name)) != here[name]:
                raise InputError(
                    f"{who} has {name} {there or 'not installed'}, expected {here[name]} as here: install the same "
                    "versions on the scheduler and on every worker"
                )
    blind = [worker for worker, sees in client.run(os.path.isdir, str(settings.lake)).items() if not sees]
    if blind and settings.lake.is_dir():
        raise InputError(
            f"worker {min(blind)} does not see the lake at {settings.lake}: put the home on storage that every "
            "worker has at that path"
        )


@dataclass(frozen=True)
class Dask:
    """The workers behind a client. Results are the local engine's to the last bit, `boost` of big samples aside.

    Blocks are read by the workers, from where the work says. A worker that is lost costs time alone. Processor
    seconds of workers with several threads are those of all work that they do meanwhile.
    """

    client: Client
    stages: Meter
    fit_rows: int = FIT_ROWS
    shares_memory: ClassVar[bool] = False

    def map(self, work: Callable[[Block, Stages], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        """See Engine. Raises DaypartError for a block that costs one worker after the other its life."""
        # A task of its own goes to each worker once and, unlike scattered data, is done again if that one is lost.
        work_future = self.client.submit(_same, work, pure=False)
        ahead = AHEAD * max(len(self.client.ncores()), 1)
        flying: deque[Any] = deque()
        for block in blocks:
            flying.append(self.client.submit(_measured, work_future, block, pure=False))
            if len(flying) >= ahead:
                yield self._landed(flying.popleft())
        while flying:
            yield self._landed(flying.popleft())

    def _landed(self, future: Any) -> Any:
        began = time.monotonic()
        while True:
            try:
                result, worker, took = future.result(RETURN_SECONDS)
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
        self.stages.add(worker, took, time.monotonic() - began)
        return result

    def daily_forecasts(self, totals: pl.DataFrame, origins: Sequence[date], horizon_days: int) -> pl.DataFrame:
        """See Engine. Not by statsforecast's own backend for Dask, which rounds to single precision."""
        ids = totals["store_id"].unique().sort()
        parts = [totals.filter(pl.col("store_id").is_in(ids[first : first + SERIES_STORES].implode()))
                 for first in range(0, max(len(ids), 1), SERIES_STORES)]  # fmt: skip
        forecasts = pl.concat(self.map(partial(_smoothed, list(origins), horizon_days), parts))
        return forecasts.sort("store_id", "origin_date", "date")

    def boost(self, sample: Sample, settings: Mapping[str, Any], rounds: int) -> str:
        """See Engine. One worker trains on up to `fit_rows` rows: the text is the local engine's.

        More rows are laid on several workers, by LightGBM's data-parallel training: each finds the bins of some
        features in its own rows, so that trees differ, from run to run too. That is worth no more than another
        seed: on the simulator's chain forecasts move by 1.4% of volume and WAPE by 3 bps (another seed: 13). A lost
        worker ends a fit; it starts over on those that are left or came back. Raises DaypartError after TRIES.
        """
        for _ in range(TRIES):
            try:
                self.client.wait_for_workers(1, timeout=RETURN_SECONDS)
            except TimeoutError:
                break
            worker_count = -(-len(sample.label) // self.fit_rows)
            workers = sorted(self.client.ncores())[:worker_count]
            try:
                return self._boosted(sample, settings, rounds, workers)
            except Exception:
                if not self._lost(workers):
                    raise
        raise DaypartError(f"training lost its workers {TRIES} times: look into their logs and train again")

    def _boosted(self, sample: Sample, settings: Mapping[str, Any], rounds: int, workers: list[str]) -> str:
        from lightgbm import DaskLGBMRegressor, register_logger

        register_logger(_silent())
        began = self.client.run(_spent, workers=workers)
        x, label, weight = (self._laid(rows, workers) for rows in (sample.features, sample.label, sample.weight))
        model = DaskLGBMRegressor(client=self.client, n_estimators=rounds, max_bin=MAX_BIN, **settings)
        with self.client.as_current():
            model.fit(x, label, sample_weight=weight, feature_name=sample.names, categorical_feature=sample.categorical)
        for worker, (seconds, gib) in self.client.run(_spent, workers=workers).items():
            took = seconds - began[worker][0]
            self.stages.add(worker, [Usage("fit", 0.0, took, gib), Usage("total", 0.0, took, gib)], 0.0)
        names = "|".join(OF_ONE_PROCESS)
        text = model.booster_.model_to_string()
        return re.sub(rf"(?m)^\[({names}): .*\]$", lambda line: f"[{line[1]}: {OF_ONE_PROCESS[line[1]]}]", text)

    def _laid(self, rows: np.ndarray[Any, Any], workers: list[str]) -> Any:
        """The rows in equal shares, one held by each worker."""
        shares = zip(np.array_split(rows, len(workers)), workers, strict=True)
        parts = [(self.client.scatter(share, workers=[worker], hash=False), share.shape) for share, worker in shares]
        return array.concatenate([array.from_delayed(delayed(one), shape, rows.dtype) for one, shape in parts])

    def _lost(self, workers: list[str]) -> bool:
        """Whether one of them is gone. The others start anew: LightGBM may wait for it until its network times out."""
        give_up = time.monotonic() + NOTICE_SECONDS
        while set(workers) <= set(here := self.client.ncores()):
            if time.monotonic() > give_up:
                return False
            time.sleep(0.1)
        if survivors := [worker for worker in workers if worker in here]:
            self.client.restart_workers(survivors, timeout=RETURN_SECONDS, raise_for_error=False)
        return True


def _same(work: Any) -> Any:
    return work


def _measured(work: Callable[[Block, Stages], Result], block: Block) -> tuple[Result, str, list[Usage]]:
    """The work of a block, on which worker, and what it took there."""
    meter = Meter()
    result = work(block, meter)
    return result, get_worker().address, meter.usage()


def _smoothed(origins: Sequence[date], horizon_days: int, totals: pl.DataFrame, stages: Stages) -> pl.DataFrame:
    with stages("evidence"):
        return statistical.daily_forecasts(totals, origins, horizon_days)


def _spent() -> tuple[float, float]:
    """This process's processor seconds and most memory so far."""
    return time.process_time(), Meter().usage()[-1].peak_gib


def _silent() -> logging.Logger:
    """For LightGBM, which talks of ports on standard output."""
    logger = logging.getLogger("lightgbm")
    logger.setLevel(logging.ERROR)
    return logger
