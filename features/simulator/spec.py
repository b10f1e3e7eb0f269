"""The specification of a simulated chain."""

from dataclasses import dataclass
from datetime import date, timedelta

from daypart.features.errors import InputError
from daypart.features.simulator.faults import Fault, Outage

HORIZON_DAYS = 14
"""Days after the last demand for which the future is known: truth, schedules, events, closures, forecasts."""


def store_name(index: int) -> str:
    """Return the store's id; ids sort in the order of stores up to 9,999."""
    return f"S{index + 1:04d}"


@dataclass(frozen=True)
class ChainSpec:
    """A chain: its size, span, seed and planted faults. Equal specs give equal bits.

    `issues_days`: on how many of the last days weather forecasts were issued; `observed_days`: on how many it
    was observed, None = on all. The default span of two years ends in autumn, where the level moves most.
    """

    stores: int = 48
    start: date = date(2023, 11, 6)
    days: int = 730
    seed: int = 7
    faults: tuple[Fault, ...] = ()
    issues_days: int = 420
    observed_days: int | None = None

    def __post_init__(self) -> None:
        ranges = {"stores": (1, 9999), "days": (1, 7300), "seed": (0, 2**63 - 1)}
        ranges |= dict.fromkeys(("issues_days", "observed_days"), (0, self.days))
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"{name} is {value}: give {low} to {high}")
        for fault in self.faults:
            if isinstance(fault, Outage) and fault.store_id not in self.store_ids:
                raise InputError(f"outage of {fault.store_id}: stores run to {self.store_ids[-1]}, name one of them")

    @property
    def store_ids(self) -> list[str]:
        """Ids of the stores, in order."""
        return [store_name(index) for index in range(self.stores)]

    @property
    def end(self) -> date:
        """The day after the last demand: the origin of the first forecast."""
        return self.start + timedelta(days=self.days)

    @property
    def all_days(self) -> int:
        """Days of demand and of the horizon beyond it."""
        return self.days + HORIZON_DAYS
