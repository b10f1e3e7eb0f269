"""Commits: rows become files that are named by their checksums, and files become a table's next version."""

import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
"""Rows are sorted by store within a file; a reader of some stores skips whole groups of them."""
KEEP_EVERYTHING = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}
UNFINISHED = ".unfinished"
"""The lake's folder of files that no commit names yet."""


def write_files(root: Path, spec: LakeTable, frames: Iterable[pl.DataFrame]) -> "list[AddAction]":
    """Write rows as files of the table, and return what a commit needs to add them; readers see none of them yet.

    Each file is named by its checksum (`checksums`). Frames are as `LakeTable.conformed` makes them, and are written
    one after the other.
    """
    from deltalake import WriterProperties, write_deltalake
    from deltalake.transaction import AddAction

    with _unfinished(root) as draft:
        # A table of its own, so that the library cuts files and counts their statistics as ever.
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
                _moved(draft, root / spec.name, file["path"]), file["size"], file["partitionValues"],
                file["modificationTime"], True, file["stats"],
            )
            for file in files
        ]  # fmt: skip


def removals(delta: "DeltaTable", partitions: pl.Series | None) -> "list[RemoveAction]":
    """Return what a commit needs to remove all files of the partitions; null is the whole table."""
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
    root: Path,
    spec: LakeTable,
    delta: "DeltaTable | None",
    added: "Sequence[AddAction]",
    removed: "Sequence[RemoveAction]" = (),
    metadata: Mapping[str, Any] | None = None,
    configuration: Mapping[str, str] = KEEP_EVERYTHING,
) -> int:
    """Commit files as the version after that of `delta`, and return its number; null `delta` makes the table.

    Every write of the lake ends here. The commit says how many files it adds and removes, so that a log entry that
    was cut is noticed. A change of a table's files that the methods of `Lake` do not make uses it with `write_files`
    and `removals` within `Lake.committed`: the new files then have their checksums. Columns that the table lacks are
    added to it first, by a commit of their own.
    Raises DeltaError where another writer committed since `delta` was read.
    """
    from deltalake import CommitProperties, Schema
    from deltalake.transaction import create_table_with_add_actions

    by = [] if spec.partition is None else [spec.partition]
    files = {"added": len(added), "removed": len(removed)}
    # Without retries of its own the library never commits on top of a version that was not read here.
    properties = CommitProperties(custom_metadata={**(metadata or {}), "files": files}, max_commit_retries=0)
    schema = Schema.from_arrow(spec.empty().to_arrow().schema)
    if delta is None:
        create_table_with_add_actions(
            (root / spec.name).absolute().as_uri(), schema, list(added), "error", by, configuration=configuration,
            commit_properties=properties,
        )  # fmt: skip
        return 0
    _add_columns(delta, schema)
    version = int(delta.version()) + 1
    delta.create_write_transaction(
        [*added, *removed], "append", delta.schema(), by or None, commit_properties=properties
    )
    return version


def _add_columns(delta: "DeltaTable", schema: Any) -> None:
    """Adds the columns that came after the table."""
    from deltalake import CommitProperties

    present = {field.name for field in delta.schema().fields}
    if lacking := [field for field in schema.fields if field.name not in present]:
        metadata = {"change": "columns", "files": {"added": 0, "removed": 0}}
        delta.alter.add_columns(
            lacking, commit_properties=CommitProperties(custom_metadata=metadata, max_commit_retries=0)
        )


def _moved(draft: Path, folder: Path, path: str) -> str:
    """Moves a file of the draft into the table's folder, named by its checksum; its new path as a log has it."""
    source = draft / unquote(path)
    target = source.with_name(checksums.with_checksum(source.name, checksums.of_file(source))).relative_to(draft)
    (folder / target).parent.mkdir(parents=True, exist_ok=True)
    source.replace(folder / target)
    return quote(target.as_posix(), safe="/=")


@contextmanager
def _unfinished(root: Path) -> Iterator[Path]:
    """A folder for files on their way; those that dead processes of this machine left are removed first."""
    place = root / UNFINISHED
    for leftover in place.glob("*"):
        with suppress(ValueError):
            host, pid, session, _ = leftover.name.rsplit(".", 3)
            if not process.lives({"host": host, "pid": pid, "session": session}):
                shutil.rmtree(leftover, ignore_errors=True)
    who = process.identity()
    folder = place / f"{who['host']}.{who['pid']}.{who['session']}.{uuid4().hex}"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stream(spec: LakeTable, frames: Iterable[pl.DataFrame]) -> "RecordBatchReader":
    """The frames as Arrow, each made and sorted by key when it is asked for."""
    from pyarrow import RecordBatch, RecordBatchReader

    def batches() -> Iterator[RecordBatch]:
        for frame in frames:
            yield from keys.sort_by_key(frame, spec.key).to_arrow().to_batches()
            del frame  # before the next is made

    return RecordBatchReader.from_batches(spec.empty().to_arrow().schema, batches())
