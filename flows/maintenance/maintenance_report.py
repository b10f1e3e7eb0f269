"""What one call of maintenance did."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class TableRemoval:
    """What was removed of one table; its versions from `keep_from` on can be read, and those `pinned`."""

    table: str
    origins: int
    log_entries: int
    files: int
    keep_from: int
    pinned: tuple[int, ...]


@dataclass(frozen=True)
class RemovalReport:
    """What was removed: of each table, MLflow runs, model versions that never served, and files of the home."""

    tables: list[TableRemoval]
    runs: int
    versions: list[str]
    refusals: int
    leftovers: int
    bytes: int


@dataclass(frozen=True)
class MaintenanceReport:
    """What one call did: files that were put together by table, checkpoints written, and what was removed.

    Publications since `rebuildable_since` (UTC) can be made again; null = all. `record` is the number of the audit's
    record of what was removed, null where nothing was.
    """

    compacted: dict[str, int]
    checkpoints: int
    removed: RemovalReport
    rebuildable_since: datetime | None
    record: int | None
