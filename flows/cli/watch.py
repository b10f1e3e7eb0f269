"""Commands that look at what is there: monitor, status."""

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from daypart.flows.cli import options
from daypart.flows.cli.help import EVERY_DAY
from daypart.flows.cli.options import Json, app, open_home

GROUPS = {
    "store": "store_id", "region": "region", "format": "format", "country": "country",
    "tier": "tier", "daypart": "daypart", "lead": "lead_days", "model": "model_version",
}  # fmt: skip
GroupName = StrEnum("GroupName", list(GROUPS))  # type: ignore[misc]  # an option that repeats takes no Literal


@app.command(rich_help_panel=EVERY_DAY)
def monitor(
    by: Annotated[
        list[GroupName] | None,
        typer.Option(metavar="NAME", help=f"Break accuracy down by {', '.join(GROUPS)}; the option may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Score published forecasts by the actuals that have arrived, and say whether to retrain and why."""
    from daypart.flows.display import watch as display
    from daypart.flows.monitoring import monitor as monitors

    home = open_home().must_exist().must_be_writable()
    with options.progress("monitor") as progress:
        watch = monitors.monitor(home, datetime.now(UTC), progress)
    if by and not watch.scores.is_empty():
        watch = replace(watch, scores=monitors.accuracy(home, [GROUPS[name] for name in dict.fromkeys(by)]))
    display.show_monitor(watch, as_json=json)


@app.command(rich_help_panel=EVERY_DAY)
def status(
    at: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Show who served on this date (UTC), with its forecast made again."),
    ] = None,
    rebuild: Annotated[bool, typer.Option(help="With --at: make the published forecast again and compare.")] = True,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all of the lake's files; the exit status is 1 if one is damaged.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what the home holds, what waits for an approval, what served on a day, or which files are damaged."""
    from daypart.flows.display import governance, watch
    from daypart.flows.jobs import status as statuses

    home = open_home(tolerant=True).must_exist()
    if verify:
        from daypart.features.errors import DaypartError
        from daypart.flows.jobs import verify as verifying

        with options.progress("status") as progress:
            progress("read every file of the lake", 0.0)
            verification = verifying.verify(home)
        watch.show_verification(verification, home.path, as_json=json)
        if verification.damages:
            raise DaypartError(f"{len(verification.damages)} files of the lake are not as they were written")
        return
    if at is not None:
        with options.progress("status") as progress:
            progress("make the forecast of that day again", 0.0)
            day_status = statuses.at(home, options.day(at, "--at"), rebuild)
        governance.show_day(day_status, home.path, as_json=json)
        return
    summary = statuses.status(home, datetime.now(UTC))
    watch.show_status(summary, home.path, as_json=json)
