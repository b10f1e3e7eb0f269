"""A row of the table: one piece of work, the project's cost beside the alternative's, and whether it meets its limit."""

from dataclasses import dataclass, replace

from infra.bench.harness.isolated_job import JobCost


@dataclass(frozen=True)
class Limit:
    """What a row must reach; a null bound does not apply.

    `seconds` and `gib` bound the project's cost; `times` is the alternative's seconds over the project's, `lean` the
    alternative's peak memory over the project's.
    """

    seconds: float | None = None
    gib: float | None = None
    times: float | None = None
    lean: float | None = None

    def __str__(self) -> str:
        """Return the bounds in words."""
        limits = {
            "at most {:g} s": self.seconds,
            "at most {:g} GiB": self.gib,
            "{:.3g} times as fast": self.times,
            "1/{:g} of the memory": self.lean,
        }
        return ", ".join(text.format(value) for text, value in limits.items() if value is not None)

    def reached(self, ours: JobCost, theirs: JobCost | None) -> bool | None:
        """Return whether all bounds hold; null where there is no alternative to compare with."""
        if theirs is None and (self.times or self.lean):
            return None
        return all((
            self.seconds is None or ours.seconds <= self.seconds,
            self.gib is None or ours.peak_gib <= self.gib,
            self.times is None or theirs is None or theirs.seconds >= self.times * ours.seconds,
            self.lean is None or theirs is None or theirs.peak_gib >= self.lean * ours.peak_gib,
        ))  # fmt: skip


@dataclass(frozen=True)
class Row:
    """`what` says what is in the time of each side; `ratio` and `memory_ratio` are theirs over ours."""

    work: str
    what: str
    must_reach: str
    reached: str
    found: str = ""
    ours_seconds: float | None = None
    ours_peak_gib: float | None = None
    theirs: str = ""
    theirs_seconds: float | None = None
    theirs_peak_gib: float | None = None
    ratio: float | None = None
    memory_ratio: float | None = None


@dataclass(frozen=True)
class Task:
    """A piece of work, what its time includes, and the amount that it processed."""

    work: str
    what: str
    amount: str = ""


@dataclass(frozen=True)
class Alternative:
    """What the project is compared with; its cost is null where the library is not installed."""

    name: str = ""
    cost: JobCost | None = None


NO_ALTERNATIVE = Alternative()


def compare(task: Task, limit: Limit, ours: JobCost, alternative: Alternative = NO_ALTERNATIVE) -> Row:
    """Return the row of a task with the project's cost, and the alternative's where there is one."""
    theirs = alternative.cost
    reached = limit.reached(ours, theirs)
    verdict = {True: "yes", False: "no", None: f"{alternative.name} is not installed"}[reached]
    peaks = [short(cost.peak_gib) if cost and cost.peak_gib else None for cost in (ours, theirs)]
    alone = Row(task.work, task.what, str(limit), verdict, task.amount, short(ours.seconds), peaks[0], alternative.name)
    if theirs is None:
        return alone
    times, lean = theirs.seconds / ours.seconds, theirs.peak_gib / ours.peak_gib if ours.peak_gib else 0.0
    return replace(
        alone, theirs_seconds=short(theirs.seconds), theirs_peak_gib=peaks[1], ratio=short(times),
        memory_ratio=short(lean) or None,
    )  # fmt: skip


def short(value: float) -> float:
    """Round to three significant digits."""
    return float(f"{value:.3g}")
