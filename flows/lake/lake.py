"""The lake: Delta tables under one folder, written by atomic commits; every version stays readable."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from daypart.features.errors import DaypartError
from daypart.flows.lake import commits, merge
from daypart.flows.lake.lake_reader import LakeReader
from daypart.flows.lake.tables import GIVEN_COLUMNS, LakeTable, lake_table

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import RemoveAction

    from daypart.flows.lake.staging import Staging

Result = TypeVar("Result")
Parts = Callable[[], Iterator[pl.DataFrame]]
"""A function that returns the rows as they are stored, part by part. It may be called more than once."""

ATTEMPTS = 40
"""Number of times that a write is tried while other writers commit first."""
CROWDED_FILES = 64
"""From this number of files in a partition on, new rows are merged into it rather than added as another file."""


@dataclass(frozen=True)
class UpsertResult:
    """Number of rows that were new, that changed a stored row and that were stored already; the version afterwards."""

    inserted: int
    replaced: int
    unchanged: int
    version: int


class Lake(LakeReader):
    """The tables under `root`, for reading and writing.

    A commit succeeds only if nobody else committed to the table since it was read. Otherwise the write starts again
    from the new version, so that concurrent writers have the same effect as writers one after the other. Every method
    raises NotKnownError for a table that is not one of LAKE.
    """

    def upsert(self, table: str, rows: "pl.DataFrame | Staging") -> UpsertResult:
        """Merge rows into the table by key, in one commit: a value in `rows` replaces the stored value.

        A null replaces the stored value too. A column that `rows` lacks keeps its stored values. Rows that change
        nothing are not written; if no row changes anything, there is no new version. Only partitions that change are
        written, and one of them is in memory at a time. Raises ValueRefused for a key that is given twice or is
        missing, SchemaError for columns that do not fit.
        """
        spec = lake_table(table)
        parts = spec.split_by_partition(spec.mark_given(rows)).values() if isinstance(rows, pl.DataFrame) else rows
        return self.commit_with_retries(table, lambda delta: self._upsert(spec, parts, delta))

    def replace(
        self,
        table: str,
        rows: "pl.DataFrame | Staging",
        partition: object,
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Replace all rows of a partition, in one commit, and return the version afterwards.

        No rows means that the partition is emptied. If the rows equal the stored rows, there is no new version. Of
        staged rows, whose additions must not share keys, one addition is in memory at a time. `metadata` is stored
        with the commit, and `commits` returns it. Raises as `upsert`, and ValueRefused for rows outside the partition.
        """
        spec = lake_table(table)
        parts = _single_part(spec.conform(rows)) if isinstance(rows, pl.DataFrame) else rows.additions
        for part in parts():
            spec.check_within(part, partition)
        commit_info = {**(metadata or {}), "change": "replace"}
        return self.commit_with_retries(table, lambda delta: self._replace(spec, parts, partition, commit_info, delta))

    def append(self, table: str, rows: pl.DataFrame) -> int:
        """Add rows in one commit and return the version afterwards. Raises as `upsert`.

        The stored rows are not read: the caller knows that the keys are new.
        """
        spec = lake_table(table)
        conformed = spec.conform(rows)
        return self.commit_with_retries(
            table, lambda delta: self._write(spec, [conformed], delta, {"change": "append"})
        )

    def overwrite(
        self, table: str, rows: Iterable[pl.DataFrame], delta: "DeltaTable", change: str, partitions: pl.Series | None
    ) -> int:
        """Replace some partitions (null = the whole table) by rows as they are stored; return the version afterwards.

        One frame is in memory at a time. Use it within `commit_with_retries`, which passes `delta`: a compaction
        writes its files this way, so that they have checksums.
        """
        spec = lake_table(table)
        return self._write(spec, rows, delta, {"change": change}, commits.removals(delta, partitions))

    def _upsert(self, spec: LakeTable, frames: Iterable[pl.DataFrame], delta: "DeltaTable | None") -> UpsertResult:
        if delta is None:
            heights: list[int] = []
            parts = _record_heights((part.drop(GIVEN_COLUMNS) for part in frames), heights)
            version = self._write(spec, parts, delta, {"change": "upsert"})
            return UpsertResult(sum(heights), 0, 0, version)
        stored = spec.with_all_columns(pl.scan_delta(delta))
        counted_parts = [(merge.count_changes(spec, stored, part), part.head(1)) for part in frames]
        total = sum((change for change, _ in counted_parts), merge.ChangeCounts())
        if not total:
            return UpsertResult(0, 0, total.unchanged, delta.version())
        partitions = spec.partitions(pl.concat(first for change, first in counted_parts if change))
        files = commits.removals(delta, partitions)
        rewrites = total.replaced > 0 or len(files) >= CROWDED_FILES * (1 if partitions is None else len(partitions))
        resulting = merge.merge_rows if rewrites else merge.new_rows
        rows = (
            resulting(spec, stored, part) for part, (change, _) in zip(frames, counted_parts, strict=True) if change
        )
        version = self._write(spec, rows, delta, {"change": "upsert"}, files if rewrites else ())
        return UpsertResult(total.new, total.replaced, total.unchanged, version)

    def _replace(
        self, spec: LakeTable, parts: Parts, partition: object, metadata: Mapping[str, str], delta: "DeltaTable | None"
    ) -> int:
        assert spec.partition is not None
        if delta is None:
            return self._write(spec, parts(), delta, metadata)
        if merge.is_stored(
            spec, spec.with_all_columns(pl.scan_delta(delta)).filter(pl.col(spec.partition) == partition), parts()
        ):
            return int(delta.version())
        removed = commits.removals(delta, pl.Series(spec.partition, [partition]))
        return self._write(spec, parts(), delta, metadata, removed)

    def _write(
        self,
        spec: LakeTable,
        rows: Iterable[pl.DataFrame],
        delta: "DeltaTable | None",
        metadata: Mapping[str, str],
        removed: "Sequence[RemoveAction]" = (),
    ) -> int:
        """Commit rows as the version after that of `delta`, without the removed files."""
        files = commits.FileChanges(commits.write_files(self.root, spec, rows), removed)
        return commits.commit(commits.TableVersion(self.root, spec, delta), files, metadata)

    def commit_with_retries(self, table: str, attempt: Callable[["DeltaTable | None"], Result]) -> Result:
        """Return the result of `attempt` on the newest version; call it again whenever another writer commits first.

        Raises DaypartError for a commit that fails otherwise, and after ATTEMPTS tries.
        """
        from deltalake.exceptions import DeltaError

        for attempt_number in range(ATTEMPTS):
            delta = self.open_anew(table)
            base = None if delta is None else delta.version()
            try:
                return attempt(delta)
            except DeltaError as failed:
                if self.version(table) == base:
                    message = f"{table} was not written, version {base} stands: {failed}"
                    raise DaypartError(" ".join(message.split())) from failed
            # Two writers that wait equally long would meet again.
            time.sleep(random.uniform(0.5, 1.0) * min(0.5, 0.01 * 2**attempt_number))
        raise DaypartError(f"{table}: other writers came first {ATTEMPTS} times; stop one of them and run again")


def _single_part(rows: pl.DataFrame) -> Parts:
    return lambda: iter([rows])


def _record_heights(frames: Iterable[pl.DataFrame], heights: list[int]) -> Iterator[pl.DataFrame]:
    """Yield the frames unchanged and append the height of each to `heights`."""
    for part in frames:
        heights.append(part.height)
        yield part
        del part  # before the next one is computed
