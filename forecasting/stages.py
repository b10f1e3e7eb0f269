"""Stages of a job, reported to whatever measures it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Count = Callable[[int], None]
"""Takes the number of rows that a stage has dealt with."""

Stages = Callable[[str], AbstractContextManager[Count]]
"""Begins a stage by name (read, matrix, fit, evidence, predict); the same one may come again."""


def unmeasured(name: str) -> AbstractContextManager[Count]:
    """Return a stage that measures nothing."""
    return nullcontext(_ignore)


def _ignore(rows: int) -> None:
    """Count nothing."""
