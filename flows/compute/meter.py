"""Measures a job by stage: time, processor time, memory, rows, and the cost in dollars."""

import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from daypart.flows.config.prices import Prices
from daypart.forecasting.stages import Count

GIB_UNITS = 2**30 if sys.platform == "darwin" else 2**20
"""Units per GiB of the system's peak memory of a process: bytes on macOS, KiB elsewhere."""


@dataclass
class Usage:
    """One stage: seconds by the clock and of processors, peak memory until it ended, rows processed."""

    stage: str
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_gib: float = 0.0
    rows: int = 0


class Meter:
    """Measures the stages of one job in this process, from its creation on; `add` adds other processes.

    If stages run in parallel threads, time is shared evenly among the running stages, so that stages never add up to
    more than the total. The system reports the peak memory of a process, not of a stage.
    """

    def __init__(self, prices: Prices | None = None) -> None:
        self._prices = prices or Prices()
        self._stages: dict[str, Usage] = {}
        self._running: list[Usage] = []
        self._other_seconds = 0.0
        self._peaks: dict[str, float] = {}
        self._lock = threading.Lock()
        self._began = self._last = _clocks()

    @contextmanager
    def __call__(self, name: str) -> Iterator[Count]:
        """Measure a stage within the block; yields a function that counts rows."""
        with self._lock:
            self._share()
            usage = self._stages.setdefault(name, Usage(name))
            self._running.append(usage)

        def count(rows: int) -> None:
            with self._lock:
                usage.rows += rows

        try:
            yield count
        finally:
            with self._lock:
                self._share()
                self._running.remove(usage)
                usage.peak_gib = max(_peak_gib(), usage.peak_gib)

    def add(self, process: str, usages: Sequence[Usage], wall_seconds: float) -> None:
        """Add the usage of another process for the job, as `usage` of its own meter returns it.

        `wall_seconds`, the time that this process waited for it, is shared among its stages, unless a stage that runs
        in this process includes that time already.
        """
        *stages, total = usages
        stage_seconds = sum(stage_usage.wall_seconds for stage_usage in stages)
        with self._lock:
            self._other_seconds += total.cpu_seconds
            self._peaks[process] = max(total.peak_gib, self._peaks.get(process, 0.0))
            for stage_usage in stages:
                usage = self._stages.setdefault(stage_usage.stage, Usage(stage_usage.stage))
                usage.cpu_seconds += stage_usage.cpu_seconds
                usage.peak_gib = max(stage_usage.peak_gib, usage.peak_gib)
                usage.rows += stage_usage.rows
                if stage_seconds > 0 and not self._running:
                    usage.wall_seconds += wall_seconds * stage_usage.wall_seconds / stage_seconds

    def usage(self) -> list[Usage]:
        """Return the stages in the order in which they began, and last `total`, which includes time between stages.

        The memory of `total` is the sum of the peaks of all processes; that of a stage is the peak of one process.
        """
        (began_wall, began_cpu), (wall, cpu) = self._began, _clocks()
        memory = _peak_gib() + sum(self._peaks.values())
        total = Usage("total", wall - began_wall, cpu - began_cpu + self._other_seconds, memory)
        return [*self._stages.values(), total]

    def dollars(self) -> float:
        """Return the cost in dollars: of processors for their working time, and of peak memory for the total time."""
        total = self.usage()[-1]
        hours = total.cpu_seconds * self._prices.cpu_hour + total.wall_seconds * total.peak_gib * self._prices.gib_hour
        return hours / 3600

    def figures(self) -> dict[str, float]:
        """Return all figures by name, as a run stores them: `read_wall_seconds`, ..., `cost_dollars`.

        A stage that has not ended is left out.
        """
        ended = [usage for usage in self.usage() if usage not in self._running]
        figures = {f"{usage.stage}_{name}": value for usage in ended for name, value in _numbers(usage).items()}
        return {**figures, "cost_dollars": self.dollars()}

    def _share(self) -> None:
        (last_wall, last_cpu), self._last = self._last, _clocks()
        for usage in self._running:
            usage.wall_seconds += (self._last[0] - last_wall) / len(self._running)
            usage.cpu_seconds += (self._last[1] - last_cpu) / len(self._running)


def _numbers(usage: Usage) -> dict[str, float]:
    return {name: value for name, value in asdict(usage).items() if name != "stage" and (name != "rows" or value)}


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIB_UNITS
