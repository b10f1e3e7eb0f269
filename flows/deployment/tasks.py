"""The flows as Prefect runs them: the same jobs, with retries on what can fail in passing."""

from collections.abc import Callable
from datetime import date, datetime
from functools import wraps
from pathlib import Path
from typing import Any

from prefect import flow, task

from daypart.features.errors import DamagedError, InputError
from daypart.flows.config.policies import Policies
from daypart.flows.config.recipes import Recipes
from daypart.flows.config.settings import Settings
from daypart.flows.failures import readable
from daypart.flows.ingest import ingest as ingests
from daypart.flows.jobs import forecast as forecasts
from daypart.flows.jobs import train as trainings
from daypart.flows.jobs import tune as tunings
from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring import monitor as monitors
from daypart.flows.registry.registry import Registry
from daypart.forecasting.models.recipe import Recipe

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
    """The job, whose failures are told in one line; what it is given first is the lake."""

    @wraps(work)
    def run(lake: Lake, *given: Any, **named: Any) -> Any:
        with readable(lake.root.parent):
            return work(lake, *given, **named)

    return run


def places(settings: Settings) -> tuple[Lake, Registry]:
    """Where jobs read and write."""
    return Lake(settings.lake), Registry(settings)


@flow(name="ingest", validate_parameters=False)
def ingest(settings: Settings, tables: dict[str, list[Any]]) -> list[ingests.IngestReport]:
    """Ingests each table's files, stores first."""
    lake, _ = places(settings)
    first_stores = sorted(tables, key=lambda name: name != "stores")
    starts = settings.day_starts
    return [
        job(f"ingest {name}", ingests.ingest_table)(lake, name, tables[name], day_starts=starts)
        for name in first_stores
    ]


@flow(name="train", validate_parameters=False)
def train(
    settings: Settings, recipe: Recipe, as_of: date | None = None, now: datetime | None = None
) -> list[trainings.Trained]:
    """Trains, registers and gates a challenger for every target."""
    lake, registry = places(settings)
    recipes = Recipes.read(settings.recipes)
    return job("train", trainings.train)(lake, registry, recipe, None, as_of, recipes=recipes, now=now)  # type: ignore[no-any-return]


@flow(name="tune", validate_parameters=False)
def tune(
    settings: Settings, recipe: Recipe, budget: tunings.Budget, now: datetime, out: Path | None
) -> tunings.Tunings:
    """Searches for better settings for every target and writes what it proposes."""
    lake, registry = places(settings)
    return job("tune", tunings.tune)(lake, registry, recipe, budget, now, out)  # type: ignore[no-any-return]


@flow(name="forecast", validate_parameters=False)
def forecast(settings: Settings, origin: date | None = None) -> date:
    """Publishes the champion's forecast of every target; the origin."""
    lake, registry = places(settings)
    return job("forecast", forecasts.publish)(lake, registry, origin)  # type: ignore[no-any-return]


@flow(name="monitor", validate_parameters=False)
def monitor(settings: Settings, now: datetime | None = None) -> monitors.Watch:
    """Scores what was published and says whether to retrain."""
    lake, registry = places(settings)
    policies = Policies.of_home(settings.policy)
    return job("monitor", monitors.monitor)(lake, registry, policies, now)  # type: ignore[no-any-return]
