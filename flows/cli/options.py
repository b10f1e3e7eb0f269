"""What commands share: the app, the home that they work on, and how their options are read."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from daypart.flows.cli.help import GroupedCommands

if TYPE_CHECKING:
    from daypart.flows.compute.meter import Usage
    from daypart.flows.home import Home
    from daypart.forecasting.models.recipe import Recipe
    from daypart.forecasting.progress import Progress

app = typer.Typer(
    cls=GroupedCommands,
    help="Forecast hourly demand store by store, and keep the forecast good: ingest, train, publish, watch, retrain.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print also what each stage took, and the cost.")]
Targets = Annotated[
    str | None, typer.Option(metavar="TARGET,...", help="The targets: orders, sales or orders,sales; default all.")
]
Units = Annotated[
    list[str] | None,
    typer.Option(
        metavar="UNIT,...", help="Units of the portfolio, such as orders.West; repeated or separated by commas."
    ),
]
EngineName = Literal["local", "dask"]
Engine = Annotated[
    EngineName | None, typer.Option(help="Where to compute: in this process, or on a Dask cluster; default local.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="The Dask cluster's address; by default a cluster of this machine."),
]
HOME = "Folder that holds everything; default the nearest .daypart, here or in a folder above, else one made here."
HOME_PATH: ContextVar[Path] = ContextVar("HOME_PATH")
"""The folder that the command works on, as its caller named it or as it was found."""
MOST, MOST_DAYS = 2**31 - 1, 3_660
"""The greatest version, and the longest span of days that an option takes."""
WeatherView = Literal["issued", "observed", "none"]
Weather = Annotated[
    WeatherView,
    typer.Option(
        help="Weather of future hours: as issued before the origin, as observed later (hindsight), or none at all."
    ),
]
Level = Literal["hour", "daypart", "day", "week", "store", "region", "chain"]
DaypartName = Literal["breakfast", "lunch", "dinner"]
TargetName = Literal["orders", "sales"]


def open_home(
    engine: str | None = None, scheduler: str | None = None, *, timezone: str | None = None, tolerant: bool = False
) -> "Home":
    """Return the home that a command works on, with the settings that its options override (see `Home.open`)."""
    from daypart.features.errors import InputError
    from daypart.flows.home import Home

    home = Home.open(HOME_PATH.get(), tolerant=tolerant, engine=engine, scheduler=scheduler, timezone=timezone)
    if scheduler is not None and home.settings.engine == "local":
        raise InputError(f"--scheduler is {scheduler!r}, but the engine is local: add --engine dask")
    return home


def _print_version(asked: bool) -> None:
    """Print the installed version and end."""
    if asked:
        from importlib.metadata import version

        print(f"daypart {version('daypart')}")
        raise typer.Exit


@app.callback()
def choose_home(
    context: typer.Context,
    home: Annotated[
        Path | None, typer.Option(envvar="DAYPART_HOME", readable=False, metavar="FOLDER", help=HOME)
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Choose the home; every failure of the command is then told in one line."""
    from daypart.flows.config.home_access import absolute, nearest_home
    from daypart.flows.failures import readable

    path = nearest_home() if home is None else home
    HOME_PATH.set(path)
    context.with_resource(readable(absolute(path)))


def log_stages(command: str, usage: "Iterable[Usage]", **fields: str) -> None:
    """Write what a job's stages took to the log, where DAYPART_LOG asks for one."""
    from dataclasses import asdict

    from daypart.flows.display import progress as display

    display.log_stages(command, HOME_PATH.get(), [{**fields, **asdict(stage)} for stage in usage])


def day(text: str, option: str) -> date:
    """Return the date of an option. Raises InputError for text that is no date, or a year that tables do not take."""
    from daypart.features.errors import InputError
    from daypart.features.tables.parsing import EARLIEST_YEAR, LATEST_YEAR

    try:
        parsed_date = date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} is {text!r}: expected a date such as 2025-11-24") from None
    if not EARLIEST_YEAR <= parsed_date.year <= LATEST_YEAR:
        raise InputError(f"{option} is {text}: expected a year from {EARLIEST_YEAR} to {LATEST_YEAR}")
    return parsed_date


def optional_day(text: str | None, option: str) -> date | None:
    """Return the date of an option, null where it is not given. Raises as `day`."""
    return None if text is None else day(text, option)


def targets(text: str | None) -> tuple[str, ...] | None:
    """Return the targets of an option, null where it is not given. Raises InputError for a name that is none."""
    from daypart.features.errors import InputError
    from daypart.features.tables.schemas import TARGETS

    names = tuple(dict.fromkeys(part.strip() for part in text.split(","))) if text is not None else None
    if names and set(names) - set(TARGETS):
        raise InputError(f"--targets is {text!r}: expected orders, sales or both, separated by a comma")
    return names


def units(texts: list[str] | None) -> list[str] | None:
    """Return the units of an option that may be repeated and may hold commas; null where it is not given."""
    return list(dict.fromkeys(part.strip() for text in texts for part in text.split(","))) if texts else None


def recipe(weather: WeatherView, seed: int) -> "Recipe":
    """Return the recipe with that view of future weather."""
    from daypart.forecasting.models.recipe import Recipe

    return Recipe(weather=weather, seed=seed)


@contextmanager
def progress(command: str) -> Iterator["Progress"]:
    """Yield what shows the progress of a command while the block lasts (see `open_progress`)."""
    from daypart.flows.display.progress import open_progress

    with open_progress(command, HOME_PATH.get()) as shown:
        yield shown
