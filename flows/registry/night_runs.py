"""Accuracy by night: one run per model version in the experiment of monitoring, with metrics over nights."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from daypart.flows.files.lock import file_lock
from daypart.flows.registry.runs import BATCH, PAGE_SIZE, RunRecord, RunRegistry

EPOCH = date(1970, 1, 1)
VERSION_TAG = "model_version"


@dataclass(frozen=True)
class NightFigures:
    """What nights say of a model version, such as orders-v3: `values` by metric and date, and the latest `decision`."""

    version: str
    values: Mapping[str, Mapping[date, float]]
    decision: str = ""

    @property
    def unit(self) -> str:
        """Return the unit of the version."""
        return self.version.rpartition("-v")[0]

    @property
    def first(self) -> date:
        """Return the first date of any value."""
        return min(day for by_date in self.values.values() for day in by_date)


class NightRegistry(RunRegistry):
    """The runs of one home, with those that hold the accuracy of versions by night."""

    def log_nights(self, nights: list[NightFigures]) -> None:
        """Add the values of nights after the last one that each metric has; earlier nights stay as they were logged.

        A metric's step is the number of days since 1970, its time the midnight in UTC that the date begins with.
        """
        if not nights:
            return
        # Of two processes one waits, and then finds the nights that the other logged.
        with file_lock(self.settings.home / "monitoring.lock"):
            runs = self._night_runs()
            for figures in nights:
                self._log_nights(figures, runs.get(figures.version))

    def _log_nights(self, figures: NightFigures, run: Any) -> None:
        from mlflow.entities import Metric, RunTag

        steps = {metric.key: metric.step for metric in run.data._metric_objs} if run else {}
        metrics = [
            Metric(name, value, _milliseconds(day), (day - EPOCH).days)
            for name, by_date in figures.values.items()
            for day, value in by_date.items()
            if (day - EPOCH).days > steps.get(name, -1)
        ]
        if not metrics:
            return
        run_id = run.info.run_id if run else self._begin_nights(figures)
        tags = [RunTag("decision", figures.decision)] if figures.decision else []
        for first in range(0, len(metrics), BATCH):
            self._call("log_batch", run_id, metrics[first : first + BATCH], tags=tags)

    def _begin_nights(self, figures: NightFigures) -> str:
        params = {"origin": figures.first.isoformat(), VERSION_TAG: figures.version}
        description = f"What {figures.version} published, by night: the step is the number of days since 1970."
        return self.record(RunRecord("monitor", figures.unit, params, {}, {}, label=figures.version,
                                     description=description))  # fmt: skip

    def _night_runs(self) -> dict[str, Any]:
        """Return the run of each version; of several the one that began last."""
        if not self._exists:
            return {}
        runs: dict[str, Any] = {}
        page, query = None, "attributes.status = 'FINISHED'"
        while page != "":
            listed = self._call(
                "search_runs", [self._experiment_id("monitor")], query, order_by=["attributes.start_time ASC"],
                max_results=PAGE_SIZE, page_token=page,
            )  # fmt: skip
            runs |= {run.data.params[VERSION_TAG]: run for run in listed if VERSION_TAG in run.data.params}
            page = listed.token or ""
        return runs


def _milliseconds(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp() * 1000)
