"""What a processor and memory cost by the hour."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Prices:
    """What a processor and memory cost by the hour, in dollars.

    The defaults are about what a small cloud machine costs on demand; they are no provider's list prices.
    """

    cpu_hour: float = 0.0218
    gib_hour: float = 0.0029
