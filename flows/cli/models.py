"""Commands that make models and try them on the past: train, tune, backtest."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from daypart.flows.cli import options
from daypart.flows.cli.options import Engine, Json, Place, Scheduler, Targets, Units, Weather, app

TRIALS = "Trials a target, those of earlier calls included; default the tier's, or 30."


@app.command()
def train(
    context: typer.Context,
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
    from daypart.flows.jobs.train import train as run

    place = Place(context.obj, engine, scheduler).existing().writable()
    recipe, chosen = options.recipe(weather, place.settings.seed), options.targets(targets)
    day = options.optional_day(as_of, "--as-of")
    tier_engines = [] if engine else place.portfolio.engines()
    with open_engine(place.settings) as make_engine, open_engines(place.settings, tier_engines) as makers:
        trained_models = run(
            place.lake, place.registry, recipe, chosen, day, make_engine, place.recipes, options.units(units), makers,
            datetime.now(UTC), role,
        )  # fmt: skip
    display.show_train(trained_models, as_json=json)


@app.command()
def tune(
    context: typer.Context,
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

    place = Place(context.obj).existing().writable()
    recipe, chosen = options.recipe(weather, place.settings.seed), options.targets(targets)
    if minutes is not None and not math.isfinite(minutes):
        raise InputError(f"--minutes is {minutes}: expected a number of minutes, such as 30")
    day = options.optional_day(as_of, "--as-of")
    budget = tunes.Budget(trials or place.portfolio.tier(tier).trials, minutes)
    tunings = tunes.tune(
        place.lake, place.registry, recipe, budget, datetime.now(UTC), out, tier, chosen, day, progress=options.say
    )
    options.say("")
    display.show_tune(tunings, as_json=json)


@app.command()
def backtest(
    context: typer.Context,
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

    place = Place(context.obj).existing()
    first, last = options.day(start, "--start"), options.day(end, "--end")
    recipe = options.recipe(weather, place.settings.seed).model_copy(update={"horizon_days": horizon_days})
    span = backtests.Span(first, last, every_days, retrain_every_days)
    report = out.with_suffix(".html")
    backtest_result = backtests.backtest(
        place.lake,
        recipe,
        span,
        report,
        datetime.now(UTC),
        options.targets(targets),
        out,
        None,
        place.recipes,
        options.say,
        place.portfolio,
    )
    options.say("")
    display.show_backtest(backtest_result, out, as_json=json)
