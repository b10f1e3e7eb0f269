"""What one call of ingest is asked to do, and what came of it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from daypart.features.clock import NO_CHOICE, ClockChanges
from daypart.forecasting.progress import Progress, silent


@dataclass(frozen=True)
class IngestOptions:
    """How to read files and what to do with rows at fault.

    `skip_bad` writes the good rows where some are refused. `changes` says how to read local times that a store's clock
    shows twice or never. `resettle` (stores) moves the rows of a store whose time zone the file corrects.
    `replace_hours` (point-of-sale lines) lets the files' store-hours replace what other files hold of them. `progress`
    is told of every file.
    """

    skip_bad: bool = False
    changes: ClockChanges = NO_CHOICE
    resettle: bool = False
    replace_hours: bool = False
    progress: Progress = silent


@dataclass(frozen=True)
class IngestReport:
    """What came of one call.

    Rows are the table's: new, replacing an earlier one, or there already. `rows_collapsed` repeat another of
    their file in full. `rows_refused` are rows or lines with a fault, `refused` counts the faults.
    `version` is the table's Delta version since. `pos` is the summary of point-of-sale lines.
    """

    table: str
    files: list[str]
    rows_taken: int
    rows_replaced: int
    rows_unchanged: int
    rows_collapsed: int
    rows_refused: int
    refused: dict[str, int]
    refused_file: str | None
    version: int
    summary: list[str] = field(default_factory=list)
    pos: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)
