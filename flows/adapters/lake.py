"""The lake: Delta tables in which every write is atomic and every earlier state stays readable."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

import polars as pl

from features.errors import NotKnownError, ValueRefused
from features.tables import TABLES

ATTEMPTS = 20
Written = TypeVar("Written")
PUBLISHED: dict[str, pl.DataType] = {
    "store_id": pl.String(),
    "target": pl.String(),
    "origin_date": pl.Date(),
    "lead_days": pl.Int16(),
    "hour_local": pl.Datetime("us"),
    "hour_utc": pl.Datetime("us"),
    "business_date": pl.Date(),
    "daypart": pl.String(),
    "forecast": pl.Float64(),
    "q10": pl.Float64(),
    "q50": pl.Float64(),
    "q90": pl.Float64(),
    "incumbent": pl.Float64(),
    "model_version": pl.String(),
    "tier": pl.String(),
    "basis": pl.String(),
}
SCORED = {**{name: dtype for name, dtype in PUBLISHED.items() if name != "basis"}, "actual": pl.Float64()}
PUBLISHED_KEY = ("store_id", "target", "origin_date", "hour_utc")


@dataclass(frozen=True)
class LakeTable:
    """Schema, key and partition of one table; `month_of` names the clock whose month it is partitioned by."""

    name: str
    schema: Mapping[str, pl.DataType]
    key: tuple[str, ...]
    month_of: str | None = None
    partition_by: tuple[str, ...] = ()


MONTHS = {"demand": "hour_utc", "labor": "hour_utc", "weather": "valid_utc"}
LAKE: dict[str, LakeTable] = {
    **{
        name: LakeTable(name, table.schema, table.key, MONTHS.get(name), ("month",) if name in MONTHS else ())
        for name, table in TABLES.items()
    },
    "forecasts": LakeTable("forecasts", PUBLISHED, PUBLISHED_KEY, partition_by=("origin_date",)),
    "scores": LakeTable("scores", SCORED, PUBLISHED_KEY, partition_by=("origin_date",)),
}


@dataclass(frozen=True)
class Upserted:
    """How many rows were new, replaced an earlier one, or were there already; and the table's version since."""

    taken: int
    replaced: int
    unchanged: int
    version: int


