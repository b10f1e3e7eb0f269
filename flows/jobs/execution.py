"""How a job runs: where it computes, and who is told how far it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from daypart.flows.compute.meter import Meter
from daypart.forecasting.models.engine import Engine, Local
from daypart.forecasting.progress import Progress, silent

EngineMaker = Callable[[Meter], Engine]
"""Makes the engine of a job that a meter measures."""


@dataclass(frozen=True)
class Execution:
    """What makes a job's engine: the default, and others by the name that a tier asks for; and its progress."""

    engine: EngineMaker = Local
    by_name: Mapping[str, EngineMaker] = field(default_factory=dict)
    progress: Progress = silent

    def engine_of_tier(self, name: str | None) -> EngineMaker:
        """Return the maker of the engine that a tier asks for; the default where it asks for none or it is absent."""
        return self.by_name.get(name or "", self.engine)
