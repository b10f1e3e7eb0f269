"""One job in a process of its own, so that the most memory it held is its own."""

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
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Took:
    """Seconds by the clock and of processors, the most memory that the process held, and what the work told."""

    seconds: float
    cpu_seconds: float
    peak_gib: float
    told: Mapping[str, Any] = field(default_factory=dict)


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """What the function returns, called in a fresh process that ends with it. Raises what it raises."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measured(prepare: Callable[..., Work], *arguments: Any) -> Took:
    """What a job took: `prepare` returns the work, which alone is timed; memory is that of the whole process."""
    return apart(_measure, prepare, arguments)


def _measure(prepare: Callable[..., Work], arguments: tuple[Any, ...]) -> Took:
    work = prepare(*arguments)
    wall, cpu = time.perf_counter(), time.process_time()
    figures = work() or {}
    return Took(time.perf_counter() - wall, time.process_time() - cpu, _peak_gib(), figures)


def _peak_gib() -> float:
    # Linux hands the peak of a parent on to what it starts; the status of the process knows its own.
    if STATUS.exists():
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB_UNITS
