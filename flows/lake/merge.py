"""Compares and merges rows of `LakeTable.mark_given` with the stored rows, one partition at a time."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from daypart.flows.lake.tables import GIVEN_COLUMNS, LakeTable


@dataclass(frozen=True)
class ChangeCounts:
    """Number of rows that are new, that change a stored row, and that are stored already."""

    new: int = 0
    replaced: int = 0
    unchanged: int = 0

    def __bool__(self) -> bool:
        return self.new + self.replaced > 0

    def __add__(self, other: "ChangeCounts") -> "ChangeCounts":
        return ChangeCounts(self.new + other.new, self.replaced + other.replaced, self.unchanged + other.unchanged)


def count_changes(table: LakeTable, stored: pl.LazyFrame, rows: pl.DataFrame) -> ChangeCounts:
    """Return how many rows `merge_rows` would add, replace and leave unchanged."""
    matches = _stored_matches(table, stored, rows)
    same = table.fill_from_stored(rows, matches).join(matches, on=matches.columns, how="semi", nulls_equal=True).height
    return ChangeCounts(rows.height - matches.height, matches.height - same, same)


def merge_rows(table: LakeTable, stored: pl.LazyFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return all rows of the partitions of `rows`, where values of `rows` replace the stored values.

    A null replaces a stored value too. A column that a row's source lacks keeps the stored value.
    """
    partition_rows = table.within(stored, rows).collect().select(rows.drop(GIVEN_COLUMNS).columns)
    untouched = partition_rows.join(rows, on=table.key, how="anti", nulls_equal=True)
    return pl.concat([untouched, table.fill_from_stored(rows, _stored_matches(table, partition_rows.lazy(), rows))])


def new_rows(table: LakeTable, stored: pl.LazyFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose keys are not stored yet, in the form in which they are stored."""
    return rows.join(_stored_matches(table, stored, rows), on=table.key, how="anti", nulls_equal=True).drop(
        GIVEN_COLUMNS
    )


def is_stored(table: LakeTable, stored: pl.LazyFrame, parts: Iterable[pl.DataFrame]) -> bool:
    """Return whether the stored rows equal those of the parts.

    The values of the first key column of two parts must not overlap.
    """
    remaining, key = stored.select(pl.len()).collect().item(), table.key
    for part in parts:
        first, last = (pl.lit(end) for end in (part[key[0]].min(), part[key[0]].max()))
        span = stored.filter(pl.col(key[0]).is_between(first, last)).collect()
        if not span.select(part.columns).sort(key).equals(part.sort(key)):
            return False
        remaining -= span.height
    return bool(remaining == 0)


def _stored_matches(table: LakeTable, stored: pl.LazyFrame, rows: pl.DataFrame) -> pl.DataFrame:
    return table.within(stored, rows).join(rows.lazy(), on=table.key, how="semi", nulls_equal=True).collect()
