"""Checks of a Delta log: whether the files of a table's log are complete and readable.

delta-rs reads an empty entry as a commit that changed nothing, and an entry that was cut between two lines as a commit
that changed less: rows vanish without an error. daypart therefore checks the log itself.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from daypart.flows.lake.table_log import LOG_FOLDER, TableLog
from daypart.flows.lake.tables import LakeTable

CHECKPOINT_HINT = "_last_checkpoint"
RESTORE_REMEDY = "restore it from a copy"


@dataclass(frozen=True)
class Damage:
    """A file of a table that differs from what was written, the version that it belongs to, and the remedy."""

    table: str
    version: int | None
    file: str
    fault: str
    remedy: str

    def __str__(self) -> str:
        version = "" if self.version is None else f", version {self.version}"
        return f"table {self.table}{version}: {self.file} {self.fault}: {self.remedy}"


class DeltaLog:
    """The log of one table in a lake: an entry per version, and checkpoints that replace all entries before them.

    A file that a killed writer left unfinished has another name and is no damage. Two faults cannot be detected here:
    a last entry that is missing, and bits that flipped within a checkpoint or a line that can still be read.
    """

    def __init__(self, root: Path, spec: LakeTable) -> None:
        self._spec, self._table, self._folder = spec, root / spec.name, root / spec.name / LOG_FOLDER

    def recent_damage(self, version: int) -> Damage | None:
        """Return damage that the library would not notice when it reads the version; null where there is none.

        This checks the sizes of the entries since the last checkpoint, and reads only the entry of the version.
        """
        checkpoint = self._hint()
        if isinstance(checkpoint, Damage):
            return checkpoint
        for number in range(0 if checkpoint is None else checkpoint + 1, version + 1):
            path = self._entry(number)
            # An entry that is missing here is replaced by a checkpoint that the hint does not name.
            if (number == version or _is_empty(path)) and (fault := _entry_fault(path)):
                return self._entry_damage(number, fault, version)
        return None

    def damages(self) -> list[Damage]:
        """Return all damage to files of the log, also of entries that only older versions need."""
        return list(self._damages())

    def _damages(self) -> Iterator[Damage]:
        log = TableLog.read(self._table)
        entries, checkpoints = log.commits, log.checkpoints
        last = max([*entries, *checkpoints], default=-1)
        for number, path in sorted(entries.items()):
            if fault := _entry_fault(path):
                yield self._entry_damage(number, fault, last)
        first = max(checkpoints, default=-1)
        # Entries before the first one that is left were cleaned up, if a checkpoint replaces them.
        for before, after in pairwise(sorted({*entries, first})):
            for number in range(before + 1, after):
                yield self._entry_damage(number, "is missing", last)
        is_complete = set(range(first + 1)) <= set(entries)
        move_remedy = f"move it and {CHECKPOINT_HINT} away, the entries before it are all there; or {RESTORE_REMEDY}"
        for number, paths in sorted(checkpoints.items()):
            for path in paths:
                if fault := _checkpoint_fault(path):
                    yield self._damage(number, path, fault, move_remedy if is_complete else RESTORE_REMEDY)
        hint = self._hint()
        if isinstance(hint, Damage):
            yield hint
        elif hint is not None and hint not in checkpoints:
            fault = f"names the checkpoint of version {hint}, which is gone"
            has_entries = set(range(last + 1)) <= set(entries)
            remedy = "delete it, the entries are all there" if has_entries else "restore that checkpoint from a copy"
            yield self._damage(hint, self._folder / CHECKPOINT_HINT, fault, remedy)

    def _hint(self) -> "int | Damage | None":
        """Return the version of the last checkpoint as the hint of the log says; null where there is no hint."""
        path = self._folder / CHECKPOINT_HINT
        try:
            return int(json.loads(path.read_bytes())["version"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return self._damage(
                None, path, "cannot be read", f"delete it, the log is whole without it; or {RESTORE_REMEDY}"
            )

    def _entry(self, version: int) -> Path:
        return self._folder / f"{version:020}.json"

    def _entry_damage(self, version: int, fault: str, last: int) -> Damage:
        remedy = RESTORE_REMEDY
        # Going back a version loses audit records, which `audit --repair` has to acknowledge.
        if version == last > 0 and self._spec.name != "audit":
            rerun = f"run `{self._spec.maker}` again for what it held"
            move_away = f"without one move it away, which takes the table back to version {last - 1}"
            remedy = f"{RESTORE_REMEDY}; {move_away}, and {rerun}"
        return self._damage(version, self._entry(version), fault, remedy)

    def _damage(self, version: int | None, path: Path, fault: str, remedy: str) -> Damage:
        return Damage(self._spec.name, version, str(path), fault, remedy)


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return False


def _entry_fault(path: Path) -> str:
    """Return what is wrong with a log entry; empty if nothing is."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ""
    if not content.strip():
        return "is empty"
    try:
        actions: list[Mapping[str, Any]] = [json.loads(line) for line in content.splitlines() if line.strip()]
        if not all(isinstance(action, dict) for action in actions):
            return "is cut or garbled"
    except ValueError:
        return "is cut or garbled"
    info: Mapping[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    files = {"added": sum("add" in action for action in actions), "removed": sum("remove" in a for a in actions)}
    if info.get("files", files) != files:
        expected = info["files"]
        return (
            f"is cut, it adds {files['added']} files and removes {files['removed']}, "
            f"its commit had {expected['added']} and {expected['removed']}"
        )
    return ""


def _checkpoint_fault(path: Path) -> str:
    """Return what is wrong with a checkpoint; empty if nothing is."""
    from pyarrow import ArrowException, parquet

    try:
        parquet.read_table(path)
    except FileNotFoundError:
        return ""
    except (ArrowException, OSError):
        return "cannot be read, it is cut or garbled"
    return ""
