"""The flows that deployments run: a home's folder and plain values are their parameters."""

from collections.abc import Sequence
from datetime import datetime

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from daypart.features.errors import DaypartError
from daypart.flows.compute.engine import open_engine, open_engines
from daypart.flows.config.recipes import STANDARD
from daypart.flows.deployment import server
from daypart.flows.deployment.tasks import job
from daypart.flows.files.lock import file_lock
from daypart.flows.home import Home
from daypart.flows.jobs import forecast as forecasts
from daypart.flows.jobs import train as trainings
from daypart.flows.jobs import tune as tunings
from daypart.flows.jobs.execution import Execution
from daypart.flows.maintenance import maintain as maintenance
from daypart.flows.monitoring import monitor as monitors
from daypart.flows.monitoring.retrain_event import EVENT, RetrainEvent, announce
from daypart.forecasting.models.recipe import Recipe

MOST_TASKS = 20
"""Tasks of a retrain: more would weigh on the server, fewer would do more over where one fails."""


@flow
def nightly(home: str) -> None:
    """Publishes every unit's forecast, scores what is known of earlier ones, and announces decisions to retrain."""
    place = _open(home)
    with open_engine(place.settings) as engine:
        warn = get_run_logger().warning
        origin = job("forecast", forecasts.publish)(place, engine=engine, notice=warn)
    get_run_logger().info("published the forecast of %s", origin)
    _watch(place)


@flow
def monitor(home: str) -> None:
    """Scores what is known of published forecasts, and announces decisions to retrain."""
    _watch(_open(home))


@flow
def retrain(home: str, units: list[str] | None = None, reason: str = "asked for by hand") -> None:
    """Trains, gates and promotes some units, or all; twice on the same data changes nothing.

    One at a time on a home's machine: another waits. Raises DaypartError when all are done but some failed; their
    champions serve on, and so they do if the run is killed.
    """
    place = _open(home)
    logger = get_run_logger()
    logger.info("retrain %s: %s", ", ".join(units or ["every unit"]), reason)
    settings, tier_engines = place.settings, place.portfolio.engines()
    with (
        file_lock(place.path / "retrain.lock"),
        open_engine(settings) as default,
        open_engines(settings, tier_engines) as makers,
    ):
        execution = Execution(default, makers)
        failed = [message for share in _shares(units) if (message := _train(place, share, reason, execution))]
    if failed:
        raise DaypartError(f"retraining failed, champions serve on: {'; '.join(failed)}")


@flow
def tuning(home: str, tier: str = STANDARD, trials: int = 30, minutes: float | None = 120.0) -> None:
    """Searches for better settings of a tier within a budget, and writes what it proposes under the home."""
    place = _open(home)
    request = tunings.TuneRequest(tunings.Budget(trials, minutes), tier)
    now: datetime = flow_run.scheduled_start_time
    proposal = job("tune", tunings.tune)(place, _recipe(place), request, now)
    get_run_logger().info("proposed in %s", proposal.out)


@flow
def maintain(home: str) -> None:
    """Compacts tables and removes what no retention rule needs."""
    place = _open(home)
    now: datetime = flow_run.scheduled_start_time
    freed = job("maintain", maintenance.maintain)(place, now)
    get_run_logger().info("freed %.1f MiB, as record %s of the audit has it", freed.removed.bytes / 2**20, freed.record)


def _open(path: str) -> Home:
    """Open the home. Raises InputError where it is gone or cannot be written: no run makes it again, empty."""
    return Home.open(path).must_exist().must_be_writable()


def _watch(home: Home) -> None:
    now: datetime = flow_run.scheduled_start_time
    watch = job("monitor", monitors.monitor)(home, now)
    announced = job("announce", announce)(home, watch.decisions, _send)
    get_run_logger().info("to retrain: %s", announced.reason if announced else "nothing that was not announced before")


def _send(announcement: RetrainEvent) -> None:
    server.emit(EVENT, announcement.resource, announcement.related, announcement.payload, announcement.id)


def _shares(units: Sequence[str] | None) -> list[tuple[str, ...] | None]:
    """The units in at most MOST_TASKS shares, in order; one of all where none are named."""
    names = list(dict.fromkeys(units or ()))
    size = max(1, -(-len(names) // MOST_TASKS))
    return [tuple(names[first : first + size]) for first in range(0, len(names), size)] or [None]


def _train(home: Home, units: tuple[str, ...] | None, reason: str, execution: Execution) -> str:
    """Train a share of the units; return what went wrong, or an empty text."""
    names = ", ".join(units or ["every unit"])
    now: datetime = flow_run.scheduled_start_time
    request = trainings.TrainRequest(units=units, reason=reason)
    task = job(f"train {names}", trainings.train)
    state = task(home, _recipe(home), request, execution, now, return_state=True)
    if state.is_completed():
        for model in state.result():
            word = "serves" if model.promoted else "does not serve"
            get_run_logger().info("%s-v%s %s: %s", model.unit, model.version, word, model.reason)
        return ""
    return f"{names}: {state.message}"


def _recipe(home: Home) -> Recipe:
    return Recipe(seed=home.settings.seed)
