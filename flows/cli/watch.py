"""Commands that look at what is there: monitor, status."""

import typer

from flows.cli.options import Json, Place, app


@app.command()
def monitor(context: typer.Context, json: Json = False) -> None:
    """Score published forecasts whose actuals have arrived; say whether to retrain and why."""
    from flows.display import watch as display
    from flows.monitor import monitor as run

    place = Place(context.obj)
    display.show_monitor(run(place.lake, place.registry), as_json=json)


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Show what the home holds: tables with versions and spans, champions, the last publication."""
    from flows.display import watch as display
    from flows.status import status as run

    place = Place(context.obj)
    display.show_status(run(place.lake, place.registry), as_json=json)
