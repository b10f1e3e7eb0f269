"""What trainings take of the processor, each as if nothing had been kept from another."""

import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import TypeVar

from daypart.features.chain_data import DataSource
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import Workshop

Result = TypeVar("Result")
Part = tuple[str, date]
"""What a job rests on, by its kind, and the date as of which it is made."""


class ChargingWorkshop(Workshop):
    """A workshop that makes every model once, and knows what a job that asks for some would take alone.

    A part (a fit, the evidence of a fold, the rest of a training) is measured when it is first made, in processor
    seconds of this process, all threads. A job is charged every part that it rests on, whoever had it made, and of
    the states and the sample of rows its share of the days.
    """

    def __init__(self, records: DataSource, target: str, recipe: Recipe, last: date) -> None:
        began = time.process_time()
        super().__init__(records, target, recipe, last)
        # The sample of rows is drawn with the first that are asked for.
        self._known_rows(last)
        self._states_seconds = time.process_time() - began
        self._models: dict[tuple[date, date | None], Model] = {}
        self._seconds: dict[Part, float] = {}
        self._job: dict[Part, float] = {}

    def train(self, as_of: date, beside: date | None = None) -> Model:
        """See Workshop; each model is made once."""
        train_model, name = super().train, f"model beside {beside}"

        def model() -> None:
            self._models[as_of, beside] = train_model(as_of, beside)

        for part, make in {**self.parts(as_of, beside), (name, as_of): model}.items():
            self._measured(part, make)
        return self._models[as_of, beside]

    def charged(self, as_of: date, job: Callable[[], Result]) -> tuple[Result, float]:
        """What a job made as of a date, and the processor seconds that it is charged."""
        self._job, seconds_before = {}, dict(self._seconds)
        began = time.process_time()
        result = job()
        took = time.process_time() - began
        own_seconds = took - sum(seconds for part, seconds in self._seconds.items() if part not in seconds_before)
        return result, own_seconds + sum(self._job.values()) + self._share(as_of)

    def _measured(self, part: Part, make: Callable[[], object]) -> None:
        if part not in self._seconds:
            began = time.process_time()
            make()
            self._seconds[part] = time.process_time() - began
        self._job[part] = self._seconds[part]

    def _share(self, as_of: date) -> float:
        span_days = max((self._last - self.first) / timedelta(days=1), 1.0)
        return self._states_seconds * (as_of - self.first) / timedelta(days=1) / span_days
