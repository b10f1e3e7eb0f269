"""The command line. Heavy libraries are imported by the command that needs them, so that help is instant."""

import errno
import os
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

app = typer.Typer(
    help="Hourly, store-level demand forecasting with its operations built in.",
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Targets = Annotated[str | None, typer.Option(help="Targets, separated by commas: orders,sales.")]
Engine = Annotated[str | None, typer.Option(help="Where to compute: local, or dask for a cluster.")]
Scheduler = Annotated[str | None, typer.Option(help="The Dask cluster's address; default one of this machine.")]
Weather = Annotated[str, typer.Option(help="Weather of future hours: issued, observed (hindsight) or none.")]
LEVELS = "Add up to daypart, day, week or store (its 14 days), or to region or chain by day; bands are of the sums."

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


class Place:
    """The home that a command works on, opened when first asked for."""

    def __init__(self, home: Path, engine: str | None = None, scheduler: str | None = None) -> None:
        from features.errors import InputError
        from flows.adapters.settings import Settings

        asked = {"engine": engine, "scheduler": scheduler}
        self.settings = Settings(home=home, **{name: text for name, text in asked.items() if text is not None})
        if scheduler is not None and self.settings.engine == "local":
            raise InputError(f"--scheduler is {scheduler!r}, but the engine is local: add --engine dask")

    @property
    def lake(self) -> Any:
        from flows.adapters.lake import Lake

        return Lake(self.settings.lake)

    @property
    def registry(self) -> Any:
        from flows.adapters.registry import Registry

        return Registry(self.settings)

    @property
    def recipes(self) -> Any:
        from flows.adapters.recipes import Recipes

        return Recipes.read(self.settings.recipes)


@app.callback()
def place(
    context: typer.Context,
    home: Annotated[Path, typer.Option(envvar="DAYPART_HOME", help="Folder that holds everything.")] = Path(".daypart"),
) -> None:
    context.obj = home


def _day(text: str, option: str) -> date:
    from features.errors import InputError

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{option} is {text!r}: expected a date such as 2025-11-24") from None


def _targets(text: str | None) -> tuple[str, ...] | None:
    from features.errors import InputError
    from features.tables import TARGETS

    names = tuple(dict.fromkeys(part.strip() for part in text.split(","))) if text else None
    if names and set(names) - set(TARGETS):
        raise InputError(f"--targets is {text!r}: expected orders, sales or both, separated by a comma")
    return names


def _recipe(weather: str, seed: int) -> Any:
    from features.errors import InputError
    from forecasting.recipe import Recipe

    if weather not in ("issued", "observed", "none"):
        raise InputError(f"--weather is {weather!r}: expected issued, observed or none")
    return Recipe(weather=weather, seed=seed)  # type: ignore[arg-type]


def _say(text: str) -> None:
    """Progress goes to stderr, and only to a person."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


@app.command()
def demo(context: typer.Context, json: Json = False) -> None:
    """Simulate a chain, then ingest, train, backtest, forecast, monitor and report on it."""
    from flows import display
    from flows.demo import demo as run

    started = time.monotonic()
    place = Place(context.obj)
    done = run(place.settings, datetime.now(UTC), _say)
    _say("")
    display.show_demo(done, context.obj, time.monotonic() - started, as_json=json)


@app.command()
def simulate(
    stores: Annotated[int, typer.Option(help="Stores, 1 to 9,999.")],
    years: Annotated[float, typer.Option(help="Years of trade, such as 3 or 0.5.")],
    out: Annotated[Path, typer.Option(help="New or empty folder for the tables and the truth.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same chain.")] = 7,
    issues_days: Annotated[int, typer.Option(help="Weather forecast on the last so many days; 9999 for all.")] = 28,
    observed_days: Annotated[int, typer.Option(help="Weather observed on the last so many days; 9999 for all.")] = 56,
    json: Json = False,
) -> None:
    """Write a simulated chain of any size as Parquet files, a folder per table.

    The weather of the last weeks is enough for a night's forecast; training on it, or a backtest, wants more.
    """
    from flows import display
    from flows import simulate as simulates

    done = simulates.simulate(simulates.chain_of(stores, years, seed, issues_days, observed_days), out, _say)
    _say("")
    display.show_simulate(done, as_json=json)


@app.command()
def ingest(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="A canonical table, or pos for point-of-sale lines.")],
    paths: Annotated[list[Path], typer.Argument(help="CSV or Parquet files, or folders of them.")],
    mapping: Annotated[Path | None, typer.Option(help="TOML that says what the columns of pos lines are.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good rows, leave the refused out.")] = False,
    json: Json = False,
) -> None:
    """Check files and upsert their rows into a table."""
    from features.errors import InputError
    from flows import display
    from flows import ingest as ingests

    lake = Place(context.obj).lake
    if table == "pos":
        if mapping is None:
            raise InputError("pos lines need --mapping FILE.toml that says what their columns are; see the README")
        report = ingests.ingest_pos(lake, paths, mapping, skip_bad)
    else:
        report = ingests.ingest_table(lake, table, paths, skip_bad)
    display.show_ingest(report, as_json=json)


@app.command()
def train(
    context: typer.Context,
    targets: Targets = None,
    as_of: Annotated[str | None, typer.Option(help="Only what was known at this date.")] = None,
    weather: Weather = "issued",
    engine: Engine = None,
    scheduler: Scheduler = None,
    json: Json = False,
) -> None:
    """Train a challenger for each target, register it and gate it."""
    from flows import display
    from flows.adapters.engine import opened
    from flows.train import train as run

    place = Place(context.obj, engine, scheduler)
    recipe, chosen = _recipe(weather, place.settings.seed), _targets(targets)
    day = _day(as_of, "--as-of") if as_of else None
    with opened(place.settings) as made:
        done = run(place.lake, place.registry, recipe, chosen, day, made, place.recipes)
    display.show_train(done, as_json=json)


@app.command()
def tune(
    context: typer.Context,
    targets: Targets = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials a target, those of earlier calls included.")] = 30,
    minutes: Annotated[float | None, typer.Option(min=0, help="Minutes that a target's trials may take.")] = None,
    tier: Annotated[str, typer.Option(help="Whose settings; others are declared in recipes.toml.")] = "standard",
    as_of: Annotated[str | None, typer.Option(help="Only what was known at this date.")] = None,
    out: Annotated[Path | None, typer.Option(help="The .toml file of what is proposed.")] = None,
    weather: Weather = "issued",
    json: Json = False,
) -> None:
    """Search rolling origins of the past for better settings, and propose them in a file."""
    from flows import display
    from flows import tune as tunes

    place = Place(context.obj)
    recipe, chosen = _recipe(weather, place.settings.seed), _targets(targets)
    day, budget = _day(as_of, "--as-of") if as_of else None, tunes.Budget(trials, minutes)
    done = tunes.tune(
        place.lake, place.registry, recipe, budget, datetime.now(UTC), out, tier, chosen, day, progress=_say
    )
    _say("")
    display.show_tune(done, as_json=json)


@app.command()
def forecast(
    context: typer.Context,
    origin: Annotated[str | None, typer.Option(help="First day; default the day after the last demand.")] = None,
    store: Annotated[list[str] | None, typer.Option(help="Only this store; may be repeated.")] = None,
    level: Annotated[str, typer.Option(help=LEVELS)] = "hour",
    out: Annotated[Path | None, typer.Option(help="Write .csv, .parquet or .xlsx instead of a table.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Forecast again, even if published.")] = False,
    engine: Engine = None,
    scheduler: Scheduler = None,
    json: Json = False,
) -> None:
    """Show the published 14-day forecast, or make and publish it first if there is none."""
    from features.errors import NotKnownError
    from flows import display
    from flows import forecast as forecasts
    from flows.adapters.engine import opened
    from flows.adapters.meter import Meter

    place = Place(context.obj, engine, scheduler)
    if out is not None:
        forecasts.check_out(out)
    day, lake, stores = _day(origin, "--origin") if origin else None, place.lake, store or []
    forecasts.check_level(level, stores)
    forecasts.check_stores(lake, stores)
    rows = None if refresh else forecasts.published(lake, forecasts.due(lake, day), stores)
    meter = Meter(place.settings.prices) if rows is None else None
    if meter is not None:
        with opened(place.settings) as made:
            rows = forecasts.published(lake, forecasts.publish(lake, place.registry, day, meter, made), stores)
    if rows is None:
        raise NotKnownError(
            f"store {', '.join(stores)} has no forecast: is it closed for good, or opens later? see stores"
        )
    told = forecasts.at_level(lake, place.registry, rows, level)
    if out is not None:
        forecasts.write_out(told, out)
    display.show_forecast(told, level, out, meter, as_json=json)


@app.command()
def backtest(
    context: typer.Context,
    start: Annotated[str, typer.Option(help="First origin.")],
    end: Annotated[str, typer.Option(help="Last day of the last horizon.")],
    out: Annotated[Path, typer.Option(help="File for the rows: .parquet, .csv or .xlsx.")],
    every_days: Annotated[int, typer.Option(min=1)] = 7,
    horizon_days: Annotated[int, typer.Option(min=1, max=14)] = 14,
    retrain_every_days: Annotated[int, typer.Option(min=1)] = 28,
    targets: Targets = None,
    weather: Weather = "issued",
    json: Json = False,
) -> None:
    """Forecast from rolling origins of the past, as it would have been published, and score it."""
    from flows import backtest as backtests
    from flows import display

    place = Place(context.obj)
    first, last = _day(start, "--start"), _day(end, "--end")
    recipe = _recipe(weather, place.settings.seed).model_copy(update={"horizon_days": horizon_days})
    span = backtests.Span(first, last, every_days, retrain_every_days)
    report = out.with_suffix(".html")
    done = backtests.backtest(
        place.lake, recipe, span, report, datetime.now(UTC), _targets(targets), out, None, place.recipes, _say
    )
    _say("")
    display.show_backtest(done, out, as_json=json)


@app.command()
def monitor(context: typer.Context, json: Json = False) -> None:
    """Score published forecasts whose actuals have arrived; say whether to retrain and why."""
    from flows import display
    from flows.monitor import monitor as run

    place = Place(context.obj)
    display.show_monitor(run(place.lake, place.registry), as_json=json)


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Show what the home holds: tables with versions and spans, champions, the last publication."""
    from flows import display
    from flows.status import status as run

    place = Place(context.obj)
    display.show_status(run(place.lake, place.registry), as_json=json)


def _stop(status: int, message: str) -> NoReturn:
    print("daypart: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(status)


def main() -> None:
    """Runs a command: exit status 0 done, 2 wrong input or arguments, 1 anything else."""
    # LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    stopped = "stopped; nothing was half-written"
    try:
        # Typer turns an interrupt into a status that it returns.
        if app(sys.argv[1:] or ["--help"], standalone_mode=False):
            _stop(1, stopped)
    except TyperException as wrong:
        _stop(2, f"{wrong.format_message()} See `daypart --help`.")
    except (KeyboardInterrupt, typer.Abort):
        _stop(1, stopped)
    except Exception as failed:
        from features.errors import DaypartError, InputError

        if os.environ.get("DAYPART_DEBUG"):
            raise
        if isinstance(failed, DaypartError):
            _stop(2 if isinstance(failed, InputError) else 1, str(failed))
        if isinstance(failed, OSError) and failed.errno in FULL:
            _stop(1, f"the disk is full ({failed}): free some of it and run again; nothing was half-written")
        _stop(1, f"{type(failed).__name__}: {failed} (set DAYPART_DEBUG=1 for the traceback)")
