"""A row of the table: one piece of work, ours beside the alternative, and whether it reaches what it must."""

from dataclasses import dataclass, replace

from infra.bench.harness.isolated_job import Took


@dataclass(frozen=True)
class Limit:
    """What a row must reach; what is null is not asked.

    `seconds` and `gib` bound ours; `times` is theirs over ours in seconds, `lean` theirs over ours in peak memory.
    """

    seconds: float | None = None
    gib: float | None = None
    times: float | None = None
    lean: float | None = None

    def __str__(self) -> str:
        limits = {
            "at most {:g} s": self.seconds,
            "at most {:g} GiB": self.gib,
            "{:.3g} times as fast": self.times,
            "1/{:g} of the memory": self.lean,
        }
        return ", ".join(text.format(value) for text, value in limits.items() if value is not None)

    def reached(self, ours: Took, theirs: Took | None) -> bool | None:
        """Null where there is nothing to compare with."""
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


def beside(
    work: str, what: str, limit: Limit, ours: Took, name: str = "", theirs: Took | None = None, found: str = ""
) -> Row:
    """The row of ours beside theirs, or alone."""
    reached = limit.reached(ours, theirs)
    verdict = {True: "yes", False: "no", None: f"{name} is not installed"}[reached]
    peaks = [short(took.peak_gib) if took and took.peak_gib else None for took in (ours, theirs)]
    alone = Row(work, what, str(limit), verdict, found, short(ours.seconds), peaks[0], name)
    if theirs is None:
        return alone
    times, lean = theirs.seconds / ours.seconds, theirs.peak_gib / ours.peak_gib if ours.peak_gib else 0.0
    return replace(
        alone, theirs_seconds=short(theirs.seconds), theirs_peak_gib=peaks[1], ratio=short(times),
        memory_ratio=short(lean) or None,
    )  # fmt: skip


def short(value: float) -> float:
    """Three digits that count."""
    return float(f"{value:.3g}")
