"""The command that planners use: forecast."""

from pathlib import Path
from typing import Annotated

import typer

from daypart.flows.cli import options
from daypart.flows.cli.help import EVERY_DAY
from daypart.flows.cli.options import Engine, Json, Level, Scheduler, Verbose, app, open_home

LEVEL_HELP = "Add the hours up: week by store, store over its 14 days, region and chain by day. Bands are of the sums."


@app.command(rich_help_panel=EVERY_DAY)
def forecast(
    origin: Annotated[
        str | None, typer.Option(metavar="DATE", help="First day; default the day after the last demand.")
    ] = None,
    store: Annotated[
        list[str] | None, typer.Option(metavar="STORE", help="Only this store; the option may be repeated.")
    ] = None,
    level: Annotated[Level, typer.Option(help=LEVEL_HELP)] = "hour",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a .csv, .parquet or .xlsx file instead of a table.")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Forecast again, even if the origin is published.")
    ] = False,
    engine: Engine = None,
    scheduler: Scheduler = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Show the published 14-day forecast, or make and publish it first if there is none."""
    from daypart.features.errors import NotKnownError
    from daypart.flows.compute.engine import open_engine
    from daypart.flows.compute.meter import Meter
    from daypart.flows.display import forecasts as display
    from daypart.flows.files import exports
    from daypart.flows.files.atomic_files import check_out
    from daypart.flows.jobs import forecast as forecasts
    from daypart.flows.jobs.execution import Execution

    home = open_home(engine, scheduler).must_exist()
    if out is not None:
        check_out(out, exports.EXPORT_ENDINGS)
    day, stores = options.optional_day(origin, "--origin"), store or []
    forecasts.check_level(level, stores)
    forecasts.check_stores(home, stores)
    rows = None if refresh else forecasts.published(home, forecasts.due(home, day), stores)
    meter = Meter(home.settings.prices) if rows is None else None
    notices: list[str] = []
    if meter is not None:
        home.must_be_writable()
        with open_engine(home.settings) as make_engine, options.progress("forecast") as progress:
            published = forecasts.publish(home, day, meter, Execution(make_engine, progress=progress), notices.append)
        rows = forecasts.published(home, published, stores)
    if rows is None:
        raise NotKnownError(
            f"store {', '.join(stores)} has no forecast: is it closed for good, or opens later? see stores"
        )
    level_rows = forecasts.at_level(home, rows, level)
    if out is not None:
        forecasts.write_out(level_rows, out)
    if meter is not None:
        options.log_stages("forecast", meter.usage())
    view = display.ForecastView(level_rows, level, out)
    display.show_forecast(view, meter, notices, as_json=json, verbose=verbose)
