"""Staging: rows wait on disk before they go into a table, so that memory holds one partition of them at a time."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

import polars as pl
import pyarrow as pa

from daypart.features.tables import keys
from daypart.flows.lake.tables import GIVEN_COLUMNS, LakeTable, lake_table


class Staging:
    """Rows of one table, in unnamed files under `folder` that disappear when the process ends, however it ends.

    Iteration yields the rows of one partition after the other as `LakeTable.mark_given` returns them, with one row
    per key: each column has the value, null or not, of the last addition that has the column. You can iterate
    several times, but cannot add rows once iteration has begun. Raises NotKnownError for a table that is not one of
    LAKE.
    """

    def __init__(self, table: str, folder: Path) -> None:
        self._table, self._folder = lake_table(table), folder
        self._files: dict[str, IO[bytes]] = {}
        self._writers: dict[str, pa.RecordBatchStreamWriter] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.close()

    @property
    def is_empty(self) -> bool:
        """Return whether no row was added."""
        return not self._files

    def add(self, rows: pl.DataFrame) -> None:
        """Write rows to disk. Raises as `LakeTable.conform`, and OSError if the disk is full."""
        # Each addition is sorted while it is small. If stores arrive in order, the result is sorted too.
        sorted_rows = keys.sort_by_key(self._table.mark_given(rows), self._table.key)
        for partition, part in self._table.split_by_partition(sorted_rows).items():
            data = part.to_arrow().combine_chunks()
            self._writer(partition, data.schema).write_table(data)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for file in self._read():
            yield _latest(pl.read_ipc_stream(file), self._table)

    def additions(self) -> Iterator[pl.DataFrame]:
        """Yield the rows as they are stored: one frame per addition and partition, partition after partition."""
        for file in self._read():
            for batch in pa.ipc.open_stream(file):
                yield pl.DataFrame(pl.from_arrow(batch)).drop(GIVEN_COLUMNS)

    def _read(self) -> Iterator[IO[bytes]]:
        # Close each writer once: closing again would write an end mark wherever the file is being read.
        while self._writers:
            self._writers.popitem()[1].close()
        for _, file in sorted(self._files.items()):
            file.seek(0)
            yield file

    def _writer(self, partition: str, schema: pa.Schema) -> pa.RecordBatchStreamWriter:
        if partition not in self._files:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = TemporaryFile(dir=self._folder)  # noqa: SIM115 (the stack closes it)
            self._files[partition] = self._open.enter_context(file)
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writers[partition] = pa.ipc.new_stream(self._files[partition], schema, options=options)
        return self._writers[partition]


def _latest(rows: pl.DataFrame, table: LakeTable) -> pl.DataFrame:
    """Return one row per key, with the value of each column from the last row whose source has the column."""
    if keys.are_unique(rows, table.key):
        return rows
    values = [pl.col(name).filter(table.is_given(name)).last() for name in table.schema if name not in table.key]
    of_key = [pl.col(name).last() for name in rows.columns if name not in (*table.schema, GIVEN_COLUMNS)]
    last = rows.group_by(table.key, maintain_order=True).agg(*values, *of_key, pl.col(GIVEN_COLUMNS).bitwise_or())
    return last.select(rows.columns)
