"""The command that lists the models of a home."""

from daypart.flows.cli.help import EVERY_DAY
from daypart.flows.cli.options import Json, app, open_home


@app.command(rich_help_panel=EVERY_DAY)
def portfolio(json: Json = False) -> None:
    """List every unit: owner, champion, accuracy, excess over the floor, bias, last training, cost and health."""
    from daypart.flows.display.portfolio import show_portfolio
    from daypart.flows.governance.approval import pending
    from daypart.flows.monitoring.portfolio import portfolio as run

    home = open_home().must_exist()
    waiting = pending(home.audit.records())
    notes = {entry.unit: f"v{entry.version} waits for an approval (request {entry.number})" for entry in waiting}
    show_portfolio(run(home, notes), as_json=json)
