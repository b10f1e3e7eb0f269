"""What is printed of the portfolio."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from daypart.flows.display.tables import print_json, print_table

if TYPE_CHECKING:
    from daypart.flows.monitoring.portfolio import PortfolioListing, UnitStanding


def show_portfolio(listing: "PortfolioListing", *, as_json: bool) -> None:
    """A row for each unit."""
    if as_json:
        print_json(asdict(listing))
        return
    print_table([_row(standing) for standing in listing.units])
    for notice in listing.notices:
        print(f"portfolio.toml: {notice}")


def _row(standing: "UnitStanding") -> dict[str, Any]:
    row = asdict(standing)
    bps = {name: round(value) for name, value in row.items() if name.endswith("_bps") and value is not None}
    cost = None if standing.cost_dollars is None else f"{standing.cost_dollars:.6f}"
    return {**row, **bps, "cost_dollars": cost}
