"""The command by which a policy is chosen: replay."""

from pathlib import Path
from typing import Annotated

import typer

from daypart.flows.cli import options
from daypart.flows.cli.help import EXPLORE
from daypart.flows.cli.options import Json, Targets, Weather, app, open_home

POLICY_HELP = "A policy: never, weekly, triggered or a .toml file; more may follow. Default: those three."


@app.command(rich_help_panel=EXPLORE)
def replay(
    start: Annotated[str, typer.Option(metavar="DATE", help="The first night.")],
    end: Annotated[str, typer.Option(metavar="DATE", help="The last night; demand through it is scored.")],
    policy: Annotated[list[str] | None, typer.Option(metavar="POLICY", help=POLICY_HELP)] = None,
    more: Annotated[list[str] | None, typer.Argument(metavar="POLICY", help="More policies of the same kinds.")] = None,
    every_days: Annotated[
        int, typer.Option(min=1, max=options.MOST_DAYS, metavar="DAYS", help="Days from one night to the next.")
    ] = 1,
    targets: Targets = None,
    weather: Weather = "issued",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File for the report: .html, or .md with a picture beside it.")
    ] = None,
    json: Json = False,
) -> None:
    """Simulate past nights under each policy, and compare accuracy, retrains and cost."""
    from daypart.flows.display import replay as display
    from daypart.flows.jobs import replay as replays

    home = open_home().must_exist()
    nights = replays.Nights(options.day(start, "--start"), options.day(end, "--end"), every_days)
    recipe, chosen = options.recipe(weather, home.settings.seed), options.targets(targets)
    policies = replays.policies_by_name([*(policy or []), *(more or [])])
    request = replays.ReplayRequest(nights, policies, chosen, out)
    with options.progress("replay") as progress:
        replay_results = replays.replay(home, recipe, request, progress)
    display.show_replay(replay_results, out, as_json=json)
