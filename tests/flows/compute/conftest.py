"""A real cluster of two processes of one thread."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as workers:
        yield workers


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    """A client of two workers, even after a test has killed one."""
    from distributed import Client

    # The cluster gives up a killed worker whose successor is slow to come.
    cluster.scale(2)
    with Client(cluster, set_as_default=False) as dask_client:
        dask_client.wait_for_workers(2, timeout=180)
        yield dask_client
