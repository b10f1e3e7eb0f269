"""An append-only Delta table: files are only ever added, each named by the SHA-256 of its bytes."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from daypart.flows.files.atomic_files import atomic_write
from daypart.flows.lake import checksums, commits
from daypart.flows.lake.commits import KEEP_EVERYTHING, FileChanges, TableVersion
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import lake_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

ROW_KEEPING_OPERATIONS = ("CREATE TABLE", "OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES")
"""Delta operations that remove no row."""

APPEND_ONLY = {**KEEP_EVERYTHING, "delta.appendOnly": "true"}

RowMaker = Callable[[pl.DataFrame], tuple[pl.DataFrame, Mapping[str, str]]]
"""A function of the stored rows, in order, that returns the rows to add and the metadata of their commit."""

READ_ERRORS = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""Exceptions that reading a damaged file raises."""


@dataclass(frozen=True)
class LedgerFile:
    """One file of a ledger as the Delta log describes it: path, size in bytes, first and last row number."""

    path: Path
    size: int
    first: int | None
    last: int | None

    def rows(self, schema: Mapping[str, pl.DataType]) -> pl.DataFrame | None:
        """Return the rows of the file; null where it is gone or its bytes are not those that were written.

        A file that another Delta writer wrote has no checksum: it counts as intact if it can be read.
        """
        try:
            content = self.path.read_bytes()
            if checksums.recorded_checksum(self.path.name) not in (None, hashlib.sha256(content).hexdigest()):
                return None
            return pl.read_parquet(content).select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        except READ_ERRORS:
            return None

    @property
    def has_its_size(self) -> bool:
        """Return whether the file exists and has the size with which it was written."""
        return self.path.is_file() and self.path.stat().st_size == self.size


class Ledger:
    """An append-only table of a lake, whose key is one column that numbers its rows.

    Delta refuses every operation that would change or remove a row (`delta.appendOnly`).
    """

    def __init__(self, lake: Lake, table: str) -> None:
        self._lake, self._spec = lake, lake_table(table)
        (self._number,) = self._spec.key

    def extend(self, make: RowMaker) -> pl.DataFrame:
        """Add the rows that `make` returns for the stored rows, and return them.

        The commit follows exactly the version that `make` got. If another writer commits first, `make` is called
        again, so that numbers that continue from the last row are never given twice. A writer that is killed leaves
        the complete commit or nothing. Without rows there is no commit. Raises what `make` raises, and as
        `Lake.append`.
        """
        return self._lake.commit_with_retries(self._spec.name, lambda delta: self._add(make, delta))

    def rows(self) -> pl.DataFrame:
        """Return all stored rows in order, without those of missing or damaged files (see `LedgerFile.rows`)."""
        return self._rows(self._lake.open(self._spec.name))

    def files(self) -> list[LedgerFile]:
        """Return the files that hold the rows, in order; none where there is no table."""
        return self._files(self._lake.open(self._spec.name))

    def commits(self, latest: int | None = None) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Yield version, operation and log entry of every commit, or of the `latest` ones, oldest first."""
        delta = self._lake.open(self._spec.name)
        for entry in reversed(delta.history(latest) if delta is not None else []):
            yield entry["version"], entry["operation"], entry

    def _files(self, delta: "DeltaTable | None") -> list[LedgerFile]:
        if delta is None:
            return []
        folder, first, last = self._lake.root / self._spec.name, f"min.{self._number}", f"max.{self._number}"
        actions = pl.DataFrame(delta.get_add_actions(flatten=True)).to_dicts()
        files = [LedgerFile(folder / row["path"], row["size_bytes"], row.get(first), row.get(last)) for row in actions]
        return sorted(files, key=lambda file: (file.first is None, file.first, file.path))

    def _rows(self, delta: "DeltaTable | None") -> pl.DataFrame:
        columns, files = list(self._spec.schema), self._files(delta)
        if delta is not None and all(file.has_its_size for file in files):
            with suppress(*READ_ERRORS):
                return self._spec.with_all_columns(pl.scan_delta(delta)).select(columns).collect().sort(self._number)
        readable = [rows for file in files if (rows := file.rows(self._spec.schema)) is not None]
        return pl.concat([pl.DataFrame(schema=self._spec.schema), *readable]).sort(self._number)

    def _add(self, make: RowMaker, delta: "DeltaTable | None") -> pl.DataFrame:
        rows, details = make(self._rows(delta))
        rows = self._spec.conform(rows).sort(self._number)
        if rows.height:
            table, files = TableVersion(self._lake.root, self._spec, delta), FileChanges([self._write_file(rows)])
            commits.commit(table, files, {"change": "append", **details}, APPEND_ONLY)
        return rows

    def _write_file(self, rows: pl.DataFrame) -> Any:
        """Write the rows as a file and return the Delta action that adds it."""
        from deltalake.transaction import AddAction

        buffer = io.BytesIO()
        rows.write_parquet(buffer)
        content = buffer.getvalue()
        path = self._lake.root / self._spec.name / f"{hashlib.sha256(content).hexdigest()}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            draft.write_bytes(content)
        ends = {f"{end}Values": {self._number: getattr(rows[self._number], end)()} for end in ("min", "max")}
        stats = json.dumps({"numRecords": rows.height, **ends})
        return AddAction(path.name, len(content), {}, 0, True, stats)
