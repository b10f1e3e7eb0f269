"""The command that lists the models of a home."""

import typer

from daypart.flows.cli.options import Json, Place, app


@app.command()
def portfolio(context: typer.Context, json: Json = False) -> None:
    """List every unit: owner, champion, accuracy, excess over the floor, bias, last training, cost and health."""
    from daypart.flows.audit.audit_log import Audit
    from daypart.flows.display.portfolio import show_portfolio
    from daypart.flows.governance.approval import pending
    from daypart.flows.monitoring.portfolio import portfolio as run

    place = Place(context.obj).existing()
    waiting = pending(Audit(place.lake, place.registry).records())
    notes = {entry.unit: f"v{entry.version} waits for an approval (request {entry.number})" for entry in waiting}
    show_portfolio(run(place.lake, place.registry, notes), as_json=json)
