"""Reading of the lake: which tables and versions there are, what their logs say, and their rows."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl

from daypart.features.errors import DamagedError, NotKnownError
from daypart.flows.lake.delta_log import DeltaLog
from daypart.flows.lake.table_log import LogState, TableLog, log_state
from daypart.flows.lake.tables import LAKE, TIMESTAMP, lake_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

RECENT_COMMITS = 32
"""Number of commits that are read first when one of them is looked for."""


class LakeReader:
    """The tables under `root`, for reading. Readers see only complete commits.

    Every method raises NotKnownError for a table that is not one of LAKE.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._opened: dict[str, tuple[LogState, DeltaTable]] = {}

    def __reduce__(self) -> tuple[type[Self], tuple[Path]]:
        return type(self), (self.root,)

    def columns(self, table: str) -> list[str]:
        """Return the columns of the table, in order."""
        return list(lake_table(table).schema)

    def exists(self, table: str) -> bool:
        """Return whether the table was ever written."""
        return self.open(table) is not None

    def version(self, table: str) -> int | None:
        """Return the newest version, counted from 0; null where there is no table."""
        delta = self.open(table)
        return None if delta is None else delta.version()

    def versions(self) -> dict[str, int]:
        """Return the newest version of every table that exists."""
        versions = {name: self.version(name) for name in LAKE}
        return {name: version for name, version in versions.items() if version is not None}

    def history(self, table: str) -> pl.DataFrame:
        """Return one row per version, newest first: version, written_utc, change (upsert, replace or append).

        Raises NotKnownError where there is no table.
        """
        rows = [(e["version"], e["timestamp"], e.get("change", e["operation"])) for e in self.commits(table)]
        names = {"version": pl.Int64, "milliseconds": pl.Int64, "change": pl.String}
        moment = pl.from_epoch("milliseconds", "ms").cast(TIMESTAMP).alias("written_utc")
        return pl.DataFrame(rows, names, orient="row").select("version", moment, "change")

    def commits(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield the log entry of every commit, newest first: version, timestamp, operation and the commit's metadata.

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
        """Return the files that hold the rows at a version: path (URL-encoded), size_bytes and statistics of the log.

        Raises NotKnownError where there is no such table or version.
        """
        return pl.DataFrame(self.at_version(table, version).get_add_actions(flatten=True))

    def scan(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """Return the rows at a version (default: the newest), in no order, with exactly the columns of the table.

        Raises NotKnownError where there is no such table or version.
        """
        stored = pl.scan_delta(self.at_version(table, version))
        return lake_table(table).with_all_columns(stored).select(self.columns(table))

    def scan_or_empty(self, table: str) -> pl.LazyFrame:
        """Return the rows of the table; no rows where there is no table."""
        return self.scan(table) if self.exists(table) else pl.LazyFrame(schema=lake_table(table).schema)

    def edge(self, table: str, column: str, end: Literal["min", "max"], version: int | None = None) -> datetime:
        """Return the earliest or latest time in a column, from the statistics of the files where they have it.

        Raises NotKnownError where there is no such table, version or row.
        """
        files = self.files(table, version)
        bounds = files[f"{end}.{column}"] if f"{end}.{column}" in files.columns else pl.Series([None])
        moment = bounds.min() if end == "min" else bounds.max()
        if not isinstance(moment, datetime) or bounds.null_count():
            moment = self.scan(table, version).select(getattr(pl.col(column), end)()).collect().item()
        if not isinstance(moment, datetime):
            raise NotKnownError(f"no rows in table {table} of {self.root}: run `{lake_table(table).maker}` first")
        return moment.replace(tzinfo=None)

    def written(self, table: str, partition: str) -> dict[date, datetime]:
        """Return when the newest file of each date of a partition was written, in UTC; empty without a table."""
        delta = self.open(table)
        if delta is None:
            return {}
        files = pl.DataFrame(delta.get_add_actions(flatten=True))
        dates = pl.col(f"partition.{partition}").cast(pl.Date)
        moments = pl.col("modification_time").cast(TIMESTAMP)
        return dict(files.group_by(dates).agg(moments.max()).iter_rows())

    def open(self, table: str) -> "DeltaTable | None":
        """Return the table at its newest version; null where it was never written.

        The result is shared, so the caller must not load another version with it. While the log of a table does not
        change, the table is opened once: a job calls this dozens of times. Raises as `open_anew`.
        """
        state = log_state(self.root / table)
        if table in self._opened and self._opened[table][0] == state:
            return self._opened[table][1]
        delta = self.open_anew(table)
        if delta is not None:
            self._opened[table] = state, delta
        return delta

    def open_anew(self, table: str) -> "DeltaTable | None":
        """Return the table at its newest version, for this caller only; null where it was never written.

        Raises DamagedError if the log cannot be read, or if the library would read it as if less was written. The
        error names the file of the log, the version, and how to restore it.
        """
        from deltalake.exceptions import DeltaError, TableNotFoundError

        from daypart.flows.lake.local_table import LocalTable

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
        """Return the table at a version (default: the newest). The caller must not load another version with it.

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
            message = f"{table} has no version {version}: choose one from {oldest} to {last}{removed}"
            raise NotKnownError(message) from None
        return earlier
