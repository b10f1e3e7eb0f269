"""The lake: Delta tables under one folder, written by atomic commits; every version stays readable."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import polars as pl

from features.errors import DamagedError, DaypartError, NotKnownError
from flows.adapters import commits, merge
from flows.adapters.delta_log import DeltaLog
from flows.adapters.lake_tables import GIVEN, LAKE, MOMENT, LakeTable, lake_table
from flows.adapters.table_log import LogState, TableLog, log_state

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import RemoveAction

    from flows.adapters.staging import Staging

Written = TypeVar("Written")
Parts = Callable[[], Iterator[pl.DataFrame]]
"""Rows as they are stored, part by part, as often as it is called."""

ATTEMPTS = 40
RECENT_COMMITS = 32
"""So many commits are read at first where one of them is looked for."""
CROWDED_FILES = 64
"""Files a partition at hand from which new rows are merged in rather than laid beside."""


@dataclass(frozen=True)
class Upserted:
    """How many rows were new, changed a stored one, or were there already; and the table's version since."""

    taken: int
    replaced: int
    unchanged: int
    version: int


class Lake:
    """The tables under `root`. Readers see whole commits only.

    A commit stands only if nobody else committed to the table since it was read; else the write starts over
    on what is there now. So writers act as if one after the other. Every method raises NotKnownError for a
    table that is not one of LAKE.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._opened: dict[str, tuple[LogState, DeltaTable]] = {}

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self.root,)

    def columns(self, table: str) -> list[str]:
        """The table's columns, in order."""
        return list(lake_table(table).schema)

    def exists(self, table: str) -> bool:
        """Whether the table was ever written."""
        return self.open(table) is not None

    def version(self, table: str) -> int | None:
        """The newest version; null where there is no table. Versions count from 0."""
        delta = self.open(table)
        return None if delta is None else delta.version()

    def versions(self) -> dict[str, int]:
        """The newest version of every table that exists."""
        found = {name: self.version(name) for name in LAKE}
        return {name: version for name, version in found.items() if version is not None}

    def history(self, table: str) -> pl.DataFrame:
        """One row per version, newest first: version, written_utc, change (upsert, replace or append).

        Raises NotKnownError where there is no table.
        """
        rows = [(e["version"], e["timestamp"], e.get("change", e["operation"])) for e in self.commits(table)]
        names = {"version": pl.Int64, "milliseconds": pl.Int64, "change": pl.String}
        moment = pl.from_epoch("milliseconds", "ms").cast(MOMENT).alias("written_utc")
        return pl.DataFrame(rows, names, orient="row").select("version", moment, "change")

    def commits(self, table: str) -> Iterator[dict[str, Any]]:
        """What the log has of every commit, newest first: version, timestamp, operation, and the metadata kept with it.

        Raises NotKnownError where there is no table.
        """
        delta, count = self.at_version(table), 0
        for limit in (RECENT_COMMITS, None):
            entries = delta.history(limit)
            yield from entries[count:]
            count = len(entries)
            if limit is None or count < limit:
                return

    def files(self, table: str, version: int | None = None) -> pl.DataFrame:
        """The files that hold the rows at a version, as the log has them: path (URL-encoded), size_bytes, statistics.

        Raises NotKnownError where there is no such table or version.
        """
        return pl.DataFrame(self.at_version(table, version).get_add_actions(flatten=True))

    def scan(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """The table's rows at a version (default: the newest), in no order, with exactly its columns.

        Raises NotKnownError where there is no such table or version.
        """
        stored = pl.scan_delta(self.at_version(table, version))
        return lake_table(table).whole(stored).select(self.columns(table))

    def scan_or_empty(self, table: str) -> pl.LazyFrame:
        """The table's rows; none where there is no table."""
        return self.scan(table) if self.exists(table) else pl.LazyFrame(schema=lake_table(table).schema)

    def edge(self, table: str, column: str, end: Literal["min", "max"], version: int | None = None) -> datetime:
        """The least or greatest moment in a column, from what the files say of themselves.

        Raises NotKnownError where there is no such table, version or row.
        """
        files = self.files(table, version)
        told = files[f"{end}.{column}"] if f"{end}.{column}" in files.columns else pl.Series([None])
        found = told.min() if end == "min" else told.max()
        if not isinstance(found, datetime) or told.null_count():
            found = self.scan(table, version).select(getattr(pl.col(column), end)()).collect().item()
        if not isinstance(found, datetime):
            raise NotKnownError(f"no rows in table {table} of {self.root}: run `{lake_table(table).maker}` first")
        return found.replace(tzinfo=None)

    def written(self, table: str, partition: str) -> dict[date, datetime]:
        """When the newest file of each date of a partition was written, in UTC; nothing where there is no table."""
        delta = self.open(table)
        if delta is None:
            return {}
        files = pl.DataFrame(delta.get_add_actions(flatten=True))
        dates = pl.col(f"partition.{partition}").cast(pl.Date)
        moments = pl.col("modification_time").cast(MOMENT)
        return dict(files.group_by(dates).agg(moments.max()).iter_rows())

    def upsert(self, table: str, rows: "pl.DataFrame | Staging") -> Upserted:
        """Merges rows by key in one commit; a later value takes the place of the stored one.

        Where `rows` lacks a column the stored value stays; a null takes its place. Rows that change nothing are not
        written, and if none does there is no new version. Only partitions that change are touched, one of
        them in memory at a time. Raises ValueRefused for a key given twice or not at all, SchemaError for
        columns that do not fit.
        """
        spec = lake_table(table)
        told = spec.apart(spec.marked(rows)).values() if isinstance(rows, pl.DataFrame) else rows
        return self.committed(table, lambda delta: self._upsert(spec, told, delta))

    def replace(
        self,
        table: str,
        rows: "pl.DataFrame | Staging",
        partition: object,
        metadata: Mapping[str, str] | None = None,
    ) -> int:
        """Puts rows in the place of all that a partition holds, in one commit; the version since.

        Of staged rows, whose additions do not share keys, one addition is in memory at a time. None deletes; if
        they are what is stored there is no new version. `metadata` is kept with the commit, and `commits` returns it.
        Raises as `upsert`, and ValueRefused for rows that lie outside the partition.
        """
        spec = lake_table(table)
        parts = _whole(spec.conformed(rows)) if isinstance(rows, pl.DataFrame) else rows.additions
        for part in parts():
            spec.check_within(part, partition)
        kept = {**(metadata or {}), "change": "replace"}
        return self.committed(table, lambda delta: self._replace(spec, parts, partition, kept, delta))

    def append(self, table: str, rows: pl.DataFrame) -> int:
        """Adds rows whose keys are new, unread, in one commit; the version since. Raises as `upsert`."""
        spec = lake_table(table)
        conformed = spec.conformed(rows)
        return self.committed(table, lambda delta: self._write(spec, [conformed], delta, {"change": "append"}))

    def overwrite(
        self, table: str, rows: Iterable[pl.DataFrame], delta: "DeltaTable", change: str, partitions: pl.Series | None
    ) -> int:
        """Commits rows, as they are stored, in the place of some partitions or of all rows; the version since.

        One frame is in memory at a time. For use in `committed`, which gives `delta`; a compaction's files get their
        checksums so.
        """
        spec = lake_table(table)
        return self._write(spec, rows, delta, {"change": change}, commits.removals(delta, partitions))

    def _upsert(self, spec: LakeTable, told: Iterable[pl.DataFrame], delta: "DeltaTable | None") -> Upserted:
        if delta is None:
            heights: list[int] = []
            parts = _counted((part.drop(GIVEN) for part in told), heights)
            version = self._write(spec, parts, delta, {"change": "upsert"})
            return Upserted(sum(heights), 0, 0, version)
        stored = spec.whole(pl.scan_delta(delta))
        compared = [(merge.change(spec, stored, part), part.head(1)) for part in told]
        total = sum((change for change, _ in compared), merge.Change())
        if not total:
            return Upserted(0, 0, total.unchanged, delta.version())
        partitions = spec.partitions(pl.concat(first for change, first in compared if change))
        files = commits.removals(delta, partitions)
        over = total.replaced > 0 or len(files) >= CROWDED_FILES * (1 if partitions is None else len(partitions))
        resulting = merge.merged if over else merge.added
        rows = (resulting(spec, stored, part) for part, (change, _) in zip(told, compared, strict=True) if change)
        version = self._write(spec, rows, delta, {"change": "upsert"}, files if over else ())
        return Upserted(total.new, total.replaced, total.unchanged, version)

    def _replace(
        self, spec: LakeTable, parts: Parts, partition: object, metadata: Mapping[str, str], delta: "DeltaTable | None"
    ) -> int:
        assert spec.partition is not None
        if delta is None:
            return self._write(spec, parts(), delta, metadata)
        if merge.is_stored(spec, spec.whole(pl.scan_delta(delta)).filter(pl.col(spec.partition) == partition), parts()):
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
        """Commits rows as the version after `delta`'s, beside the files that are not removed."""
        return commits.commit(self.root, spec, delta, commits.write_files(self.root, spec, rows), removed, metadata)

    def committed(self, table: str, attempt: Callable[["DeltaTable | None"], Written]) -> Written:
        """What `attempt` made of the newest version, tried again whenever another writer came first."""
        from deltalake.exceptions import DeltaError

        for tried in range(ATTEMPTS):
            delta = self.open_anew(table)
            base = None if delta is None else delta.version()
            try:
                return attempt(delta)
            except DeltaError as failed:
                if self.version(table) == base:
                    told = f"{table} was not written, version {base} stands: {failed}"
                    raise DaypartError(" ".join(told.split())) from failed
            # Two writers that wait equally long would meet again.
            time.sleep(random.uniform(0.5, 1.0) * min(0.5, 0.01 * 2**tried))
        raise DaypartError(f"{table}: other writers came first {ATTEMPTS} times; stop one of them and run again")

    def open(self, table: str) -> "DeltaTable | None":
        """Return the table at its newest version, not to be moved to another; null where it was never written.

        A table whose log has not changed since it was opened last is not opened again: a job asks dozens of times.
        Raises as `open_anew`.
        """
        state = log_state(self.root / table)
        if table in self._opened and self._opened[table][0] == state:
            return self._opened[table][1]
        delta = self.open_anew(table)
        if delta is not None:
            self._opened[table] = state, delta
        return delta

    def open_anew(self, table: str) -> "DeltaTable | None":
        """Return the table at its newest version, for the caller alone; null where it was never written.

        Raises DamagedError where its log cannot be read, or would be read as if less was ever written. It names the
        file of the log, the version, and how to restore it.
        """
        from deltalake.exceptions import DeltaError, TableNotFoundError

        from flows.adapters.local_table import LocalTable

        spec = lake_table(table)
        folder, log = self.root / spec.name, DeltaLog(self.root, spec)
        try:
            delta = LocalTable(folder)
        except (DeltaError, TableNotFoundError) as failed:
            if damages := log.damages():
                raise DamagedError(str(damages[0])) from failed
            if isinstance(failed, TableNotFoundError):
                return None
            cause = str(failed).splitlines()[0][:200]
            raise DamagedError(
                f"table {table}: its log cannot be read, {folder / '_delta_log'} is damaged ({cause}): "
                f"restore {folder} from a copy"
            ) from failed
        if damage := log.recent_damage(delta.version()):
            raise DamagedError(str(damage))
        return delta

    def at_version(self, table: str, version: int | None = None) -> "DeltaTable":
        """Return the table at a version (default: the newest), not to be moved to another.

        Raises NotKnownError where there is no such table or version, and as `open`.
        """
        from deltalake.exceptions import DeltaError

        newest = self.open(table)
        if newest is None:
            raise NotKnownError(f"no table {table} in {self.root}: run `{lake_table(table).maker}` first")
        if version is None or version == newest.version():
            return newest
        try:
            earlier = self.open_anew(table)
            assert earlier is not None  # as `newest` is not
            earlier.load_as_version(version)
        except (DeltaError, OverflowError):
            oldest, last = TableLog.read(self.root / table).oldest, self.version(table)
            removed = "; `daypart maintain` removed earlier ones" if version < oldest else ""
            told = f"{table} has no version {version}: choose one from {oldest} to {last}{removed}"
            raise NotKnownError(told) from None
        return earlier


def _whole(rows: pl.DataFrame) -> Parts:
    return lambda: iter([rows])


def _counted(told: Iterable[pl.DataFrame], heights: list[int]) -> Iterator[pl.DataFrame]:
    """The same frames; notes how many rows went by."""
    for part in told:
        heights.append(part.height)
        yield part
        del part  # before the next is made
