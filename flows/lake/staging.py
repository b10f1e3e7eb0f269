"""Staging: rows on their way into a table, on the disk, so that memory holds one partition of them at a time."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

import polars as pl
import pyarrow as pa

from daypart.features.tables import keys
from daypart.flows.lake.tables import GIVEN, LakeTable, lake_table


class Staging:
    """Rows of one table under `folder`, in files without a name: when the process ends, however, they are gone.

    Iterating gives the `marked` rows of one partition after the other, one a key: of each column the value, null
    or not, of the last addition that has the column. It can be repeated, but not added to once begun. Raises
    NotKnownError for a table that is not one of LAKE.
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
        """Whether no row was added."""
        return not self._files

    def add(self, rows: pl.DataFrame) -> None:
        """Writes rows to the disk. Raises as `LakeTable.conformed`, and OSError for a full disk."""
        # Each addition is sorted while it is small: where stores follow on each other, so is what comes out.
        sorted_rows = keys.sort_by_key(self._table.marked(rows), self._table.key)
        for partition, part in self._table.apart(sorted_rows).items():
            data = part.to_arrow().combine_chunks()
            self._writer(partition, data.schema).write_table(data)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for file in self._read():
            yield _latest(pl.read_ipc_stream(file), self._table)

    def additions(self) -> Iterator[pl.DataFrame]:
        """The rows as they are stored: one frame an addition and partition, partitions one after the other."""
        for file in self._read():
            for batch in pa.ipc.open_stream(file):
                yield pl.DataFrame(pl.from_arrow(batch)).drop(GIVEN)

    def _read(self) -> Iterator[IO[bytes]]:
        # Once: closing again would write an end wherever the file is read just now.
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
    """One row per key: of each column the value of the last row whose source has it."""
    if keys.are_unique(rows, table.key):
        return rows
    values = [pl.col(name).filter(table.gives(name)).last() for name in table.schema if name not in table.key]
    of_key = [pl.col(name).last() for name in rows.columns if name not in (*table.schema, GIVEN)]
    last = rows.group_by(table.key, maintain_order=True).agg(*values, *of_key, pl.col(GIVEN).bitwise_or())
    return last.select(rows.columns)
