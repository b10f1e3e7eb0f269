"""The tables of the lake: canonical tables and those that daypart computes, with key, partition and maker."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from daypart.features.errors import NotKnownError, SchemaError, ValueRefused
from daypart.features.tables import keys
from daypart.features.tables.schemas import TABLES

GIVEN_COLUMNS = "given_columns"
"""Column of rows before they are stored: bit n is set where the row's source has column n of the table."""
TEXT, NUMBER, DATE, TIMESTAMP = pl.String(), pl.Float64(), pl.Date(), pl.Datetime("us")


@dataclass(frozen=True)
class LakeTable:
    """One table: `key` identifies a row (null equals null), `maker` is the command that fills it.

    Files are partitioned by `partition`, a column of the table or `month`, "YYYY-MM" of the column `month_of`. Both
    are derived from the key, so that a row never changes its partition. Times are naive, in microseconds, in UTC or
    in the store's time zone as their names say.
    """

    name: str
    schema: Mapping[str, pl.DataType]
    key: tuple[str, ...]
    maker: str
    optional: frozenset[str] = frozenset()
    partition: str | None = None
    month_of: str | None = None

    def conform(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows as they are stored: every column, null where absent, and the column of the partition.

        Raises SchemaError for columns that are unknown, missing or of another type, ValueRefused (with the rows) for
        a key that occurs twice or has a null in a required column.
        """
        cast_rows = self._cast(rows)
        needed = [name for name in self.key if name not in self.optional]
        incomplete = cast_rows.filter(pl.any_horizontal(pl.col(needed).is_null()))
        if incomplete.height:
            message = f"{self.name}: {incomplete.height} rows lack {' or '.join(needed)}; fill them in"
            raise ValueRefused(message, incomplete)
        if not keys.are_unique(cast_rows, self.key):
            duplicates = cast_rows.filter(cast_rows.select(self.key).is_duplicated())
            example = ", ".join(map(str, duplicates.select(self.key).row(0)))
            message = f"{self.name}: {duplicates.height} rows share a key, such as {example}; keep one of each"
            raise ValueRefused(message, duplicates)
        return cast_rows

    def mark_given(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of `conform` with GIVEN_COLUMNS, which says which columns `rows` has. Raises as `conform`."""
        bits = sum(1 << n for n, name in enumerate(self.schema) if name in rows.columns)
        return self.conform(rows).with_columns(pl.lit(bits, pl.Int64).alias(GIVEN_COLUMNS))

    def is_given(self, column: str) -> pl.Expr:
        """Return an expression: whether the source of a row of `mark_given` has the column."""
        return (pl.col(GIVEN_COLUMNS) & (1 << list(self.schema).index(column))) != 0

    def fill_from_stored(self, rows: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
        """Return rows of `mark_given` as they are stored: columns that a row's source lacks get the stored value."""
        columns = [name for name in rows.columns if name != GIVEN_COLUMNS]
        common = rows.select(pl.col(GIVEN_COLUMNS).bitwise_and()).item() or 0
        absent_columns = [name for n, name in enumerate(self.schema) if not common & 1 << n and name not in self.key]
        if not absent_columns:
            return rows.select(columns)
        renamed = stored.select(*self.key, *(pl.col(name).alias(f"{name}_stored") for name in absent_columns))
        paired = rows.join(renamed, on=self.key, how="left", nulls_equal=True, validate="1:1")
        values = (
            pl.when(self.is_given(name)).then(name).otherwise(f"{name}_stored").alias(name) for name in absent_columns
        )
        return paired.with_columns(values).select(columns)

    def split_by_partition(self, stored: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """Return the rows by partition, in their order; all under "" where the table has no partition."""
        if self.partition is None:
            return {"": stored}
        parts = stored.partition_by(self.partition, as_dict=True, maintain_order=True)
        return {str(value): part for (value,), part in parts.items()}

    def partitions(self, rows: pl.DataFrame) -> pl.Series | None:
        """Return the partitions of the rows, sorted; null where the table has no partition."""
        return None if self.partition is None else rows[self.partition].unique().sort()

    def within(self, stored: pl.LazyFrame, rows: pl.DataFrame) -> pl.LazyFrame:
        """Return the stored rows that lie in the partitions of `rows`."""
        parts = self.partitions(rows)
        return stored if parts is None else stored.filter(pl.col(parts.name).is_in(parts.implode()))

    def check_within(self, rows: pl.DataFrame, partition: object) -> None:
        """Raise ValueRefused, with the rows, if some lie outside a partition."""
        outside = rows.filter(pl.col(str(self.partition)) != partition)
        if outside.height:
            message = f"{self.name}: {outside.height} rows lie outside {self.partition} {partition}; leave them out"
            raise ValueRefused(message, outside)

    def predicate(self, partitions: pl.Series | None) -> str | None:
        """Return the SQL condition for the rows of some partitions; null = all rows."""
        if partitions is None:
            return None
        return f"{self.partition} IN ({', '.join(repr(str(value)) for value in partitions)})"

    def with_all_columns(self, stored: pl.LazyFrame) -> pl.LazyFrame:
        """Return the stored rows with every column; a column that is newer than the rows is null."""
        stored_schema = stored.collect_schema()
        later = [name for name in self.schema if name in self.optional and name not in stored_schema]
        return stored.with_columns(pl.lit(None, self.schema[name]).alias(name) for name in later)

    def empty(self) -> pl.DataFrame:
        """Return a frame without rows, with the schema in which rows are stored."""
        return self._cast(pl.DataFrame(schema=self.schema))

    def _cast(self, rows: pl.DataFrame) -> pl.DataFrame:
        expected = ", ".join(self.schema)
        unknown = [name for name in rows.columns if name not in self.schema]
        if unknown:
            raise SchemaError(f"{self.name}: unknown column {', '.join(unknown)}; expected {expected}")
        absent = [name for name in self.schema if name not in rows.columns]
        missing = [name for name in absent if name not in self.optional]
        if missing:
            raise SchemaError(f"{self.name}: missing column {', '.join(missing)}; expected {expected}")
        nulls = [pl.lit(None, self.schema[name]).alias(name) for name in absent]
        try:
            cast_rows = rows.with_columns(nulls).select(pl.col(n).cast(dtype) for n, dtype in self.schema.items())
        except pl.exceptions.PolarsError as failed:
            raise SchemaError(f"{self.name}: a column is of another type: {failed}; cast it first") from None
        if self.month_of is None:
            return cast_rows
        return cast_rows.with_columns(month=pl.col(self.month_of).dt.strftime("%Y-%m"))


def _canonical(name: str) -> LakeTable:
    table = TABLES[name]
    month_of = {"demand": "hour_utc", "labor": "hour_utc", "weather": "valid_utc"}.get(name)
    optional = frozenset(column.name for column in table.columns if not column.required)
    partition = "month" if month_of else None
    return LakeTable(name, table.schema, table.key, f"daypart ingest {name} FILE", optional, partition, month_of)


COUNT = pl.Int16()
TALLY_COLUMNS = {
    **{"store_id": TEXT, "target": TEXT, "origin_date": DATE, "date": DATE, "daypart": TEXT},
    **{"lead_days": COUNT, "model_version": TEXT, "tier": TEXT, "hours": COUNT, "held": COUNT, "banded": COUNT},
    **dict.fromkeys(("actual", "forecast", "incumbent", "error", "incumbent_error", "floor", "unscored"), NUMBER),
}
DECISION_COLUMNS = {
    **{"unit": TEXT, "decided_on": DATE, "model_version": TEXT, "retrain": pl.Boolean()},
    **dict.fromkeys(("cause", "reason", "figures", "policy", "faults", "inputs"), TEXT),
}


def _by_origin(name: str, columns: Mapping[str, pl.DataType], maker: str) -> LakeTable:
    key = ("store_id", "target", "origin_date", "hour_utc")
    return LakeTable(
        name,
        columns,
        key,
        maker,
        frozenset({"daypart", "basis", "scale", "youth", "actual", "idle"} & set(columns)),
        "origin_date",
    )


FORECAST_COLUMNS = {
    **{"store_id": TEXT, "target": TEXT, "origin_date": DATE, "lead_days": pl.Int16()},
    **{"hour_local": TIMESTAMP, "hour_utc": TIMESTAMP, "business_date": DATE, "daypart": TEXT},
    **dict.fromkeys(("forecast", "q10", "q50", "q90", "incumbent"), NUMBER),
    **{"model_version": TEXT, "tier": TEXT, "basis": TEXT, "scale": NUMBER, "youth": NUMBER},
}
SCORE_COLUMNS = {
    name: dtype for name, dtype in FORECAST_COLUMNS.items() if name not in ("q50", "tier", "basis", "scale", "youth")
}
RUN_COLUMNS = {
    **{"run_id": TEXT, "job": TEXT, "started_utc": TIMESTAMP, "finished_utc": TIMESTAMP},
    **dict.fromkeys(("reads", "writes", "outcome"), TEXT),
}
AUDIT_COLUMNS = {
    **{"sequence": pl.Int64(), "at_utc": TIMESTAMP},
    **dict.fromkeys(("role", "activity", "unit", "details", "previous", "hash"), TEXT),
}
POS_LINE_COLUMNS = {
    **{"store_id": TEXT, "date": DATE, "source": TEXT, "row": pl.Int64(), "occurrence": pl.Int64()},
    **{
        "ticket": TEXT,
        "item": TEXT,
        "at_local": TIMESTAMP,
        "at_utc": TIMESTAMP,
        "hour_local": TIMESTAMP,
        "hour_utc": TIMESTAMP,
    },
    **{"millionths": pl.Int64(), "instant": pl.Boolean()},
}
POS_SOURCE_COLUMNS = {
    **dict.fromkeys(("source", "sha256", "name", "mapping_sha256"), TEXT),
    **{"ingested_utc": TIMESTAMP, "lines_read": pl.Int64(), "lines_kept": pl.Int64()},
    **{"first_hour_local": TIMESTAMP, "last_hour_local": TIMESTAMP, "stores": TEXT, "lines_version": pl.Int64()},
    **{"taken_back_utc": TIMESTAMP},
}
INGEST_POS = "daypart ingest pos FILE --mapping FILE.toml"
CLOCK_COLUMNS = {"table": TEXT, "store_id": TEXT, "clock": TEXT}
ANNOUNCEMENT_COLUMNS = {"unit": TEXT, "decided_on": DATE, "reason": TEXT, "event_id": TEXT}
TALLY_TABLE = LakeTable(
    "tallies", TALLY_COLUMNS, ("store_id", "target", "origin_date", "date", "daypart"), "daypart monitor",
    frozenset({"daypart", "floor", "unscored"}), "origin_date",
)  # fmt: skip
LAKE: dict[str, LakeTable] = {
    **{name: _canonical(name) for name in TABLES},
    "forecasts": _by_origin("forecasts", FORECAST_COLUMNS, "daypart forecast"),
    "scores": _by_origin("scores", {**SCORE_COLUMNS, "actual": NUMBER, "idle": pl.Boolean()}, "daypart monitor"),
    "tallies": TALLY_TABLE,
    "decisions": LakeTable(
        "decisions", DECISION_COLUMNS, ("unit", "decided_on"), "daypart monitor", frozenset({"inputs"})
    ),
    "runs": LakeTable("runs", RUN_COLUMNS, ("run_id",), "daypart train", frozenset({"finished_utc", "outcome"})),
    "audit": LakeTable("audit", AUDIT_COLUMNS, ("sequence",), "daypart train"),
    "pos_lines": LakeTable(
        "pos_lines",
        POS_LINE_COLUMNS,
        ("store_id", "date", "source", "row"),
        INGEST_POS,
        frozenset({"item", "millionths"}),
        "date",
    ),
    "pos_sources": LakeTable(
        "pos_sources",
        POS_SOURCE_COLUMNS,
        ("source",),
        INGEST_POS,
        frozenset({"first_hour_local", "last_hour_local", "taken_back_utc"}),
    ),
    "clocks": LakeTable("clocks", CLOCK_COLUMNS, ("table", "store_id", "clock"), "daypart ingest demand FILE"),
    "announced": LakeTable("announced", ANNOUNCEMENT_COLUMNS, ("unit", "decided_on"), "daypart deploy"),
}
"""Every table by name. Columns of text with several values, such as a decision's `figures`, hold JSON.

`pos_lines` has one row per line of a point of sale that counts; `date` is the store's local date. `pos_sources` has
one row per file of such lines: `source` holds the first characters of its SHA-256, `stores` a JSON list,
`lines_version` the version of `pos_lines` that the row describes. Demand is the sum of the lines at the greatest
`lines_version`. `clocks` has one row per table, store and clock (`local` or `utc`) by which rows were ingested.
"""


def lake_table(name: str) -> LakeTable:
    """Return the table of that name. Raises NotKnownError if there is none."""
    if name not in LAKE:
        raise NotKnownError(f"unknown table {name!r}: expected one of {', '.join(LAKE)}")
    return LAKE[name]
