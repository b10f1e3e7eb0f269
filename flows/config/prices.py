"""Prices of processors and memory."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prices:
    """The price of one processor and of one GiB of memory, in dollars per hour.

    The defaults are about the cost of a small cloud machine on demand; they are no provider's list prices.
    """

    cpu_hour: float = 0.0218
    gib_hour: float = 0.0029
