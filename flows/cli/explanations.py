"""Commands that say why: explain for a forecast, card for a model."""

from pathlib import Path
from typing import Annotated

import typer

from daypart.flows.cli import options
from daypart.flows.cli.help import EVERY_DAY, MODELS
from daypart.flows.cli.options import DaypartName, Json, TargetName, app, open_home


@app.command(rich_help_panel=EVERY_DAY)
def explain(
    store: Annotated[str, typer.Option(metavar="STORE", help="The store's id.")],
    date: Annotated[str, typer.Option(metavar="DATE", help="Local date within the forecast's 14 days.")],
    hour: Annotated[int | None, typer.Option(min=0, max=23, metavar="HOUR", help="Only this clock hour.")] = None,
    daypart: Annotated[DaypartName | None, typer.Option(help="Only this daypart.")] = None,
    target: Annotated[
        TargetName | None, typer.Option(help="The target to explain; default orders where published.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(metavar="DATE", help="Origin of the publication; default the latest.")
    ] = None,
    json: Json = False,
) -> None:
    """Say why a published forecast is what it is: what moves it from what the last four weeks sold."""
    from daypart.flows.display import explanations as display
    from daypart.flows.jobs import explain as explains

    home = open_home().must_exist()
    origin_day = options.optional_day(origin, "--origin")
    question = explains.ExplainQuery(store, options.day(date, "--date"), hour, daypart, target, origin_day)
    display.show_explained(explains.explain(home, question), as_json=json)


@app.command(rich_help_panel=MODELS)
def card(
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="The unit, such as orders.")],
    version: Annotated[
        int | None,
        typer.Option(min=1, max=options.MOST, metavar="N", help="The version; default the champion, else the newest."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a .md or .html file instead of printing.")
    ] = None,
    json: Json = False,
) -> None:
    """Show a model's card: data, features, accuracy by segment, biases, limits, who agreed."""
    from daypart.flows.display import explanations as display
    from daypart.flows.jobs import card as cards

    home = open_home().must_exist()
    model_card = cards.card(home, unit, version, out)
    display.show_card(model_card, out, as_json=json)
