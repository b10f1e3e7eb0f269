"""Progress of a job: how far it is, for whoever shows it. Shares are of work; the time left is for the display to say.

A job takes `progress: Progress = silent`, and gives a sub-job its share of the whole with `part` or `split`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

Progress = Callable[[str, float], None]
"""Takes the name of a step as the step begins, and the share of the whole job (0 to 1) that is done by then."""


def silent(step: str, share: float) -> None:
    """Show nothing."""


def part(progress: Progress, first: float, last: float, name: str = "") -> Progress:
    """Return the progress of a sub-job that makes up the share from `first` to `last` of a job.

    The names of its steps begin with `name`, where that is given.
    """
    if progress is silent:
        return silent
    prefix = f"{name}: " if name else ""
    return lambda step, share: progress(f"{prefix}{step}", first + (last - first) * share)


def split(progress: Progress, items: Sequence[Item]) -> Iterator[tuple[Item, Progress]]:
    """Yield every item with the progress of its part of the job; all parts are equal."""
    for number, item in enumerate(items):
        yield item, part(progress, number / len(items), (number + 1) / len(items))


def track(progress: Progress, items: Sequence[Item], step: Callable[[Item], str]) -> Iterator[Item]:
    """Yield every item and report a step of that name as its turn comes; all steps are equal parts of the job."""
    for item, item_progress in split(progress, items):
        item_progress(step(item), 0.0)
        yield item
