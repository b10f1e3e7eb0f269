"""Commands that bring data in and take it back: demo, simulate, ingest, sources."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from daypart.flows.cli import options
from daypart.flows.cli.help import EXPLORE, SET_UP
from daypart.flows.cli.options import Json, app, open_home

RepeatedHour = Literal["refuse", "first", "second", "both"]
MissingHour = Literal["refuse", "earlier", "later"]

TABLE_HELP = (
    "The table: stores, demand, hours, closures, weather, macro, labor or events; pos for point-of-sale lines; "
    "all for a folder of tables."
)
PATHS_HELP = "CSV, Parquet or Excel files, or folders of them; for all, a folder with files or folders named by table."


@app.command(rich_help_panel=EXPLORE)
def demo(
    stores: Annotated[int, typer.Option(metavar="N", help="Number of stores, 1 to 9,999.")] = 8,
    years: Annotated[
        float, typer.Option(metavar="YEARS", help="Years of trade to learn from, such as 2 or 0.5.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same chain.")] = 7,
    json: Json = False,
) -> None:
    """Simulate a chain, forecast it and show what comes of it, in about a minute.

    The demo ingests the chain, trains, backtests, publishes a forecast, lets two weeks pass, monitors and forecasts
    again. It wants a home without other data.
    """
    from daypart.flows.deployment.demo import DemoSize
    from daypart.flows.deployment.demo import demo as run
    from daypart.flows.display import demo as display

    started = time.monotonic()
    home = open_home().must_be_writable()
    with options.progress("demo") as progress:
        summary = run(home, datetime.now(UTC), DemoSize(stores, years, seed), progress)
    display.show_demo(summary, home.settings, time.monotonic() - started, as_json=json)


@app.command(rich_help_panel=EXPLORE)
def simulate(
    stores: Annotated[int, typer.Option(metavar="N", help="Number of stores, 1 to 9,999.")],
    years: Annotated[float, typer.Option(metavar="YEARS", help="Years of trade, such as 3 or 0.5.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="New or empty folder for the tables and the truth.")],
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same chain.")] = 7,
    issues_days: Annotated[
        int, typer.Option(max=9999, metavar="DAYS", help="Weather is forecast on the last so many days; 9999 for all.")
    ] = 28,
    observed_days: Annotated[
        int, typer.Option(max=9999, metavar="DAYS", help="Weather is observed on the last so many days; 9999 for all.")
    ] = 56,
    json: Json = False,
) -> None:
    """Write a simulated chain of any size as Parquet files, a folder per table.

    The weather of the last weeks is enough for a night's forecast; training on it, or a backtest, wants more.
    """
    from daypart.flows.display import data as display
    from daypart.flows.jobs import simulate as simulates

    spec = simulates.chain_of(stores, years, seed, issues_days, observed_days)
    with options.progress("simulate") as progress:
        chain = simulates.simulate(spec, out, progress)
    display.show_simulate(chain, as_json=json)


@app.command(rich_help_panel=SET_UP)
def ingest(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=TABLE_HELP)],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help=PATHS_HELP)],
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file that says what the columns of pos lines are.")
    ] = None,
    guess: Annotated[
        bool,
        typer.Option(
            "--guess",
            help="Propose a mapping of pos files as TOML, show the first lines as it reads them, and ingest nothing. "
            "The TOML goes to --mapping, a new file, or to standard output.",
        ),
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good rows and leave the refused out.")] = False,
    repeated_hour: Annotated[
        RepeatedHour | None,
        typer.Option(
            help="How to read local times that the clock shows twice in autumn; default refuse. Two rows of the same "
            "local hour are first and second in file order; a single row is first or second as chosen."
        ),
    ] = None,
    missing_hour: Annotated[
        MissingHour | None,
        typer.Option(
            help="How to read local times that the clock skips in spring; default refuse. Later reads 02:30 as 03:30, "
            "by a clock not yet put forward, and earlier as 01:30."
        ),
    ] = None,
    replace_hours: Annotated[
        bool,
        typer.Option(
            "--replace-hours", help="Pos: the files' store-hours replace what other files hold of these hours."
        ),
    ] = False,
    resettle: Annotated[
        bool,
        typer.Option(
            "--resettle", help="Stores: where a time zone is corrected, move the store's rows to the new clock."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Check files and upsert their rows into a table, or take in a whole folder of tables.

    `daypart ingest all FOLDER` takes files and folders named by table, such as stores.csv and demand/, stores first.
    Pos lines are kept by file, and demand is their sum: a store-hour or a ticket may lie in several files, ingested
    together or apart, and a line that an earlier file holds too counts once. A line that two files of one call hold is
    refused. A file again, or its name with new content, replaces only what it brought.
    """
    from daypart.features.clock import ClockChanges
    from daypart.features.errors import InputError
    from daypart.flows.display import data as display
    from daypart.flows.ingest import ingest as ingests
    from daypart.flows.ingest.folders import ingest_folders
    from daypart.flows.ingest.ingest_report import IngestOptions

    if guess:
        from daypart.flows.ingest.mapping_proposal import guess_pos

        if table != "pos":
            raise InputError(f"--guess is for pos lines, not for {table}: leave it out")
        display.show_guess(guess_pos(open_home(), paths, mapping), as_json=json)
        return
    _check_ingest(table, mapping, resettle, replace_hours)
    home, changes = open_home().must_be_writable(), ClockChanges(repeated_hour, missing_hour)
    with options.progress("ingest") as progress:
        handling, now = IngestOptions(skip_bad, changes, resettle, replace_hours, progress), datetime.now(UTC)
        if table == "all":
            folder_report = ingest_folders(home, paths, handling, now)
        elif table == "pos" and mapping is not None:
            report = ingests.ingest_pos(home, paths, mapping, handling, now)
        else:
            report = ingests.ingest_table(home, table, paths, handling, now)
    if table == "all":
        display.show_folder(folder_report, as_json=json)
    else:
        display.show_ingest(report, as_json=json)


def _check_ingest(table: str, mapping: Path | None, resettle: bool, replace_hours: bool) -> None:
    """Raise InputError for options that the table does not take, and for pos lines without a mapping."""
    from daypart.features.errors import InputError

    if resettle and table not in ("stores", "all"):
        raise InputError(f"--resettle is for stores, not for {table}: leave it out")
    if replace_hours and table != "pos":
        raise InputError(f"--replace-hours is for pos lines, and {table} is none: leave it out")
    if table == "pos" and mapping is None:
        raise InputError("pos lines need --mapping FILE.toml that says what their columns are: --guess proposes one")


@app.command(rich_help_panel=SET_UP)
def sources(
    take_back: Annotated[
        str | None, typer.Option(metavar="NAME|HASH", help="Remove this file's lines and count its hours again.")
    ] = None,
    json: Json = False,
) -> None:
    """List the files that point-of-sale lines came from, or take one back."""
    from daypart.flows.display import sources as display
    from daypart.flows.ingest import pos_sources

    home = open_home().must_exist()
    if take_back is None:
        display.show_sources(pos_sources.list_sources(home), as_json=json)
        return
    taken_back = pos_sources.take_back(home.must_be_writable(), take_back, datetime.now(UTC))
    display.show_taken_back(taken_back, as_json=json)
