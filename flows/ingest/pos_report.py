"""What `ingest pos` says: of the lines of a call, and of those that other files hold or lose."""

from dataclasses import dataclass
from typing import Self

import polars as pl

from daypart.features.pos.duplicates import SAME_LINE
from daypart.features.pos.mapping import Mapping
from daypart.features.pos.store_hours import Summary
from daypart.flows.ingest.pos_lines import DemandChange, LineChange

MOST_NAMES = 3


@dataclass(frozen=True)
class PosReport:
    """What became of the lines of other files, and of store-hours.

    `lines_once` counts lines that `held_by` other sources hold too and that count once. `lines_replaced` are earlier
    lines of the same files, or with `--replace-hours` of the same hours, that went. `hours_removed` left demand, as no
    source holds a line of them; `hours_unexplained` had demand that no stored line explains, and now are the sum of
    lines. `finished` counts earlier changes that were interrupted. `numbered` is whether tickets have a number.
    """

    sources: list[str]
    lines_once: int
    held_by: list[str]
    lines_replaced: int
    hours_removed: int
    hours_unexplained: int
    numbered: bool
    finished: int = 0

    @classmethod
    def from_changes(
        cls, files: pl.DataFrame, change: LineChange, demand: DemandChange, names: dict[str, str], mapping: Mapping
    ) -> Self:
        """Return the report of one call's files; `names` are those of all sources."""
        other_sources = set(demand.shared["source"]) - set(files["source"])
        return cls(
            sources=files["source"].to_list(),
            lines_once=demand.shared.select(SAME_LINE).n_unique() if demand.shared.height else 0,
            held_by=sorted(names.get(source, source) for source in other_sources),
            lines_replaced=change.removed.height,
            hours_removed=demand.emptied,
            hours_unexplained=demand.unexplained,
            numbered=_numbers_tickets(mapping),
        )

    def lines(self) -> list[str]:
        """The same for people; nothing where there is nothing to say."""
        entries = [
            (self.finished, f"finished {self.finished} interrupted change of lines"),
            (self.lines_replaced, f"{self.lines_replaced:,} earlier lines replaced"),
            (self.lines_once, f"{self.lines_once:,} lines counted once that {self._holders()} too"),
            (self.lines_once and not self.numbered, NOT_NUMBERED),
            (self.hours_removed, f"{self.hours_removed:,} store-hours removed, as no file holds a line of them"),
            (self.hours_unexplained, f"{self.hours_unexplained:,} store-hours {UNEXPLAINED_DEMAND}"),
        ]  # fmt: skip
        return [line for is_told, line in entries if is_told]

    def _holders(self) -> str:
        more = f" and {len(self.held_by) - MOST_NAMES} more" if len(self.held_by) > MOST_NAMES else ""
        verb = "hold" if len(self.held_by) > 1 else "holds"
        return f"{', '.join(self.held_by[:MOST_NAMES])}{more} {verb}" if self.held_by else "the files hold"


UNEXPLAINED_DEMAND = "had demand of no stored line (such as an hourly table's), which the sum of lines replaced"
NOT_NUMBERED = (
    "the export has no ticket number: equal lines of two files may be two customers, so give files that do not repeat "
    "each other in one command"
)


def summary_lines(summary: Summary) -> list[str]:
    """The summary of a call's lines in a few lines for people."""
    dropped = "".join(f", {count:,} dropped as {rule}" for rule, count in summary.lines_dropped.items() if count)
    lines = [
        f"{summary.lines_read:,} lines read{dropped}",
        f"{summary.tickets_kept:,} orders of {summary.tickets:,} tickets",
        f"{summary.first_day} to {summary.last_day}, {summary.open_days:,} open store-days",
    ]
    if summary.sales_before_clipping is None or summary.clipped_sales is None:
        return [*lines, "no prices, so no sales"]
    lines.append(f"sales {summary.sales_before_clipping:,.2f} with refunds net")
    if summary.clipped_hours:
        lines.append(f"{summary.clipped_hours:,} store-hours below 0 clipped by {summary.clipped_sales:,.2f}")
    return lines


def _numbers_tickets(mapping: Mapping) -> bool:
    """Whether the ticket is more than the time of the line."""
    columns = mapping.columns
    return not set(columns.ticket) <= {columns.timestamp, columns.date, columns.time}
