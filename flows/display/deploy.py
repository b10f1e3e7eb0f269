"""What is printed of deployments."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from flows.display.tables import print_json, print_table

if TYPE_CHECKING:
    from flows.deploy import Deployed


def show_deploy(done: "Sequence[Deployed]", pool: str, ui: str | None, *, as_json: bool) -> None:
    """One row per deployment; where its runs are seen, or which worker they wait for."""
    rows = [asdict(each) for each in done]
    if as_json:
        print_json({"deployments": rows, "pool": pool, "ui": ui})
        return
    print_table(rows)
    print(f"running: see {ui}, stop with Ctrl-C" if ui else f"runs wait for `prefect worker start --pool {pool}`")
