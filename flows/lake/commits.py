"""Writes rows as files that are named by their checksums, and commits files as the next version of a table."""

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote
from uuid import uuid4

import polars as pl

from daypart.features.tables import keys
from daypart.flows.files import process
from daypart.flows.lake import checksums
from daypart.flows.lake.tables import LakeTable

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction
    from pyarrow import RecordBatchReader

ROW_GROUP_ROWS = 65_536
"""Rows are sorted by store within a file, so that a reader of some stores skips whole row groups."""
KEEP_EVERYTHING = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}
UNFINISHED = ".unfinished"
"""Folder of the lake for files that no commit names yet."""


@dataclass(frozen=True)
class TableVersion:
    """One table of the lake under `root`, at the version that a commit follows; null `delta` means no table yet."""

    root: Path
    spec: LakeTable
    delta: "DeltaTable | None"


@dataclass(frozen=True)
class FileChanges:
    """The files that a commit adds to a table, and those that it removes."""

    added: "Sequence[AddAction]"
    removed: "Sequence[RemoveAction]" = ()


def write_files(root: Path, spec: LakeTable, frames: Iterable[pl.DataFrame]) -> "list[AddAction]":
    """Write rows as files of the table, and return the actions that add them. Readers do not see the files yet.

    Each file is named by its checksum (`checksums`). Frames have the form of `LakeTable.conform` and are written one
    after the other.
    """
    from deltalake import WriterProperties, write_deltalake
    from deltalake.transaction import AddAction

    with _unfinished_folder(root) as draft:
        # The draft is a separate table, so that the library cuts the files and computes their statistics as usual.
        write_deltalake(
            draft.absolute().as_uri(),
            _stream(spec, frames),
            partition_by=None if spec.partition is None else [spec.partition],
            writer_properties=WriterProperties(max_row_group_size=ROW_GROUP_ROWS, compression="ZSTD"),
        )
        log = draft / "_delta_log" / f"{0:020}.json"
        files = [action["add"] for action in map(json.loads, log.read_text().splitlines()) if "add" in action]
        return [
            AddAction(
                _move(draft, root / spec.name, file["path"]), file["size"], file["partitionValues"],
                file["modificationTime"], True, file["stats"],
            )
            for file in files
        ]  # fmt: skip


def removals(delta: "DeltaTable", partitions: pl.Series | None) -> "list[RemoveAction]":
    """Return the actions that remove all files of the partitions; null = of the whole table."""
    from deltalake.transaction import RemoveAction

    files = pl.DataFrame(delta.get_add_actions())
    if partitions is not None:
        partition_field = pl.col("partition").struct.field(partitions.name)
        files = files.filter(partition_field.cast(pl.String).is_in(partitions.cast(pl.String).implode()))
    now = time.time_ns() // 1_000_000
    return [
        RemoveAction(
            row["path"], True, now, size=row["size_bytes"],
            partition_values={name: None if value is None else str(value) for name, value in row["partition"].items()}
            if "partition" in row else {},
        )
        for row in files.to_dicts()
    ]  # fmt: skip


def commit(
    table: TableVersion,
    files: FileChanges,
    metadata: Mapping[str, Any] | None = None,
    configuration: Mapping[str, str] = KEEP_EVERYTHING,
) -> int:
    """Commit file changes as the next version of the table, and return its number. Creates a table that is not there.

    Every write of the lake ends here. The commit says how many files it adds and removes, so that a log entry that
    was cut is noticed. To change a table's files in a way that the methods of `Lake` do not offer, call this with
    `write_files` and `removals` within `Lake.commit_with_retries`: the new files then have their checksums. Columns
    that the table lacks are added first, by a separate commit.
    Raises DeltaError if another writer committed since the table was read.
    """
    from deltalake import CommitProperties, Schema
    from deltalake.transaction import create_table_with_add_actions

    spec, delta = table.spec, table.delta
    by = [] if spec.partition is None else [spec.partition]
    counts = {"added": len(files.added), "removed": len(files.removed)}
    # The library must not retry: it would commit on top of a version that was not read here.
    properties = CommitProperties(custom_metadata={**(metadata or {}), "files": counts}, max_commit_retries=0)
    schema = Schema.from_arrow(spec.empty().to_arrow().schema)
    if delta is None:
        create_table_with_add_actions(
            (table.root / spec.name).absolute().as_uri(), schema, list(files.added), "error", by,
            configuration=configuration, commit_properties=properties,
        )  # fmt: skip
        return 0
    _add_columns(delta, schema)
    version = int(delta.version()) + 1
    delta.create_write_transaction(
        [*files.added, *files.removed], "append", delta.schema(), by or None, commit_properties=properties
    )
    return version


def _add_columns(delta: "DeltaTable", schema: Any) -> None:
    """Add the columns of the schema that the table does not have yet."""
    from deltalake import CommitProperties

    present = {field.name for field in delta.schema().fields}
    if new_fields := [field for field in schema.fields if field.name not in present]:
        metadata = {"change": "columns", "files": {"added": 0, "removed": 0}}
        delta.alter.add_columns(
            new_fields, commit_properties=CommitProperties(custom_metadata=metadata, max_commit_retries=0)
        )


def _move(draft: Path, folder: Path, path: str) -> str:
    """Move a file of the draft into the table's folder, named by its checksum; return its new path as in the log."""
    source = draft / unquote(path)
    target = source.with_name(checksums.with_checksum(source.name, checksums.file_checksum(source))).relative_to(draft)
    (folder / target).parent.mkdir(parents=True, exist_ok=True)
    source.replace(folder / target)
    return quote(target.as_posix(), safe="/=")


@contextmanager
def _unfinished_folder(root: Path) -> Iterator[Path]:
    """Yield a folder for unfinished files, after removing the folders that dead processes of this machine left."""
    unfinished = root / UNFINISHED
    for leftover in unfinished.glob("*"):
        with suppress(ValueError):
            host, pid, session, _ = leftover.name.rsplit(".", 3)
            if not process.lives({"host": host, "pid": pid, "session": session}):
                shutil.rmtree(leftover, ignore_errors=True)
    writer = process.identity()
    folder = unfinished / f"{writer['host']}.{writer['pid']}.{writer['session']}.{uuid4().hex}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stream(spec: LakeTable, frames: Iterable[pl.DataFrame]) -> "RecordBatchReader":
    """Return the frames as Arrow batches; each frame is computed and sorted by key when the reader needs it."""
    from pyarrow import RecordBatch, RecordBatchReader

    def batches() -> Iterator[RecordBatch]:
        for frame in frames:
            yield from keys.sort_by_key(frame, spec.key).to_arrow().to_batches()
            del frame  # before the next one is computed

    return RecordBatchReader.from_batches(spec.empty().to_arrow().schema, batches())
