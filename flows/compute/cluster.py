"""Opens the Dask cluster of the settings, local or remote, and checks that it can do the work."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from dask import config
from distributed import Client, LocalCluster

from daypart.features.errors import InputError
from daypart.flows.compute.dask_engine import DaskEngine
from daypart.flows.compute.meter import Meter
from daypart.flows.config.settings import Settings
from daypart.forecasting.models.engine import Engine

PINNED_PACKAGES = ("daypart", "polars", "lightgbm", "statsforecast", "numpy")
"""Packages whose versions must match, as the bits of a result depend on them."""
ANSWER_SECONDS = 10
"""Time that a scheduler has to answer, and to have a worker."""
ALLOCATOR_SETTINGS = {
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:10000,muzzy_decay_ms:10000",
}
"""Keep the memory of one block for the next: returning and reallocating it took a third of a worker's time."""


@contextmanager
def open_cluster(settings: Settings) -> Iterator[Callable[[Meter], Engine]]:
    """Yield a function that makes an engine on the cluster at `scheduler`, or on one that lives as long as the block.

    Raises InputError for a scheduler that does not answer or has no worker, and for a worker that has other versions
    of the packages that results depend on or cannot see the lake.
    """
    if settings.scheduler is None:
        with (
            _local_cluster(settings.workers or os.cpu_count() or 1) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield partial(DaskEngine, client)
        return
    with _connect(settings.scheduler) as client:
        _check(client, settings)
        yield partial(DaskEngine, client)


def _local_cluster(workers: int) -> LocalCluster:
    """Start worker processes with one thread each, also for Polars; LightGBM and NumPy have that by Dask's default.

    Messages of LightGBM about its network go to stderr, because stdout belongs to the command.
    """
    with config.set(
        {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in ALLOCATOR_SETTINGS.items()}
    ):
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            env={"POLARS_MAX_THREADS": "1"},
            preload=["import os; os.dup2(2, 1)"],
        )


def _connect(address: str) -> Client:
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
    reply = client.get_versions(packages=PINNED_PACKAGES)
    expected = reply["client"]["packages"]
    # The scheduler deserialises the work too, before it goes to the workers.
    peers = {"the scheduler": reply["scheduler"], **{f"worker {name}": info for name, info in reply["workers"].items()}}
    for peer, info in peers.items():
        for name in PINNED_PACKAGES:
            if (version := info["packages"].get(name)) != expected[name]:
                mismatch = f"{peer} has {name} {version or 'not installed'}, expected {expected[name]} as here"
                raise InputError(f"{mismatch}: install the same versions on the scheduler and on every worker")
    without_lake = [
        worker for worker, has_lake in client.run(os.path.isdir, str(settings.lake)).items() if not has_lake
    ]
    if without_lake and settings.lake.is_dir():
        raise InputError(
            f"worker {min(without_lake)} does not see the lake at {settings.lake}: put the home on storage that every "
            "worker has at that path"
        )
