"""Commands that make models and try them on the past: train, tune, backtest."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from daypart.flows.cli import options
from daypart.flows.cli.options import Engine, Json, Scheduler, Targets, Units, Weather, app, open_home

TRIALS = "Trials a target, those of earlier calls included; default the tier's, or 30."


@app.command()
def train(
    targets: Targets = None,
    units: Units = None,
    as_of: Annotated[str | None, typer.Option(help="Only what was known at this date.")] = None,
    weather: Weather = "issued",
    engine: Engine = None,
    scheduler: Scheduler = None,
    role: Annotated[str, typer.Option(envvar="DAYPART_ROLE", help="Who asks; see governance.toml.")] = "automation",
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
    display.show_train(trained_models, as_json=json)


@app.command()
def tune(
    targets: Targets = None,
    trials: Annotated[int | None, typer.Option(min=1, max=100_000, help=TRIALS)] = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="Minutes that a target's trials may take.")] = None,
    tier: Annotated[str, typer.Option(help="Whose settings; others are declared in recipes.toml.")] = "standard",
    as_of: Annotated[str | None, typer.Option(help="Only what was known at this date.")] = None,
    out: Annotated[Path | None, typer.Option(help="The .toml file of what is proposed.")] = None,
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


@app.command()
def backtest(
    start: Annotated[str, typer.Option(help="First origin.")],
    end: Annotated[str, typer.Option(help="Last day of the last horizon.")],
    out: Annotated[Path, typer.Option(help="File for the rows: .parquet, .csv or .xlsx.")],
    every_days: Annotated[int, typer.Option(min=1, max=options.MOST_DAYS)] = 7,
    horizon_days: Annotated[int, typer.Option(min=1, max=14)] = 14,
    retrain_every_days: Annotated[int, typer.Option(min=1, max=options.MOST_DAYS)] = 28,
    targets: Targets = None,
    weather: Weather = "issued",
    json: Json = False,
) -> None:
    """Forecast from rolling origins of the past, as it would have been published, and score it."""
    from daypart.flows.display import models as display
    from daypart.flows.jobs import backtest as backtests

    home = open_home().must_exist()
    first, last = options.day(start, "--start"), options.day(end, "--end")
    recipe = options.recipe(weather, home.settings.seed).model_copy(update={"horizon_days": horizon_days})
    span = backtests.Span(first, last, every_days, retrain_every_days)
    request = backtests.BacktestRequest(span, out.with_suffix(".html"), options.targets(targets), out)
    with options.progress("backtest") as progress:
        backtest_result = backtests.backtest(home, recipe, request, datetime.now(UTC), progress)
    display.show_backtest(backtest_result, out, as_json=json)
