"""Ledger: a Delta table to which files are only ever added, each named by the SHA-256 of its bytes."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from daypart.flows.files.atomic_files import drafted
from daypart.flows.lake import checksums, commits
from daypart.flows.lake.commits import KEEP_EVERYTHING
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import lake_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

HARMLESS = ("CREATE TABLE", "OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES")
"""Delta's operations that take no row away."""

KEEP_ALL = {**KEEP_EVERYTHING, "delta.appendOnly": "true"}

Rows = Callable[[pl.DataFrame], tuple[pl.DataFrame, Mapping[str, str]]]
"""From the stored rows, in order, the rows to add, and what the commit is to say of them."""

UNREADABLE = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What reading a damaged file raises."""


@dataclass(frozen=True)
class Stored:
    """One file of a ledger as Delta's log has it: where it is, its size, and its first and last number."""

    path: Path
    size: int
    first: int | None
    last: int | None

    def rows(self, schema: Mapping[str, pl.DataType]) -> pl.DataFrame | None:
        """Its rows; null where the file is gone or its bytes are not those that were written.

        Of a file that Delta's own tools wrote nothing is known but whether it can be read.
        """
        try:
            content = self.path.read_bytes()
            if checksums.recorded(self.path.name) not in (None, hashlib.sha256(content).hexdigest()):
                return None
            return pl.read_parquet(content).select(pl.col(name).cast(dtype) for name, dtype in schema.items())
        except UNREADABLE:
            return None

    @property
    def has_its_size(self) -> bool:
        """Whether the file is there, and as long as it was written."""
        return self.path.is_file() and self.path.stat().st_size == self.size


class Ledger:
    """The table of that name in a lake, whose key is one column that counts its rows.

    Delta refuses whatever would change or take away a row (`delta.appendOnly`).
    """

    def __init__(self, lake: Lake, table: str) -> None:
        self._lake, self._spec = lake, lake_table(table)
        (self._number,) = self._spec.key

    def extend(self, make: Rows) -> pl.DataFrame:
        """Adds the rows that `make` makes of those stored, in one commit on top of exactly those; the rows.

        Where another writer came first they are made anew, so a key that counts on from the last one never forks.
        A writer that is killed leaves the whole commit or nothing. No row, no commit. Raises what `make` raises,
        and as `Lake.append`.
        """
        return self._lake.committed(self._spec.name, lambda delta: self._add(make, delta))

    def rows(self) -> pl.DataFrame:
        """All stored rows in order. A file that is gone or damaged is left out, as `Stored.rows` has it."""
        return self._rows(self._lake.open(self._spec.name))

    def files(self) -> list[Stored]:
        """The files that hold the rows, in order; none where there is no table."""
        return self._files(self._lake.open(self._spec.name))

    def commits(self, latest: int | None = None) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """Version, operation and metadata of every commit, or of the latest few, oldest first."""
        delta = self._lake.open(self._spec.name)
        for entry in reversed(delta.history(latest) if delta is not None else []):
            yield entry["version"], entry["operation"], entry

    def _files(self, delta: "DeltaTable | None") -> list[Stored]:
        if delta is None:
            return []
        folder, first, last = self._lake.root / self._spec.name, f"min.{self._number}", f"max.{self._number}"
        actions = pl.DataFrame(delta.get_add_actions(flatten=True)).to_dicts()
        files = [Stored(folder / row["path"], row["size_bytes"], row.get(first), row.get(last)) for row in actions]
        return sorted(files, key=lambda file: (file.first is None, file.first, file.path))

    def _rows(self, delta: "DeltaTable | None") -> pl.DataFrame:
        columns, files = list(self._spec.schema), self._files(delta)
        if delta is not None and all(file.has_its_size for file in files):
            with suppress(*UNREADABLE):
                return self._spec.whole(pl.scan_delta(delta)).select(columns).collect().sort(self._number)
        readable = [rows for file in files if (rows := file.rows(self._spec.schema)) is not None]
        return pl.concat([pl.DataFrame(schema=self._spec.schema), *readable]).sort(self._number)

    def _add(self, make: Rows, delta: "DeltaTable | None") -> pl.DataFrame:
        rows, details = make(self._rows(delta))
        rows = self._spec.conformed(rows).sort(self._number)
        if rows.height:
            added, metadata = [self._written(rows)], {"change": "append", **details}
            commits.commit(self._lake.root, self._spec, delta, added, (), metadata, KEEP_ALL)
        return rows

    def _written(self, rows: pl.DataFrame) -> Any:
        """Delta's word for a file with the rows, which is there when this returns."""
        from deltalake.transaction import AddAction

        buffer = io.BytesIO()
        rows.write_parquet(buffer)
        content = buffer.getvalue()
        path = self._lake.root / self._spec.name / f"{hashlib.sha256(content).hexdigest()}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with drafted(path) as draft:
            draft.write_bytes(content)
        ends = {f"{end}Values": {self._number: getattr(rows[self._number], end)()} for end in ("min", "max")}
        stats = json.dumps({"numRecords": rows.height, **ends})
        return AddAction(path.name, len(content), {}, 0, True, stats)
