"""The lake: Delta tables under one folder. Every write is one atomic commit, and every version stays readable."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import polars as pl

from features.errors import DaypartError, NotKnownError, SchemaError, ValueRefused
from features.tables import TABLES

if TYPE_CHECKING:
    from deltalake import DeltaTable

Written = TypeVar("Written")
Schema = Mapping[str, pl.DataType]
TEXT, NUMBER, DATE, MOMENT = pl.String(), pl.Float64(), pl.Date(), pl.Datetime("us")
PUBLISHED: Schema = {
    **{"store_id": TEXT, "target": TEXT, "origin_date": DATE, "lead_days": pl.Int16()},
    **{"hour_local": MOMENT, "hour_utc": MOMENT, "business_date": DATE, "daypart": TEXT},
    **dict.fromkeys(("forecast", "q10", "q50", "q90", "incumbent"), NUMBER),
    **{"model_version": TEXT, "tier": TEXT, "basis": TEXT},
}
SCORED: Schema = {n: t for n, t in PUBLISHED.items() if n not in ("q50", "tier", "basis")} | {
    "actual": NUMBER
}
RUNS: Schema = {
    **{"run_id": TEXT, "job": TEXT, "started_utc": MOMENT, "finished_utc": MOMENT},
    **{"reads": TEXT, "writes": TEXT, "outcome": TEXT},
}


@dataclass(frozen=True)
class LakeTable:
    """One table: `key` identifies a row (null equals null), `maker` is the command that fills it.

    Files are apart by `partition`, a column of the table or `month`, "YYYY-MM" of `month_of`; both follow from
    the key, so that a row never moves. Times are naive UTC or naive local microseconds, as their names say.
    """

    name: str
    schema: Schema
    key: tuple[str, ...]
    maker: str
    optional: frozenset[str] = frozenset()
    partition: str | None = None
    month_of: str | None = None


def _canonical(name: str) -> LakeTable:
    table = TABLES[name]
    month_of = {"demand": "hour_utc", "labor": "hour_utc", "weather": "valid_utc"}.get(name)
    optional = frozenset(column.name for column in table.columns if not column.required)
    maker = f"daypart ingest {name} FILE"
    return LakeTable(name, table.schema, table.key, maker, optional, "month" if month_of else None, month_of)


_PUBLISHED_KEY = ("store_id", "target", "origin_date", "hour_utc")
_LOOSE = frozenset({"daypart", "basis"})
LAKE: dict[str, LakeTable] = {
    **{name: _canonical(name) for name in TABLES},
    "forecasts": LakeTable("forecasts", PUBLISHED, _PUBLISHED_KEY, "daypart forecast", _LOOSE, "origin_date"),
    "scores": LakeTable("scores", SCORED, _PUBLISHED_KEY, "daypart monitor", _LOOSE, "origin_date"),
    "runs": LakeTable("runs", RUNS, ("run_id",), "daypart train", frozenset({"finished_utc", "outcome"})),
}
"""Every table: one row per key. `reads`, `writes` and `outcome` of runs are JSON objects as text."""

ATTEMPTS = 40
CROWDED_FILES = 64
"""Files in the partitions at hand from which new rows are merged in rather than laid beside."""
KEEP_EVERYTHING = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}


@dataclass(frozen=True)
class Upserted:
    """How many rows were new, changed a stored one, or were there already; and the table's version since."""

    taken: int
    replaced: int
    unchanged: int
    version: int


