"""What `ingest pos` says of lines that other files hold, replace or left behind."""

from dataclasses import dataclass
from typing import Self

import polars as pl

from features.mapping import Mapping
from features.repeats import SAME_LINE
from flows.pos_lines import DemandChange, LineChange

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
    finished: int
    numbered: bool

    @classmethod
    def of(cls, files: pl.DataFrame, change: LineChange, done: DemandChange, names: dict[str, str], finished: int,
           mapping: Mapping) -> Self:  # fmt: skip
        """The report of one call, whose files are `described`; `names` are of all sources."""
        others = set(done.shared["source"]) - set(files["source"])
        return cls(
            sources=files["source"].to_list(),
            lines_once=done.shared.select(SAME_LINE).n_unique() if done.shared.height else 0,
            held_by=sorted(names.get(source, source) for source in others),
            lines_replaced=change.removed.height,
            hours_removed=done.emptied,
            hours_unexplained=done.unexplained,
            finished=finished,
            numbered=_numbers_tickets(mapping),
        )

    def lines(self) -> list[str]:
        """The same for people; nothing where there is nothing to say."""
        told = [
            (self.finished, f"finished {self.finished} interrupted change of lines"),
            (self.lines_replaced, f"{self.lines_replaced:,} earlier lines replaced"),
            (self.lines_once, f"{self.lines_once:,} lines counted once that {self._holders()} too"),
            (self.lines_once and not self.numbered, NOT_NUMBERED),
            (self.hours_removed, f"{self.hours_removed:,} store-hours removed, as no file holds a line of them"),
            (self.hours_unexplained, f"{self.hours_unexplained:,} store-hours {UNEXPLAINED}"),
        ]  # fmt: skip
        return [line for is_told, line in told if is_told]

    def _holders(self) -> str:
        more = f" and {len(self.held_by) - MOST_NAMES} more" if len(self.held_by) > MOST_NAMES else ""
        verb = "hold" if len(self.held_by) > 1 else "holds"
        return f"{', '.join(self.held_by[:MOST_NAMES])}{more} {verb}" if self.held_by else "the files hold"


UNEXPLAINED = "had demand of no stored line (such as an hourly table's), which the sum of lines replaced"
NOT_NUMBERED = (
    "the export has no ticket number: equal lines of two files may be two customers, so give files that do not repeat "
    "each other in one command"
)


def _numbers_tickets(mapping: Mapping) -> bool:
    """Whether the ticket is more than the time of the line."""
    columns, ticket = mapping.columns, mapping.columns.ticket
    named = {ticket} if isinstance(ticket, str) else set(ticket or ())
    return not named <= {columns.timestamp, columns.date, columns.time}
