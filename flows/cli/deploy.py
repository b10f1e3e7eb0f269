"""Commands by which a home runs by itself: deploy, maintain."""

import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daypart.flows.cli import options
from daypart.flows.cli.help import SET_UP
from daypart.flows.cli.options import Json, app, open_home

if TYPE_CHECKING:
    from daypart.flows.home import Home


@app.command(rich_help_panel=SET_UP)
def deploy(
    local: Annotated[
        bool, typer.Option("--local", help="Start a server and a worker here, until you stop them.")
    ] = False,
    api_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The server's API; default PREFECT_API_URL, else that of Prefect's profile."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="PORT", help="Port on which the local server answers.")
    ] = 4200,
    pool: Annotated[
        str, typer.Option(metavar="NAME", help="The work pool; it is made where there is none.")
    ] = "daypart",
    timezone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Time zone of the schedules; default that of most stores.")
    ] = None,
    json: Json = False,
) -> None:
    """Let Prefect run the nightly forecast, monitoring, retraining and the weekly tuning."""
    from daypart.features.errors import InputError
    from daypart.flows.deployment import server
    from daypart.flows.deployment.registration import deploy as run
    from daypart.flows.deployment.schedule import deployments, zone
    from daypart.flows.display import deploy as display

    if local and api_url:
        raise InputError(f"--api-url {api_url} and --local are given: expected one server, leave one of them out")
    home = open_home(timezone=timezone)
    declared = deployments(str(home.path), zone(home.settings, home.lake), pool)
    if local:
        home.must_be_writable()
        _run_here(home, port, pool, declared, json)
        return
    url = server.resolve_url(api_url)
    if server.is_unencrypted(url):
        display.warn_plain_http(url)
    with server.connect(url, home.settings.prefect) as client:
        deployed = run(client, declared)
    display.show_deploy(deployed, pool, as_json=json)


def _run_here(home: "Home", port: int, pool: str, declared: list[dict[str, Any]], json: bool) -> None:
    """Deploys to a server of the home's own, and stays until it is stopped or a child ends."""
    from daypart.flows.deployment import local_server, server
    from daypart.flows.deployment.registration import deploy as run
    from daypart.flows.display import deploy as display

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), local_server.run_local_server(home.settings.prefect, port) as own_server:
        with server.connect(own_server.api_url, own_server.store) as client:
            deployed = run(client, declared)
        own_server.start_worker(pool)
        display.show_deploy(deployed, pool, own_server.ui, own_server.login, as_json=json)
        sys.stdout.flush()
        own_server.watch()


@app.command(rich_help_panel=SET_UP)
def maintain(json: Json = False) -> None:
    """Compact tables, and remove old versions, origins, runs and files by the days in settings.toml."""
    from datetime import UTC, datetime

    from daypart.flows.display import upkeep as display
    from daypart.flows.maintenance import maintain as maintenance

    home = open_home().must_exist().must_be_writable()
    with options.progress("maintain") as progress:
        report = maintenance.maintain(home, datetime.now(UTC), progress)
    display.show_maintained(report, as_json=json)
