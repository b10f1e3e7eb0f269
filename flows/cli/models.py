"""Commands that make models and try them on the past: train, tune, backtest."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from daypart.flows.cli import options
from daypart.flows.cli.help import MODELS
from daypart.flows.cli.options import Engine, Json, Scheduler, Targets, Units, Verbose, Weather, app, open_home

TRIALS = "Trials a target, those of earlier calls included; default the tier's number, or 30."
REPORT = "report.html"
"""The report of a backtest without a file of rows, in the home."""


@app.command(rich_help_panel=MODELS)
def train(
    targets: Targets = None,
    units: Units = None,
    as_of: Annotated[str | None, typer.Option(metavar="DATE", help="Only what was known at this date.")] = None,
    weather: Weather = "issued",
    engine: Engine = None,
    scheduler: Scheduler = None,
    role: Annotated[
        str, typer.Option(envvar="DAYPART_ROLE", metavar="ROLE", help="The role that asks; see governance.toml.")
    ] = "automation",
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Train a challenger for each unit of the portfolio, register it and gate it."""
    from daypart.flows.compute.engine import open_engine, open_engines
    from daypart.flows.display import models as display
    from daypart.flows.jobs.execution import Execution
    from daypart.flows.jobs.train import TrainRequest
    from daypart.flows.jobs.train import train as run

    home = open_home(engine, scheduler).must_exist().must_be_writable()
    recipe, chosen = options.recipe(weather, home.settings.seed), options.targets(targets)
    day = options.optional_day(as_of, "--as-of")
    tier_engines = [] if engine else home.portfolio.engines()
    with (
        open_engine(home.settings) as make_engine,
        open_engines(home.settings, tier_engines) as makers,
        options.progress("train") as progress,
    ):
        request = TrainRequest(chosen, options.units(units), day, role)
        trained_models = run(home, recipe, request, Execution(make_engine, makers, progress), datetime.now(UTC))
    for model in trained_models:
        options.log_stages("train", model.usage, unit=model.unit)
    display.show_train(trained_models, as_json=json, verbose=verbose)


@app.command(rich_help_panel=MODELS)
def tune(
    targets: Targets = None,
    trials: Annotated[int | None, typer.Option(min=1, max=100_000, metavar="N", help=TRIALS)] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, metavar="MINUTES", help="Minutes that a target's trials may take; default no limit."),
    ] = None,
    tier: Annotated[
        str, typer.Option(metavar="TIER", help="The tier whose settings are tuned, as portfolio.toml names it.")
    ] = "standard",
    as_of: Annotated[str | None, typer.Option(metavar="DATE", help="Only what was known at this date.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The .toml file of what is proposed; default tune/recipes.toml in the home."),
    ] = None,
    weather: Weather = "issued",
    json: Json = False,
) -> None:
    """Search rolling origins of the past for better settings, and propose them in a file."""
    from daypart.features.errors import InputError
    from daypart.flows.display import models as display
    from daypart.flows.jobs import tune as tunes

    home = open_home().must_exist().must_be_writable()
    recipe, chosen = options.recipe(weather, home.settings.seed), options.targets(targets)
    if minutes is not None and not math.isfinite(minutes):
        raise InputError(f"--minutes is {minutes}: expected a number of minutes, such as 30")
    day = options.optional_day(as_of, "--as-of")
    budget = tunes.Budget(trials or home.portfolio.tier(tier).trials, minutes)
    request = tunes.TuneRequest(budget, tier, chosen, day, out)
    with options.progress("tune") as progress:
        tunings = tunes.tune(home, recipe, request, datetime.now(UTC), progress)
    display.show_tune(tunings, as_json=json)


@app.command(rich_help_panel=MODELS)
def backtest(
    start: Annotated[str, typer.Option(metavar="DATE", help="The first origin.")],
    end: Annotated[str, typer.Option(metavar="DATE", help="The last day of the last horizon.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File for the rows: .parquet, .csv or .xlsx, with the report beside it."),
    ] = None,
    every_days: Annotated[
        int, typer.Option(min=1, max=options.MOST_DAYS, metavar="DAYS", help="Days from origin to origin.")
    ] = 7,
    horizon_days: Annotated[
        int, typer.Option(min=1, max=14, metavar="DAYS", help="Days that each origin forecasts.")
    ] = 14,
    retrain_every_days: Annotated[
        int, typer.Option(min=1, max=options.MOST_DAYS, metavar="DAYS", help="Days from one training to the next.")
    ] = 28,
    targets: Targets = None,
    weather: Weather = "issued",
    json: Json = False,
) -> None:
    """Forecast the past from rolling origins, as it would have been published, and score it.

    Without --out no rows are written, and the report is report.html in the home.
    """
    from daypart.flows.display import models as display
    from daypart.flows.jobs import backtest as backtests

    home = open_home().must_exist()
    first, last = options.day(start, "--start"), options.day(end, "--end")
    recipe = options.recipe(weather, home.settings.seed).model_copy(update={"horizon_days": horizon_days})
    span = backtests.Span(first, last, every_days, retrain_every_days)
    report = home.path / REPORT if out is None else out.with_suffix(".html")
    request = backtests.BacktestRequest(span, report, options.targets(targets), out)
    with options.progress("backtest") as progress:
        backtest_result = backtests.backtest(home, recipe, request, datetime.now(UTC), progress)
    display.show_backtest(backtest_result, out, as_json=json)
