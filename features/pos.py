"""Point-of-sale lines become demand: tickets counted and money summed per store-hour.

Money is summed in whole millionths of the currency, so that sums do not depend on the order of lines and every
figure of the summary adds up exactly: sum of demand.sales = sales before clipping + clipped.
"""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import polars as pl

from features import cells, clock
from features.conform import REFUSED
from features.errors import InputError, SchemaError
from features.mapping import Mapping

MILLIONTHS = 1_000_000
SAME_TICKET_HOURS = 6
"""A ticket number that comes back on a later date is another ticket, unless its last line is as recent."""

_KEY = ("store_id", "hour_utc")


@dataclass(frozen=True)
class Summary:
    """What became of the lines. Money is in the stores' currency; `open_days` are store-days with an order."""

    lines_read: int
    lines_dropped: dict[str, int]
    lines_refused: int
    tickets: int
    tickets_kept: int
    sales_before_clipping: float | None
    clipped_hours: int
    clipped_sales: float
    first_day: date | None
    last_day: date | None
    open_days: int

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON; days as ISO dates."""
        days = {"first_day": self.first_day, "last_day": self.last_day}
        return asdict(self) | {name: day and day.isoformat() for name, day in days.items()}


@dataclass(frozen=True)
class PosDemand:
    """Demand, one row per store and hour with a kept line, sorted; the refused cells; the summary.

    `demand` has store_id, hour_local, hour_utc, orders and, where the export has prices, sales.
    """

    demand: pl.DataFrame
    refused: pl.DataFrame
    summary: Summary


def lines_to_demand(lines: pl.DataFrame, mapping: Mapping, zones: pl.DataFrame) -> PosDemand:
    """Lines of an export, one row per line of a ticket, as hourly demand.

    orders = tickets with a positive sum of kept lines (any kept line where there are no prices), in the hour of
    the ticket's first kept line. A ticket is a number of a store on a local date, with what follows past
    midnight within SAME_TICKET_HOURS. sales = sum of line totals in each line's own hour, refunds net, never
    below 0. `zones` has store_id and timezone of the known stores. `refused` is as in `conform`, its rows
    counted in `lines` from 1. Raises SchemaError for columns that `lines` lacks, InputError for unknown stores.
    """
    absent = [name for name in mapping.named if name not in lines.columns]
    if absent:
        found = ", ".join(lines.columns)
        raise SchemaError(f"mapping: names {', '.join(absent)}; the export's columns are {found}")
    arrived = cells.clean(lines.select(mapping.named)).with_row_index("row", 1).cast({"row": pl.Int64})
    arrived = arrived.filter(pl.any_horizontal(pl.exclude("row").is_not_null()))
    kept, dropped = _without_dropped(arrived, mapping)
    read = _settle(_with_zone(_read(kept, mapping), zones), mapping)
    refused = _refused(read, mapping)
    good = _with_tickets(read.join(refused, on="row", how="anti"))
    demand, tickets = _demand(good), _tickets(good, mapping)
    hours = demand.join(tickets.group_by(_KEY).agg(orders=pl.col("order").sum()), on=_KEY, how="left")
    hours = hours.with_columns(pl.col("orders").fill_null(0).cast(pl.Float64)).sort(_KEY)
    named = ["store_id", "hour_local", "hour_utc", "orders", *(["sales"] if mapping.priced else [])]
    summary = _summary(hours, tickets, mapping, arrived.height, dropped, refused["row"].n_unique())
    return PosDemand(hours.select(named), refused, summary)