class Lake:
    """Tables under one folder. Readers see whole writes only; writers that collide retry on the new state."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def columns(self, table: str) -> list[str]:
        """The table's columns, in order."""
        return list(LAKE[table].schema)

    def exists(self, table: str) -> bool:
        """Whether anything was ever written to the table."""
        from deltalake import DeltaTable

        return bool(DeltaTable.is_deltatable(self._path(table)))

    def version(self, table: str) -> int | None:
        """The table's newest Delta version, null where there is no table."""
        return self._open(table).version() if self.exists(table) else None

    def versions(self) -> dict[str, int]:
        """The newest Delta version of every table that exists."""
        found = {name: self.version(name) for name in LAKE}
        return {name: version for name, version in found.items() if version is not None}

    def history(self, table: str) -> pl.DataFrame:
        """One row per version, newest first: version, timestamp (UTC), operation."""
        rows = [(e["version"], e["timestamp"], e["operation"]) for e in self._open(table).history()]
        found = pl.DataFrame(rows, schema=["version", "milliseconds", "operation"], orient="row")
        return found.select("version", pl.from_epoch("milliseconds", "ms").alias("timestamp_utc"), "operation")

    def scan(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """The table's rows, in no order. Raises NotKnownError where it was never written."""
        if not self.exists(table):
            raise NotKnownError(f"no table {table} in {self.root}: run `daypart ingest {table} FILE` first")
        spec = LAKE[table]
        rows = pl.scan_delta(self._path(table), version=version)
        return rows.select(pl.col(name).cast(dtype) for name, dtype in spec.schema.items())

    def upsert(self, table: str, rows: pl.DataFrame) -> Upserted:
        """Writes rows by key in one commit; a later row for a key replaces the stored one.

        A column that `rows` lacks, or a null in it, keeps the stored value. Rows that change nothing are not
        written; if none change, there is no new version. Raises ValueRefused for a key given twice.
        """
        spec = LAKE[table]
        if rows.select(pl.struct(spec.key).is_duplicated().any()).item():
            raise ValueRefused(f"rows for {table} hold a key twice ({', '.join(spec.key)}): give each key once")
        return self._retried(lambda: self._upsert(spec, rows))

    def replace(self, table: str, rows: pl.DataFrame, where: Mapping[str, date | str]) -> int:
        """Puts `rows` in place of those whose columns equal `where`, in one commit; the new version."""
        spec = LAKE[table]
        predicate = " AND ".join(f"{name} = '{value}'" for name, value in where.items())
        ordered = self._shaped(spec, rows)

        def write() -> int:
            self._write(spec, ordered, predicate if self.exists(table) else None)
            return int(self._open(table).version())

        return self._retried(write)

    def _upsert(self, spec: LakeTable, rows: pl.DataFrame) -> Upserted:
        if not self.exists(spec.name):
            self._write(spec, self._shaped(spec, rows), None)
            return Upserted(rows.height, 0, 0, self._open(spec.name).version())
        table = self._open(spec.name)
        version = table.version()
        stored = self._stored(spec, rows, version)
        merged, replaced, unchanged = _merged(spec, rows, stored)
        if merged.is_empty():
            return Upserted(0, 0, unchanged, version)
        self._merge(spec, table, self._shaped(spec, merged))
        taken = rows.height - replaced - unchanged
        return Upserted(taken, replaced, unchanged, self._open(spec.name).version())

    def _stored(self, spec: LakeTable, rows: pl.DataFrame, version: int) -> pl.DataFrame:
        """Rows now stored in the span of the partitions that `rows` touch."""
        now = self.scan(spec.name, version)
        ordering = spec.month_of or ("origin_date" if spec.partition_by else None)
        if ordering:
            now = now.filter(pl.col(ordering).is_between(rows[ordering].min(), rows[ordering].max()))
        return now.collect()

    def _merge(self, spec: LakeTable, table: object, rows: pl.DataFrame) -> None:
        nullable = set(rows.select(spec.key).columns) - {"store_id", "hour_utc"}
        same = [
            f"t.{k} IS NOT DISTINCT FROM s.{k}" if k in nullable and spec.name in TABLES else f"t.{k} = s.{k}"
            for k in spec.key
        ]
        if spec.month_of:
            months = ", ".join(f"'{month}'" for month in sorted(rows["month"].unique()))
            same = [f"t.month IN ({months})", "t.month = s.month", *same]
        merger = table.merge(rows.to_arrow(), " AND ".join(same), source_alias="s", target_alias="t")  # type: ignore[attr-defined]
        merger.when_matched_update_all().when_not_matched_insert_all().execute()

    def _write(self, spec: LakeTable, rows: pl.DataFrame, predicate: str | None) -> None:
        from deltalake import write_deltalake

        replacing = predicate is not None
        write_deltalake(
            self._path(spec.name), rows.to_arrow(), partition_by=list(spec.partition_by) or None,
            mode="overwrite" if replacing else "error", predicate=predicate,
        )  # fmt: skip

    def _shaped(self, spec: LakeTable, rows: pl.DataFrame) -> pl.DataFrame:
        """All columns in order, sorted by key, the month of the partition added."""
        absent = [pl.lit(None, dtype=d).alias(n) for n, d in spec.schema.items() if n not in rows.columns]
        full = rows.with_columns(absent).select(pl.col(n).cast(d) for n, d in spec.schema.items()).sort(spec.key)
        if spec.month_of:
            return full.with_columns(month=pl.col(spec.month_of).dt.strftime("%Y-%m"))
        return full

    def _open(self, table: str):  # type: ignore[no-untyped-def]
        from deltalake import DeltaTable

        return DeltaTable(self._path(table))

    def _path(self, table: str) -> str:
        if table not in LAKE:
            raise NotKnownError(f"unknown table {table}: the lake has {', '.join(LAKE)}")
        return str(self.root / table)

    def _retried(self, write: Callable[[], Written]) -> Written:
        """Runs a write again on the table's new state when another writer was there first."""
        from deltalake.exceptions import CommitFailedError, DeltaError

        for attempt in range(ATTEMPTS):
            try:
                return write()
            except (CommitFailedError, DeltaError, FileExistsError) as collision:
                if attempt == ATTEMPTS - 1 or not _collided(collision):
                    raise
                # Two writers that wait equally long would collide again.
                time.sleep(random.uniform(0.01, 0.1) * (attempt + 1))
        raise AssertionError("unreachable")


def _collided(error: Exception) -> bool:
    text = f"{type(error).__name__} {error}".lower()
    return any(word in text for word in ("commitfailed", "concurrent", "conflict", "already exists"))


def _merged(spec: LakeTable, rows: pl.DataFrame, stored: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    """Rows to write (nulls filled from what is stored), how many replace a stored row, how many change nothing."""
    values = [name for name in spec.schema if name not in spec.key]
    given = [name for name in values if name in rows.columns]
    old = stored.select(*spec.key, *(pl.col(n).alias(f"{n}_stored") for n in values), found=pl.lit(value=True))
    both = rows.join(old, on=list(spec.key), how="left", nulls_equal=True)
    filled = both.with_columns(
        pl.coalesce(n, f"{n}_stored") if n in given else pl.col(f"{n}_stored").alias(n) for n in values
    )
    known = pl.col("found").fill_null(value=False)
    same = pl.all_horizontal(pl.col(n).eq_missing(pl.col(f"{n}_stored")) for n in values)
    marked = filled.with_columns(unchanged=known & same)
    change = marked.filter(~pl.col("unchanged"))
    replaced = int(change.select(known.sum()).item())
    return change.select(list(spec.schema)), replaced, rows.height - change.height
