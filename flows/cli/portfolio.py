"""The command that lists the models of a home."""

import typer

from flows.cli.options import Json, Place, app


@app.command()
def portfolio(context: typer.Context, json: Json = False) -> None:
    """List every unit: owner, champion, accuracy, excess over the floor, bias, last training, cost and health."""
    from flows.display.portfolio import show_portfolio
    from flows.portfolio import portfolio as run

    place = Place(context.obj)
    show_portfolio(run(place.lake, place.registry), as_json=json)
