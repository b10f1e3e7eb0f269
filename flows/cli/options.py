"""What commands share: the app, the home that they work on, and how their options are read."""

import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Hourly, store-level demand forecasting with its operations built in.",
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Targets = Annotated[str | None, typer.Option(help="Targets, separated by commas: orders,sales.")]
Units = Annotated[
    list[str] | None, typer.Option(help="Units of the portfolio, such as orders.West; repeated or separated by commas.")
]
Engine = Annotated[str | None, typer.Option(help="Where to compute: local, or dask for a cluster.")]
Scheduler = Annotated[str | None, typer.Option(help="The Dask cluster's address; default one of this machine.")]
HOME = "Folder that holds everything; default the nearest .daypart, here or in a folder above, else one made here."
MOST, MOST_DAYS = 2**31 - 1, 3_660
"""The greatest version, and the longest span of days that an option takes."""
Weather = Annotated[str, typer.Option(help="Weather of future hours: issued, observed (hindsight) or none.")]


class Place:
    """The home that a command works on, opened when first asked for.

    With `tolerant` a settings.toml that cannot be read is one of the `notices`.
    """

    def __init__(
        self, home: Path, engine: str | None = None, scheduler: str | None = None, timezone: str | None = None,
        *, tolerant: bool = False,
    ) -> None:  # fmt: skip
        from daypart.features.errors import InputError
        from daypart.flows.config.settings import Settings, WithoutFile

        overrides = {"engine": engine, "scheduler": scheduler, "timezone": timezone}
        self.notices: list[str] = []
        try:
            self.settings = Settings(home=home, **{name: text for name, text in overrides.items() if text is not None})
        except InputError as error:
            if not tolerant:
                raise
            self.settings = WithoutFile(home=home)
            self.notices.append(str(error))
        if scheduler is not None and self.settings.engine == "local":
            raise InputError(f"--scheduler is {scheduler!r}, but the engine is local: add --engine dask")

    def existing(self) -> "Place":
        """The same place. Raises NotKnownError where the home is not there: what is absent can show nothing."""
        from daypart.flows.config.home_access import check_exists

        check_exists(self.settings.home)
        return self

    def writable(self) -> "Place":
        """The same place. Raises InputError where this user cannot write to it."""
        from daypart.flows.config.home_access import check_writable

        check_writable(self.settings.home)
        return self

    @property
    def lake(self) -> Any:
        from daypart.flows.lake.lake import Lake

        return Lake(self.settings.lake)

    @property
    def registry(self) -> Any:
        from daypart.flows.registry.registry import Registry

        return Registry(self.settings)

    @property
    def policies(self) -> Any:
        from daypart.flows.config.policies import Policies

        return Policies.of_home(self.settings.policy)

    @property
    def recipes(self) -> Any:
        from daypart.flows.config.recipes import Recipes

        return Recipes.read(self.settings.recipes)

    @property
    def portfolio(self) -> Any:
        from daypart.flows.config.portfolio import Portfolio

        return Portfolio.read(self.settings.portfolio)


@app.callback()
def place(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(envvar="DAYPART_HOME", readable=False, help=HOME)] = None,
) -> None:
    from daypart.flows.config.home_access import absolute, nearest_home
    from daypart.flows.failures import readable

    context.obj = nearest_home() if home is None else home
    context.with_resource(readable(absolute(context.obj)))


def day(text: str, option: str) -> date:
    """The date of an option. Raises InputError for what is none, or lies outside the years that tables take."""
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
    """The date of an option, null where it is not given. Raises as `day`."""
    return None if text is None else day(text, option)


def targets(text: str | None) -> tuple[str, ...] | None:
    from daypart.features.errors import InputError
    from daypart.features.tables.schemas import TARGETS

    names = tuple(dict.fromkeys(part.strip() for part in text.split(","))) if text is not None else None
    if names and set(names) - set(TARGETS):
        raise InputError(f"--targets is {text!r}: expected orders, sales or both, separated by a comma")
    return names


def units(texts: list[str] | None) -> list[str] | None:
    """The names in what may be given several times, with commas in it."""
    return list(dict.fromkeys(part.strip() for text in texts for part in text.split(","))) if texts else None


def clock_changes(repeated_hour: str | None, missing_hour: str | None) -> Any:
    from typing import get_args

    from daypart.features.clock import ClockChanges, MissingHour, RepeatedHour
    from daypart.features.errors import InputError

    chosen = {"repeated-hour": (repeated_hour, RepeatedHour), "missing-hour": (missing_hour, MissingHour)}
    for name, (text, choices) in chosen.items():
        if text is not None and text not in get_args(choices):
            raise InputError(f"--{name} is {text!r}: expected one of {', '.join(get_args(choices))}")
    return ClockChanges(repeated_hour, missing_hour)  # type: ignore[arg-type]


def recipe(weather: str, seed: int) -> Any:
    from daypart.features.errors import InputError
    from daypart.forecasting.models.recipe import Recipe

    if weather not in ("issued", "observed", "none"):
        raise InputError(f"--weather is {weather!r}: expected issued, observed or none")
    return Recipe(weather=weather, seed=seed)  # type: ignore[arg-type]


def say(text: str) -> None:
    """Progress goes to stderr, and only to a person."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