class Lake:
    """The tables under `root`. Readers see whole commits only.

    A commit stands only if nobody else committed to the table since it was read; else the write starts over on
    what is there now. So writers act as if one after the other. Every method raises NotKnownError for a table
    that is not one of LAKE.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def columns(self, table: str) -> list[str]:
        """The table's columns, in order."""
        return list(_spec(table).schema)

    def exists(self, table: str) -> bool:
        """Whether the table was ever written."""
        return self._open(table) is not None

    def version(self, table: str) -> int | None:
        """The newest version; null where there is no table. Versions count from 0."""
        delta = self._open(table)
        return None if delta is None else delta.version()

    def versions(self) -> dict[str, int]:
        """The newest version of every table that exists."""
        found = {name: self.version(name) for name in LAKE}
        return {name: version for name, version in found.items() if version is not None}

    def history(self, table: str) -> pl.DataFrame:
        """One row per version, newest first: version, written_utc, change (created, upsert, replace, append).

        Raises NotKnownError where there is no table.
        """
        entries = self._known(table).history()
        rows = [(e["version"], e["timestamp"], e.get("change", e["operation"])) for e in entries]
        names = {"version": pl.Int64, "milliseconds": pl.Int64, "change": pl.String}
        moment = pl.from_epoch("milliseconds", "ms").cast(MOMENT).alias("written_utc")
        return pl.DataFrame(rows, names, orient="row").select("version", moment, "change")

    def scan(self, table: str, version: int | None = None) -> pl.LazyFrame:
        """The table's rows at a version (default: the newest), in no order, with exactly its columns.

        Raises NotKnownError where there is no such table or version.
        """
        return _rows(_spec(table), self._known(table, version)).select(self.columns(table))

    def scan_or_empty(self, table: str) -> pl.LazyFrame:
        """The table's rows; none where there is no table."""
        return self.scan(table) if self.exists(table) else pl.LazyFrame(schema=_spec(table).schema)

    def upsert(self, table: str, rows: pl.DataFrame) -> Upserted:
        """Merges rows by key in one commit; a later value takes the place of the stored one.

        Where `rows` lacks a column or holds a null, the stored value stays. Rows that change nothing are not
        written, and if none does there is no new version. Only partitions that change are touched. Raises
        ValueRefused for a key given twice or not at all, SchemaError for columns that do not fit.
        """
        spec = _spec(table)
        told = _keyed(spec, _shaped(spec, rows))
        return self._committed(table, lambda delta: self._upsert(spec, told, delta))

    def replace(self, table: str, rows: pl.DataFrame, where: Mapping[str, object]) -> int:
        """Puts rows in the place of those whose key columns equal `where`, in one commit; the version since.

        Rows must match `where` themselves; none deletes. If they are what is stored there is no new version.
        Raises as `upsert`, and ValueRefused for rows outside `where`.
        """
        spec = _spec(table)
        if not set(where) <= set(spec.key):
            raise SchemaError(
                f"{table}: cannot replace by {', '.join(where)}; expected {', '.join(spec.key)}"
            )
        told = _keyed(spec, _shaped(spec, rows))
        match = pl.all_horizontal(pl.col(name).eq_missing(pl.lit(value)) for name, value in where.items())
        outside = told.filter(~match)
        if outside.height:
            raise ValueRefused(
                f"{table}: {outside.height} rows lie outside {dict(where)}; leave them out", outside
            )
        return self._committed(table, lambda delta: self._replace(spec, told, match, delta))

    def append(self, table: str, rows: pl.DataFrame) -> int:
        """Adds rows in one commit without reading; the version since. Their keys must be new, else see `upsert`."""
        spec = _spec(table)
        told = _keyed(spec, _shaped(spec, rows))
        return self._committed(table, lambda delta: self._write(spec, told, delta, "append"))

    def _upsert(self, spec: LakeTable, told: pl.DataFrame, delta: "DeltaTable | None") -> Upserted:
        if delta is None:
            return Upserted(told.height, 0, 0, self._write(spec, told, delta, "upsert"))
        key = list(spec.key)
        at_hand = _rows(spec, delta, _parts(spec, told))
        known = at_hand.join(told.lazy(), on=key, how="semi", nulls_equal=True).collect()
        filled = _filled(spec, told, known)
        changed = filled.join(known, on=filled.columns, how="anti", nulls_equal=True)
        replaced = changed.join(known, on=key, how="semi", nulls_equal=True).height
        new = told.height - known.height
        if changed.is_empty():
            return Upserted(new, replaced, known.height, delta.version())
        parts = _parts(spec, changed)
        crowded = len(delta.file_uris(file_pruning_predicate=_predicate(spec, parts))) >= CROWDED_FILES
        if replaced or crowded:
            rest = _rows(spec, delta, parts).join(changed.lazy(), on=key, how="anti", nulls_equal=True)
            version = self._write(
                spec, pl.concat([rest.collect(), changed]), delta, "upsert", "overwrite", parts
            )
        else:
            version = self._write(spec, changed, delta, "upsert")
        return Upserted(new, replaced, told.height - new - replaced, version)

    def _replace(
        self, spec: LakeTable, told: pl.DataFrame, match: pl.Expr, delta: "DeltaTable | None"
    ) -> int:
        if delta is None:
            return self._write(spec, told, delta, "replace")
        before = _rows(spec, delta).filter(match).collect()
        if before.sort(spec.key).equals(told.sort(spec.key)):
            return delta.version()
        parts = _parts(spec, pl.concat([before, told]))
        rest = _rows(spec, delta, parts).filter(~match).collect()
        return self._write(spec, pl.concat([rest, told]), delta, "replace", "overwrite", parts)

    def _write(
        self,
        spec: LakeTable,
        rows: pl.DataFrame,
        delta: "DeltaTable | None",
        change: str,
        mode: Literal["append", "overwrite"] = "append",
        over: pl.Series | None = None,
    ) -> int:
        """Commits rows as the version after `delta`'s: beside the others, or over all of the partitions `over`."""
        from deltalake import CommitProperties, write_deltalake

        # Without retries of its own the library never commits on top of a version that was not read here.
        commit = CommitProperties(custom_metadata={"change": change}, max_commit_retries=0)
        version = 0 if delta is None else delta.version() + 1
        write_deltalake(
            delta or self.root / spec.name,
            rows.sort(spec.key),
            mode="error" if delta is None else mode,
            predicate=_predicate(spec, over),
            partition_by=None if spec.partition is None else [spec.partition],
            configuration=KEEP_EVERYTHING if delta is None else None,
            commit_properties=commit,
        )
        return version

    def _committed(self, table: str, attempt: Callable[["DeltaTable | None"], Written]) -> Written:
        """What `attempt` made of the newest version, tried again whenever another writer came first."""
        from deltalake.exceptions import DeltaError

        for tried in range(ATTEMPTS):
            delta = self._open(table)
            base = None if delta is None else delta.version()
            try:
                return attempt(delta)
            except DeltaError as failed:
                if self.version(table) == base:
                    raise DaypartError(
                        f"{table} was not written, version {base} stands: {failed}"
                    ) from failed
            # Two writers that wait equally long would meet again.
            time.sleep(random.uniform(0.5, 1.0) * min(0.5, 0.01 * 2**tried))
        raise DaypartError(
            f"{table}: other writers came first {ATTEMPTS} times; stop one of them and run again"
        )

    def _open(self, table: str, version: int | None = None) -> "DeltaTable | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self.root / _spec(table).name, version=version)
        except TableNotFoundError:
            return None

    def _known(self, table: str, version: int | None = None) -> "DeltaTable":
        from deltalake.exceptions import DeltaError

        newest = self._open(table)
        if newest is None:
            raise NotKnownError(f"no table {table} in {self.root}: run `{_spec(table).maker}` first")
        if version is None or version == newest.version():
            return newest
        try:
            newest.load_as_version(version)
        except (DeltaError, OverflowError):
            last = self.version(table)
            raise NotKnownError(f"{table} has no version {version}: choose one from 0 to {last}") from None
        return newest


