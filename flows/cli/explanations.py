"""Commands that say why: explain for a forecast, card for a model."""

from pathlib import Path
from typing import Annotated

import typer

from daypart.flows.cli import options
from daypart.flows.cli.options import Json, app, open_home


@app.command()
def explain(
    store: Annotated[str, typer.Option(help="The store.")],
    date: Annotated[str, typer.Option(help="Local date in the forecast's 14 days.")],
    hour: Annotated[int | None, typer.Option(min=0, max=23, help="Only this clock hour.")] = None,
    daypart: Annotated[str | None, typer.Option(help="Only breakfast, lunch or dinner.")] = None,
    target: Annotated[str | None, typer.Option(help="orders or sales; default orders where published.")] = None,
    origin: Annotated[str | None, typer.Option(help="Of which publication; default the latest.")] = None,
    json: Json = False,
) -> None:
    """Say why a published forecast is what it is: what moves it from what the last four weeks sold."""
    from daypart.flows.display import explanations as display
    from daypart.flows.jobs import explain as explains

    home = open_home().must_exist()
    origin_day = options.optional_day(origin, "--origin")
    question = explains.ExplainQuery(store, options.day(date, "--date"), hour, daypart, target, origin_day)
    display.show_explained(explains.explain(home, question), as_json=json)


@app.command()
def card(
    unit: Annotated[str, typer.Argument(help="A model's name, such as orders.")],
    version: Annotated[
        int | None, typer.Option(min=1, max=options.MOST, help="Default the champion, else the newest.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write .md or .html instead of printing.")] = None,
    json: Json = False,
) -> None:
    """Show a model's card: data, features, accuracy by segment, biases, limits, who agreed."""
    from daypart.flows.display import explanations as display
    from daypart.flows.jobs import card as cards

    home = open_home().must_exist()
    model_card = cards.card(home, unit, version, out)
    display.show_card(model_card, out, as_json=json)
