"""Commands that look at what is there: monitor, status."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.options import Json, Place, app


@app.command()
def monitor(context: typer.Context, json: Json = False) -> None:
    """Score published forecasts whose actuals have arrived; say whether to retrain and why."""
    from flows.display import watch as display
    from flows.monitor import monitor as run

    place = Place(context.obj)
    display.show_monitor(run(place.lake, place.registry), as_json=json)


@app.command()
def status(
    context: typer.Context,
    at: Annotated[str | None, typer.Option(help="Who served on this date (UTC), its forecast made again.")] = None,
    rebuild: Annotated[bool, typer.Option(help="With --at: make the published forecast again and compare.")] = True,
    json: Json = False,
) -> None:
    """Show what the home holds and what waits for an approval, or what served on a day."""
    from flows import status as statuses
    from flows.display import governance, watch

    place = Place(context.obj)
    if at is not None:
        found = statuses.at(place.lake, place.registry, options.day(at, "--at"), rebuild)
        governance.show_day(found, as_json=json)
        return
    watch.show_status(statuses.status(place.lake, place.registry, datetime.now(UTC)), as_json=json)