def _spec(table: str) -> LakeTable:
    if table not in LAKE:
        raise NotKnownError(f"unknown table {table!r}: expected one of {', '.join(LAKE)}")
    return LAKE[table]


def _rows(spec: LakeTable, delta: "DeltaTable", parts: pl.Series | None = None) -> pl.LazyFrame:
    """The table's rows with the column that files are apart by; of some partitions only, where given."""
    rows = pl.scan_delta(delta)
    return (
        rows
        if spec.partition is None or parts is None
        else rows.filter(pl.col(spec.partition).is_in(parts.implode()))
    )


def _parts(spec: LakeTable, rows: pl.DataFrame) -> pl.Series | None:
    """The partitions that rows lie in; null where the table has none."""
    return None if spec.partition is None else rows[spec.partition].unique().sort()


def _predicate(spec: LakeTable, parts: pl.Series | None) -> str | None:
    if parts is None:
        return None
    return f"{spec.partition} IN ({', '.join(f"'{part}'" for part in parts)})"


def _shaped(spec: LakeTable, rows: pl.DataFrame) -> pl.DataFrame:
    """All columns in order and of their types, absent ones null, with the column that files are apart by."""
    unknown = [name for name in rows.columns if name not in spec.schema]
    missing = [name for name in spec.schema if name not in rows.columns and name not in spec.optional]
    if unknown or missing:
        raise SchemaError(
            f"{spec.name}: unknown columns {unknown}, missing {missing}; expected {', '.join(spec.schema)}"
        )
    absent = [pl.lit(None, dtype).alias(n) for n, dtype in spec.schema.items() if n not in rows.columns]
    try:
        whole = rows.with_columns(absent).select(list(spec.schema)).cast(dict(spec.schema))
    except pl.exceptions.PolarsError as failed:
        raise SchemaError(f"{spec.name}: columns do not fit their types: {failed}") from None
    if spec.month_of is None:
        return whole
    return whole.with_columns(month=pl.col(spec.month_of).dt.strftime("%Y-%m"))


def _keyed(spec: LakeTable, rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows, if each has a key of its own."""
    needed = [name for name in spec.key if name not in spec.optional]
    lacking = rows.filter(pl.any_horizontal(pl.col(needed).is_null()))
    if lacking.height:
        raise ValueRefused(
            f"{spec.name}: {lacking.height} rows lack {' or '.join(needed)}; fill them in", lacking
        )
    twice = rows.filter(rows.select(spec.key).is_duplicated())
    if twice.height:
        example = ", ".join(map(str, twice.select(spec.key).row(0)))
        raise ValueRefused(
            f"{spec.name}: {twice.height} rows share a key, such as {example}; keep one of each", twice
        )
    return rows


def _filled(spec: LakeTable, rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Rows whose nulls are filled from the stored row of the same key."""
    values = [name for name in rows.columns if name not in spec.key]
    stored = known.rename({name: f"{name}_stored" for name in values})
    paired = rows.join(stored, on=spec.key, how="left", nulls_equal=True, validate="1:1")
    return paired.select(*spec.key, *(pl.coalesce(n, f"{n}_stored").alias(n) for n in values)).select(
        rows.columns
    )
