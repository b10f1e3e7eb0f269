"""The lake's tables: the canonical ones and what daypart writes itself, with key, partition and maker."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from daypart.features.errors import NotKnownError, SchemaError, ValueRefused
from daypart.features.tables import keys
from daypart.features.tables.schemas import TABLES

GIVEN = "given_columns"
"""Column of rows on their way into a table: bit n is set where the row's source has the table's column n."""
TEXT, NUMBER, DATE, MOMENT = pl.String(), pl.Float64(), pl.Date(), pl.Datetime("us")


@dataclass(frozen=True)
class LakeTable:
    """One table: `key` identifies a row (null equals null), `maker` is the command that fills it.

    Files are apart by `partition`, a column of the table or `month`, "YYYY-MM" of `month_of`. Both follow
    from the key, so a row never moves. Times are naive microseconds, UTC or the store's own as their names
    say.
    """

    name: str
    schema: Mapping[str, pl.DataType]
    key: tuple[str, ...]
    maker: str
    optional: frozenset[str] = frozenset()
    partition: str | None = None
    month_of: str | None = None

    def conformed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows as they are stored: every column, absent ones null, and the column of the partition.

        Raises SchemaError for columns that are unknown, missing or of another type, ValueRefused (with the
        rows) for a key that is given twice or lacks a part.
        """
        shaped = self._shaped(rows)
        needed = [name for name in self.key if name not in self.optional]
        lacking = shaped.filter(pl.any_horizontal(pl.col(needed).is_null()))
        if lacking.height:
            message = f"{self.name}: {lacking.height} rows lack {' or '.join(needed)}; fill them in"
            raise ValueRefused(message, lacking)
        if not keys.are_unique(shaped, self.key):
            twice = shaped.filter(shaped.select(self.key).is_duplicated())
            example = ", ".join(map(str, twice.select(self.key).row(0)))
            message = f"{self.name}: {twice.height} rows share a key, such as {example}; keep one of each"
            raise ValueRefused(message, twice)
        return shaped

    def marked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`conformed` rows with GIVEN, which says which columns `rows` has. Raises as `conformed`."""
        bits = sum(1 << n for n, name in enumerate(self.schema) if name in rows.columns)
        return self.conformed(rows).with_columns(pl.lit(bits, pl.Int64).alias(GIVEN))

    def gives(self, column: str) -> pl.Expr:
        """Whether the source of a `marked` row has the column."""
        return (pl.col(GIVEN) & (1 << list(self.schema).index(column))) != 0

    def filled(self, rows: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
        """The `marked` rows as they are stored: columns that a row's source lacks keep the stored row's value."""
        columns = [name for name in rows.columns if name != GIVEN]
        common = rows.select(pl.col(GIVEN).bitwise_and()).item() or 0
        lacking = [name for n, name in enumerate(self.schema) if not common & 1 << n and name not in self.key]
        if not lacking:
            return rows.select(columns)
        renamed = stored.select(*self.key, *(pl.col(name).alias(f"{name}_stored") for name in lacking))
        paired = rows.join(renamed, on=self.key, how="left", nulls_equal=True, validate="1:1")
        values = (pl.when(self.gives(name)).then(name).otherwise(f"{name}_stored").alias(name) for name in lacking)
        return paired.with_columns(values).select(columns)

    def apart(self, stored: pl.DataFrame) -> dict[str, pl.DataFrame]:
        """The stored rows by partition, their order kept; all under no name where the table has none."""
        if self.partition is None:
            return {"": stored}
        parts = stored.partition_by(self.partition, as_dict=True, maintain_order=True)
        return {str(value): part for (value,), part in parts.items()}

    def partitions(self, rows: pl.DataFrame) -> pl.Series | None:
        """The partitions that the rows lie in, sorted; null where the table has none."""
        return None if self.partition is None else rows[self.partition].unique().sort()

    def within(self, stored: pl.LazyFrame, rows: pl.DataFrame) -> pl.LazyFrame:
        """Those of the stored rows that lie in the partitions of `rows`."""
        parts = self.partitions(rows)
        return stored if parts is None else stored.filter(pl.col(parts.name).is_in(parts.implode()))

    def check_within(self, rows: pl.DataFrame, partition: object) -> None:
        """Raises ValueRefused, with the rows, where some lie outside a partition."""
        outside = rows.filter(pl.col(str(self.partition)) != partition)
        if outside.height:
            message = f"{self.name}: {outside.height} rows lie outside {self.partition} {partition}; leave them out"
            raise ValueRefused(message, outside)

    def predicate(self, partitions: pl.Series | None) -> str | None:
        """SQL that holds for the rows of some partitions; null = for all rows."""
        if partitions is None:
            return None
        return f"{self.partition} IN ({', '.join(repr(str(value)) for value in partitions)})"

    def whole(self, stored: pl.LazyFrame) -> pl.LazyFrame:
        """The stored rows with every column; one that came after they were written is null."""
        stored_schema = stored.collect_schema()
        later = [name for name in self.schema if name in self.optional and name not in stored_schema]
        return stored.with_columns(pl.lit(None, self.schema[name]).alias(name) for name in later)

    def empty(self) -> pl.DataFrame:
        """No rows, as they are stored."""
        return self._shaped(pl.DataFrame(schema=self.schema))

    def _shaped(self, rows: pl.DataFrame) -> pl.DataFrame:
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
            shaped = rows.with_columns(nulls).select(pl.col(n).cast(dtype) for n, dtype in self.schema.items())
        except pl.exceptions.PolarsError as failed:
            raise SchemaError(f"{self.name}: a column is of another type: {failed}; cast it first") from None
        if self.month_of is None:
            return shaped
        return shaped.with_columns(month=pl.col(self.month_of).dt.strftime("%Y-%m"))


def _canonical(name: str) -> LakeTable:
    table = TABLES[name]
    month_of = {"demand": "hour_utc", "labor": "hour_utc", "weather": "valid_utc"}.get(name)
    optional = frozenset(column.name for column in table.columns if not column.required)
    partition = "month" if month_of else None
    return LakeTable(name, table.schema, table.key, f"daypart ingest {name} FILE", optional, partition, month_of)


COUNT = pl.Int16()
TALLIES = {
    **{"store_id": TEXT, "target": TEXT, "origin_date": DATE, "date": DATE, "daypart": TEXT},
    **{"lead_days": COUNT, "model_version": TEXT, "tier": TEXT, "hours": COUNT, "held": COUNT, "banded": COUNT},
    **dict.fromkeys(("actual", "forecast", "incumbent", "error", "incumbent_error", "floor", "unscored"), NUMBER),
}
DECISIONS = {
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


FORECASTS = {
    **{"store_id": TEXT, "target": TEXT, "origin_date": DATE, "lead_days": pl.Int16()},
    **{"hour_local": MOMENT, "hour_utc": MOMENT, "business_date": DATE, "daypart": TEXT},
    **dict.fromkeys(("forecast", "q10", "q50", "q90", "incumbent"), NUMBER),
    **{"model_version": TEXT, "tier": TEXT, "basis": TEXT, "scale": NUMBER, "youth": NUMBER},
}
SCORES = {name: dtype for name, dtype in FORECASTS.items() if name not in ("q50", "tier", "basis", "scale", "youth")}
RUNS = {
    **{"run_id": TEXT, "job": TEXT, "started_utc": MOMENT, "finished_utc": MOMENT},
    **dict.fromkeys(("reads", "writes", "outcome"), TEXT),
}
AUDIT = {
    **{"sequence": pl.Int64(), "at_utc": MOMENT},
    **dict.fromkeys(("role", "activity", "unit", "details", "previous", "hash"), TEXT),
}
POS_LINES = {
    **{"store_id": TEXT, "date": DATE, "source": TEXT, "row": pl.Int64(), "occurrence": pl.Int64()},
    **{"ticket": TEXT, "item": TEXT, "at_local": MOMENT, "at_utc": MOMENT, "hour_local": MOMENT, "hour_utc": MOMENT},
    **{"millionths": pl.Int64(), "instant": pl.Boolean()},
}
POS_SOURCES = {
    **dict.fromkeys(("source", "sha256", "name", "mapping_sha256"), TEXT),
    **{"ingested_utc": MOMENT, "lines_read": pl.Int64(), "lines_kept": pl.Int64()},
    **{"first_hour_local": MOMENT, "last_hour_local": MOMENT, "stores": TEXT, "lines_version": pl.Int64()},
    **{"taken_back_utc": MOMENT},
}
FROM_POS = "daypart ingest pos FILE --mapping FILE.toml"
CLOCKS = {"table": TEXT, "store_id": TEXT, "clock": TEXT}
ANNOUNCED = {"unit": TEXT, "decided_on": DATE, "reason": TEXT, "event_id": TEXT}
TALLIED = LakeTable(
    "tallies", TALLIES, ("store_id", "target", "origin_date", "date", "daypart"), "daypart monitor",
    frozenset({"daypart", "floor", "unscored"}), "origin_date",
)  # fmt: skip
LAKE: dict[str, LakeTable] = {
    **{name: _canonical(name) for name in TABLES},
    "forecasts": _by_origin("forecasts", FORECASTS, "daypart forecast"),
    "scores": _by_origin("scores", {**SCORES, "actual": NUMBER, "idle": pl.Boolean()}, "daypart monitor"),
    "tallies": TALLIED,
    "decisions": LakeTable("decisions", DECISIONS, ("unit", "decided_on"), "daypart monitor", frozenset({"inputs"})),
    "runs": LakeTable("runs", RUNS, ("run_id",), "daypart train", frozenset({"finished_utc", "outcome"})),
    "audit": LakeTable("audit", AUDIT, ("sequence",), "daypart train"),
    "pos_lines": LakeTable(
        "pos_lines",
        POS_LINES,
        ("store_id", "date", "source", "row"),
        FROM_POS,
        frozenset({"item", "millionths"}),
        "date",
    ),
    "pos_sources": LakeTable(
        "pos_sources",
        POS_SOURCES,
        ("source",),
        FROM_POS,
        frozenset({"first_hour_local", "last_hour_local", "taken_back_utc"}),
    ),
    "clocks": LakeTable("clocks", CLOCKS, ("table", "store_id", "clock"), "daypart ingest demand FILE"),
    "announced": LakeTable("announced", ANNOUNCED, ("unit", "decided_on"), "daypart deploy"),
}
"""Every table by name. A decision's figures, policy and faults are JSON as text, as is what a run or a record says.

`pos_lines` has one row per line of a point of sale that counts, `date` the store's local date; `pos_sources` one per
file that they came from, `source` the first characters of its SHA-256, `stores` a JSON list, `lines_version` the
version of `pos_lines` that it speaks of: demand is the sum of the lines of the greatest one. `clocks` has one row per
table, store and clock, `local` or `utc`, by which rows came in.
"""


def lake_table(name: str) -> LakeTable:
    """The table of that name. Raises NotKnownError where there is none."""
    if name not in LAKE:
        raise NotKnownError(f"unknown table {name!r}: expected one of {', '.join(LAKE)}")
    return LAKE[name]
