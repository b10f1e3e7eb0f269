"""Commands that look at what is there: monitor, status."""

from dataclasses import replace
from typing import Annotated

import typer

from flows.cli.options import Json, Place, app

GROUPS = {
    **{"store": "store_id", "region": "region", "format": "format", "country": "country"},
    **{"tier": "tier", "daypart": "daypart", "lead": "lead_days", "model": "model_version"},
}


@app.command()
def monitor(
    context: typer.Context,
    by: Annotated[
        list[str] | None, typer.Option(help=f"Show accuracy by {', '.join(GROUPS)}; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Score published forecasts whose actuals have arrived; say what data are at fault, whether to retrain and why."""
    from features.errors import InputError
    from flows import monitor as monitors
    from flows.display import watch as display

    wrong = [name for name in by or () if name not in GROUPS]
    if wrong:
        raise InputError(f"--by is {wrong[0]!r}: expected {', '.join(GROUPS)}")
    place = Place(context.obj)
    watch = monitors.monitor(place.lake, place.registry, place.policies)
    if by and not watch.scores.is_empty():
        watch = replace(watch, scores=monitors.accuracy(place.lake, [GROUPS[name] for name in dict.fromkeys(by)]))
    display.show_monitor(watch, as_json=json)


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Show what the home holds: tables with versions and spans, champions, the last publication."""
    from flows.display import watch as display
    from flows.status import status as run

    place = Place(context.obj)
    display.show_status(run(place.lake, place.registry), as_json=json)
