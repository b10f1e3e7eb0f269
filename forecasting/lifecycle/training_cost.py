"""Processor seconds of trainings, each as if it shared nothing with another."""

import time
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from typing import TypeVar

from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.progress import Progress, silent, split

Result = TypeVar("Result")
Part = tuple[str, date]
"""A part that a job rests on, by its kind, and the date as of which it is made."""


class MeteredTrainer(ModelTrainer):
    """A trainer that makes every model once, and measures what a job that needs some of them would take alone.

    A part (a fit, the evidence of a fold, the rest of a training) is measured when it is first made, in processor
    seconds of this process, all threads. A job is charged every part that it rests on, whoever had it made, and of
    the states and the sample of rows its share of the days.
    """

    def __init__(self, data: TrainingData, recipe: Recipe) -> None:
        began = time.process_time()
        super().__init__(data, recipe)
        # The sample of rows is drawn with the first that are asked for.
        self._known_rows(data.last)
        self._states_seconds = time.process_time() - began
        self._models: dict[tuple[date, date | None], Model] = {}
        self._seconds: dict[Part, float] = {}
        self._job: dict[Part, float] = {}

    def train(self, as_of: date, compared_as_of: date | None = None, progress: Progress = silent) -> Model:
        """Return the model of `ModelTrainer.train`; each model is made once."""
        train_model, name = super().train, f"model compared as of {compared_as_of}"

        def model(progress: Progress) -> None:
            self._models[as_of, compared_as_of] = train_model(as_of, compared_as_of, progress)

        parts = {**self.parts(as_of, compared_as_of), (name, as_of): model}
        missing = [part for part in parts if part not in self._seconds]
        progresses = dict(split(progress, missing))
        for part, make in parts.items():
            self._measure(part, partial(make, progresses.get(part, silent)))
        return self._models[as_of, compared_as_of]

    def run(self, as_of: date, job: Callable[[], Result]) -> tuple[Result, float]:
        """Return what a job made as of a date, and the processor seconds that it is charged."""
        self._job, seconds_before = {}, dict(self._seconds)
        began = time.process_time()
        result = job()
        took = time.process_time() - began
        own_seconds = took - sum(seconds for part, seconds in self._seconds.items() if part not in seconds_before)
        return result, own_seconds + sum(self._job.values()) + self._share(as_of)

    def _measure(self, part: Part, make: Callable[[], object]) -> None:
        if part not in self._seconds:
            began = time.process_time()
            make()
            self._seconds[part] = time.process_time() - began
        self._job[part] = self._seconds[part]

    def _share(self, as_of: date) -> float:
        span_days = max((self._data.last - self.first) / timedelta(days=1), 1.0)
        return self._states_seconds * (as_of - self.first) / timedelta(days=1) / span_days
