"""Run one job in a process of its own, so that its peak memory is its own."""

import resource
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from daypart.flows.compute.meter import GIB_UNITS

Result = TypeVar("Result")
Work = Callable[[], Mapping[str, Any] | None]
PROCESS_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class JobCost:
    """Wall and processor seconds of a job, the peak memory of its process, and the figures that the work returned."""

    seconds: float
    cpu_seconds: float
    peak_gib: float
    figures: Mapping[str, Any] = field(default_factory=dict)


def run_isolated(function: Callable[..., Result], *arguments: Any) -> Result:
    """Return what the function returns, called in a fresh process that ends with it. Raises what it raises."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure_job(prepare: Callable[..., Work], *arguments: Any) -> JobCost:
    """Return the cost of a job. `prepare` returns the work, which alone is timed; memory is that of the process."""
    return run_isolated(_measure, prepare, arguments)


def _measure(prepare: Callable[..., Work], arguments: tuple[Any, ...]) -> JobCost:
    work = prepare(*arguments)
    wall, cpu = time.perf_counter(), time.process_time()
    figures = work() or {}
    return JobCost(time.perf_counter() - wall, time.process_time() - cpu, _peak_gib(), figures)


def _peak_gib() -> float:
    # On Linux getrusage includes the peak of the parent; the status file has that of the process alone.
    if PROCESS_STATUS.exists():
        lines = dict(line.split(":", 1) for line in PROCESS_STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB_UNITS
