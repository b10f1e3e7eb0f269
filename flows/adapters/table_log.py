"""The log of a Delta table, read as files: which versions can be read, when they were written, what they name."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

from features.errors import DamagedError

FOLDER = "_delta_log"
LogState = frozenset[tuple[str, int, int]]
"""The name, size and time of change (nanoseconds) of every file of a log."""
ENTRY = re.compile(r"(\d{20})\.(json|checkpoint(?:\.[\w-]+)*\.parquet)", re.ASCII)


def log_state(table: Path) -> LogState:
    """Return the state of the log of the table in that folder: it changes with every commit. Empty without a log."""
    try:
        with os.scandir(table / FOLDER) as entries:
            return frozenset((entry.name, (about := entry.stat()).st_size, about.st_mtime_ns) for entry in entries)
    except FileNotFoundError:
        return frozenset()


@dataclass(frozen=True)
class TableLog:
    """The commits and checkpoints that are there, by version; a version may have several checkpoint files.

    A version can be read from a checkpoint at or before it and all commits after that one. Maintenance removes the
    oldest commits: what it leaves is one unbroken run of versions up to the newest, and single older versions that
    have a checkpoint.
    """

    table: Path
    commits: Mapping[int, Path]
    checkpoints: Mapping[int, tuple[Path, ...]]

    @classmethod
    def read(cls, table: Path) -> Self:
        """The log of the table in that folder; empty where there is none."""
        commits: dict[int, Path] = {}
        checkpoints: dict[int, tuple[Path, ...]] = {}
        for path in sorted((table / FOLDER).glob("*")):
            if (match := ENTRY.fullmatch(path.name)) is None:
                continue
            version = int(match[1])
            if match[2] == "json":
                commits[version] = path
            else:
                checkpoints[version] = (*checkpoints.get(version, ()), path)
        return cls(table, commits, checkpoints)

    @cached_property
    def oldest(self) -> int:
        """The first version of the unbroken run up to the newest."""
        first = max(self.commits, default=0)
        while first - 1 in self.commits:
            first -= 1
        return 0 if first == 0 else min((v for v in self.checkpoints if v >= first - 1), default=first)

    def is_readable(self, version: int) -> bool:
        """Whether the version can be read."""
        return version in self.checkpoints or self.oldest <= version <= max(self.commits, default=-1)

    def version_at(self, moment: datetime) -> int:
        """The version that was the newest at a moment (UTC), or the oldest that can be read where that is gone."""
        version = max(self.commits, default=self.oldest)
        while version > self.oldest and self.written(version) > moment:
            version -= 1
        return version

    def written(self, version: int) -> datetime:
        """When the version was committed, in naive UTC. Raises DamagedError where its entry does not say."""
        info: dict[str, Any] = next(
            (action["commitInfo"] for action in self._actions(version) if "commitInfo" in action), {}
        )
        if "timestamp" not in info:
            raise self._damaged(version, "it does not say when it was written")
        return datetime.fromtimestamp(info["timestamp"] / 1000, UTC).replace(tzinfo=None)

    def added(self, version: int) -> set[str]:
        """The data files that the version added, as paths below the table."""
        return {unquote(action["add"]["path"]) for action in self._actions(version) if "add" in action}

    def _actions(self, version: int) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in self.commits[version].read_bytes().splitlines()]
        except (KeyError, ValueError, OSError) as failed:
            raise self._damaged(version, str(failed)) from failed

    def _damaged(self, version: int, cause: str) -> DamagedError:
        return DamagedError(
            f"{self.table.name}: the log entry of version {version} in {self.table / FOLDER} cannot be read ({cause}): "
            f"restore {self.table} from a copy"
        )
