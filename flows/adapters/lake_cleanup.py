"""What of a table's history no retention rule needs: planned first, then removed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from flows.adapters import upkeep
from flows.adapters.lake import Lake
from flows.adapters.leftovers import written_before
from flows.adapters.table_log import FOLDER, TableLog

COMMITS_PER_CHECKPOINT = 10
"""Commits since the last checkpoint from which a new one is written: opening a table reads them one by one."""


@dataclass(frozen=True)
class TableCleanup:
    """What is to be removed of one table: log entries before version `keep_from`, and files that no version left names.

    `pinned` are older versions that stay readable by a checkpoint of their own.
    """

    table: str
    keep_from: int
    pinned: tuple[int, ...]
    log_entries: tuple[Path, ...]
    files: tuple[Path, ...]

    @classmethod
    def plan(
        cls, lake: Lake, table: str, since: datetime, pinned: Collection[int], untouched_since: datetime
    ) -> "TableCleanup | None":
        """Every version that was the newest at `since` or later stays, and those `pinned`; null without a table.

        Nothing written at or after `untouched_since` is removed: it may be a running process's. Raises DamagedError
        where the log cannot be read.
        """
        if lake.open(table) is None:
            return None
        log = TableLog.read(lake.root / table)
        keep_from = log.version_at(since)
        kept = tuple(sorted(version for version in pinned if version < keep_from and log.is_readable(version)))
        entries = [path for version, path in log.commits.items() if version < keep_from]
        entries += [
            path for version, paths in log.checkpoints.items() if version < keep_from and version not in kept
            for path in paths
        ]  # fmt: skip
        # What a killed writer left beside the log, under a name that no version has.
        entries += [path for path in (log.table / FOLDER).glob("*#*") if written_before(path, untouched_since)]
        named = {file for version in (*kept, keep_from) for file in _files_of(lake, table, version)}
        named |= {file for version in log.commits if version > keep_from for file in log.added(version)}
        unnamed = (path for path in _data_files(log.table) if path.relative_to(log.table).as_posix() not in named)
        files = [path for path in unnamed if written_before(path, untouched_since)]
        return cls(table, keep_from, kept, tuple(entries), tuple(files))

    def __bool__(self) -> bool:
        """Whether anything is to be removed."""
        return bool(self.log_entries or self.files)

    def write_checkpoints(self, lake: Lake) -> int:
        """Makes the versions that stay readable without the entries to remove; how many checkpoints were written.

        The newest version comes last: readers look there first.
        """
        log = TableLog.read(lake.root / self.table)
        newest = max(log.commits, default=0)
        versions = {*self.pinned, self.keep_from} if self.log_entries else set()
        if newest - max(log.checkpoints, default=0) >= COMMITS_PER_CHECKPOINT:
            versions.add(newest)
        missing = sorted(versions - set(log.checkpoints))
        for version in missing:
            upkeep.write_checkpoint(lake, self.table, version)
        return len(missing)

    def remove(self) -> None:
        """Removes log entries, the oldest first, then files: what can be read at any moment can be read whole."""
        for path in (*sorted(self.log_entries), *self.files):
            path.unlink(missing_ok=True)


def remove_empty_folders(folder: Path, untouched_since: datetime) -> None:
    """Removes a table's partition folders that have been empty for long."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and path.name != FOLDER and written_before(path, untouched_since) and not any(path.iterdir()):
            path.rmdir()


def _files_of(lake: Lake, table: str, version: int) -> set[str]:
    return {unquote(path) for path in lake.files(table, version)["path"]}


def _data_files(table: Path) -> Iterator[Path]:
    return (path for path in table.rglob("*") if path.is_file() and FOLDER not in path.relative_to(table).parts)
