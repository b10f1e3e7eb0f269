"""The flows as Prefect runs them: the same jobs, with retries on what can fail in passing."""

from collections.abc import Callable
from datetime import date, datetime
from functools import wraps
from typing import Any

from prefect import flow, task

from daypart.features.errors import DamagedError, InputError
from daypart.flows.failures import readable
from daypart.flows.home import Home
from daypart.flows.ingest import ingest as ingests
from daypart.flows.ingest.ingest_report import IngestReport
from daypart.flows.jobs import forecast as forecasts
from daypart.flows.jobs import train as trainings
from daypart.flows.jobs import tune as tunings
from daypart.flows.jobs.execution import Execution
from daypart.flows.monitoring import monitor as monitors
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.progress import Progress, silent

RETRY_DELAYS_SECONDS = [2.0, 10.0, 60.0]


def in_passing(task: Any, run: Any, state: Any) -> bool:
    """Whether a failure may pass by itself: wrong input and damaged records or files never do."""
    try:
        state.result()
    except (DamagedError, InputError):
        return False
    except Exception:
        return True
    return False


def job(name: str, work: Callable[..., Any]) -> Any:
    """A job as one task: each is atomic and can be repeated, so a retry does it over."""
    return task(
        name=name,
        retries=len(RETRY_DELAYS_SECONDS),
        retry_delay_seconds=RETRY_DELAYS_SECONDS,
        retry_condition_fn=in_passing,
        persist_result=False,
    )(_readable(work))


def _readable(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return the job with its failures told in one line; a job takes the home first."""

    @wraps(work)
    def run(home: Home, *arguments: Any, **options: Any) -> Any:
        with readable(home.path):
            return work(home, *arguments, **options)

    return run


@flow(name="ingest", validate_parameters=False)
def ingest(home: Home, tables: dict[str, list[Any]]) -> list[IngestReport]:
    """Ingest each table's files, stores first."""
    stores_first = sorted(tables, key=lambda name: name != "stores")
    return [job(f"ingest {name}", ingests.ingest_table)(home, name, tables[name]) for name in stores_first]


@flow(name="train", validate_parameters=False)
def train(
    home: Home,
    recipe: Recipe,
    request: trainings.TrainRequest | None = None,
    now: datetime | None = None,
    progress: Progress = silent,
) -> list[trainings.TrainingOutcome]:
    """Train, register and gate a challenger for every target."""
    request, execution = request or trainings.TrainRequest(), Execution(progress=progress)
    return job("train", trainings.train)(home, recipe, request, execution, now=now)  # type: ignore[no-any-return]


@flow(name="tune", validate_parameters=False)
def tune(home: Home, recipe: Recipe, request: tunings.TuneRequest, now: datetime) -> tunings.TuningResult:
    """Search for better settings for every target and write what the search proposes."""
    return job("tune", tunings.tune)(home, recipe, request, now)  # type: ignore[no-any-return]


@flow(name="forecast", validate_parameters=False)
def forecast(home: Home, origin: date | None = None) -> date:
    """Publish the champion's forecast of every target; return the origin."""
    return job("forecast", forecasts.publish)(home, origin)  # type: ignore[no-any-return]


@flow(name="monitor", validate_parameters=False)
def monitor(home: Home, now: datetime | None = None) -> monitors.Watch:
    """Score what was published and decide whether to retrain."""
    return job("monitor", monitors.monitor)(home, now)  # type: ignore[no-any-return]
