"""Merge: `marked` rows against the rows that are stored, a partition at a time."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from daypart.flows.lake.tables import GIVEN, LakeTable


@dataclass(frozen=True)
class Change:
    """How many of the told rows are new, change a stored one, or are there already."""

    new: int = 0
    replaced: int = 0
    unchanged: int = 0

    def __bool__(self) -> bool:
        return self.new + self.replaced > 0

    def __add__(self, other: "Change") -> "Change":
        return Change(self.new + other.new, self.replaced + other.replaced, self.unchanged + other.unchanged)


def change(table: LakeTable, stored: pl.LazyFrame, rows: pl.DataFrame) -> Change:
    """What `merged` would change."""
    matches = _known(table, stored, rows)
    same = table.filled(rows, matches).join(matches, on=matches.columns, how="semi", nulls_equal=True).height
    return Change(rows.height - matches.height, matches.height - same, same)


def merged(table: LakeTable, stored: pl.LazyFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """All rows of the partitions that `rows` lies in, told values in the place of stored ones.

    A null replaces a value as any other value does; a column that a row's source lacks keeps what is stored.
    """
    at_hand = table.within(stored, rows).collect().select(rows.drop(GIVEN).columns)
    rest = at_hand.join(rows, on=table.key, how="anti", nulls_equal=True)
    return pl.concat([rest, table.filled(rows, _known(table, at_hand.lazy(), rows))])


def added(table: LakeTable, stored: pl.LazyFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """The told rows whose keys are not stored, as they are stored."""
    return rows.join(_known(table, stored, rows), on=table.key, how="anti", nulls_equal=True).drop(GIVEN)


def is_stored(table: LakeTable, stored: pl.LazyFrame, parts: Iterable[pl.DataFrame]) -> bool:
    """Whether the stored rows are those of the parts, each of which has a span of the first key column to itself."""
    remaining, key = stored.select(pl.len()).collect().item(), table.key
    for part in parts:
        first, last = (pl.lit(end) for end in (part[key[0]].min(), part[key[0]].max()))
        span = stored.filter(pl.col(key[0]).is_between(first, last)).collect()
        if not span.select(part.columns).sort(key).equals(part.sort(key)):
            return False
        remaining -= span.height
    return bool(remaining == 0)


def _known(table: LakeTable, stored: pl.LazyFrame, rows: pl.DataFrame) -> pl.DataFrame:
    return table.within(stored, rows).join(rows.lazy(), on=table.key, how="semi", nulls_equal=True).collect()
