"""What is printed of deployments."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from daypart.flows.display.tables import print_json, print_table

if TYPE_CHECKING:
    from daypart.flows.deployment.registration import DeploymentStatus


def show_deploy(
    deployments: "Sequence[DeploymentStatus]",
    pool: str,
    ui: str | None = None,
    login: Path | None = None,
    *,
    as_json: bool,
) -> None:
    """One row per deployment; where its runs are seen and which file has the login, or which worker they wait for."""
    rows = [asdict(deployment) for deployment in deployments]
    if as_json:
        print_json({"deployments": rows, "pool": pool, "ui": ui, "login": str(login) if login else None})
        return
    print_table(rows)
    if ui:
        print(f"running: open {ui}, log in with the line daypart:PASSWORD of {login}; stop with Ctrl-C")
    else:
        print(f"runs wait for `prefect worker start --pool {pool}`")


def warn_plain_http(url: str) -> None:
    """One line on stderr, which repeats no credentials that the URL may hold."""
    parts = urlsplit(url)
    print(
        f"daypart: warning: {parts.scheme}://{parts.hostname} is not encrypted: anyone between here and there can read "
        "the credentials and command the server; use https",
        file=sys.stderr,
    )
