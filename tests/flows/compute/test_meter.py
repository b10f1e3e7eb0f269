"""Stages by a clock that the test moves: each tick is a second by the clock and half a one of processors."""

from contextlib import ExitStack

import pytest

from daypart.flows.compute import meter as module
from daypart.flows.compute.meter import Meter, Usage
from daypart.flows.config.prices import Prices


class Clock:
    seconds = 0.0

    def read(self) -> tuple[float, float]:
        return self.seconds, self.seconds / 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    fake_clock = Clock()
    monkeypatch.setattr(module, "_clocks", fake_clock.read)
    monkeypatch.setattr(module, "_peak_gib", lambda: 2.0)
    return fake_clock


def test_stages_add_up_and_come_in_the_order_in_which_they_began(clock: Clock) -> None:
    meter = Meter()
    for name, seconds, rows in (("read", 3, 10), ("fit", 4, 5), ("read", 2, 1)):
        with meter(name) as count:
            clock.seconds += seconds
            count(rows)
        clock.seconds += 1
    assert meter.usage() == [
        Usage("read", 5.0, 2.5, 2.0, 11),
        Usage("fit", 4.0, 2.0, 2.0, 5),
        Usage("total", 12.0, 6.0, 2.0, 0),
    ]


def test_what_runs_at_once_shares_each_moment(clock: Clock) -> None:
    meter = Meter()
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(meter("read"))
        clock.seconds = 4
        second.enter_context(meter("fit"))
        clock.seconds = 10
        first.close()
        clock.seconds = 11
    read, fit, total = meter.usage()
    assert (read.wall_seconds, fit.wall_seconds, total.wall_seconds) == (7.0, 4.0, 11.0)


def test_a_stage_that_fails_is_measured_all_the_same(clock: Clock) -> None:
    meter = Meter()

    def fail() -> None:
        with meter("read"):
            clock.seconds = 2
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    clock.seconds = 9
    assert meter.usage()[0].wall_seconds == 2.0


def test_cost_is_of_processors_at_work_and_of_memory_for_the_whole_time(clock: Clock) -> None:
    meter = Meter(Prices(cpu_hour=1.0, gib_hour=0.1))
    clock.seconds = 3600
    assert meter.dollars() == pytest.approx(0.5 + 2 * 0.1)
    assert meter.figures() == pytest.approx(
        {"total_wall_seconds": 3600, "total_cpu_seconds": 1800, "total_peak_gib": 2.0, "cost_dollars": 0.7}
    )


def test_other_processes_add_their_work_and_their_memory(clock: Clock) -> None:
    meter, theirs = Meter(), [Usage("read", 1, 1, 0.5, 7), Usage("fit", 3, 9, 1.0, 0), Usage("total", 5, 11, 1.0)]
    clock.seconds = 8
    for worker in ("one", "two", "one"):
        meter.add(worker, theirs, 4.0)
    read, fit, total = meter.usage()
    assert (read.wall_seconds, read.cpu_seconds, read.rows) == (3.0, 3.0, 21)
    assert (fit.wall_seconds, fit.cpu_seconds, fit.peak_gib) == (9.0, 27.0, 1.0)
    assert (total.wall_seconds, total.cpu_seconds, total.peak_gib) == (8.0, 4.0 + 33.0, 2.0 + 1.0 + 1.0)
