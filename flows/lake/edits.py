"""Edits: rows removed from a table and others added, in one commit that touches only the partitions that it must."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import polars as pl

from daypart.flows.lake import commits
from daypart.flows.lake.lake import CROWDED_FILES, Lake
from daypart.flows.lake.tables import LakeTable, lake_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

Plan = Callable[[pl.LazyFrame], "Edit"]


@dataclass(frozen=True)
class Edit:
    """Stored rows to remove, and rows to add, whose keys are not stored or removed."""

    removed: pl.DataFrame
    added: pl.DataFrame


def edit(lake: Lake, table: str, plan: Plan, metadata: Mapping[str, str]) -> int | None:
    """Remove and add rows in one commit, as `plan` says of the stored ones; the version since, null where none is.

    Only the partitions of removed rows are written anew, and those crowded with files, one of them in memory at a time.
    `plan` is asked again wherever another writer came first. An edit without rows makes no version; `metadata` is kept
    with the commit. Raises as `Lake.upsert` for rows that do not fit.
    """
    spec = lake_table(table)

    def attempt(delta: "DeltaTable | None") -> int | None:
        stored = spec.empty().lazy() if delta is None else spec.whole(pl.scan_delta(delta))
        stored = stored.select(spec.empty().columns)
        change = plan(stored)
        if change.removed.is_empty() and change.added.is_empty():
            return None if delta is None else int(delta.version())
        added = spec.conformed(change.added)
        if delta is None:
            return commits.commit(lake.root, spec, None, commits.write_files(lake.root, spec, [added]), (), metadata)
        if spec.partition is None:
            removals = commits.removals(delta, None) if change.removed.height else []
            rest = iter([_rest(spec, stored, change.removed)] if removals else [])
        else:
            anew = _written_anew(spec.partition, delta, change.removed, added)
            removals = commits.removals(delta, anew)
            within = (stored.filter(pl.col(spec.partition) == value) for value in anew)
            rest = (_rest(spec, rows, change.removed) for rows in within)
        files = commits.write_files(lake.root, spec, (rows for rows in chain(rest, [added]) if rows.height))
        return commits.commit(lake.root, spec, delta, files, removals, metadata)

    return lake.committed(table, attempt)


def _rest(spec: LakeTable, stored: pl.LazyFrame, removed: pl.DataFrame) -> pl.DataFrame:
    return stored.join(removed.lazy(), on=spec.key, how="anti", nulls_equal=True).collect()


def _written_anew(partition: str, delta: "DeltaTable", removed: pl.DataFrame, added: pl.DataFrame) -> pl.Series:
    """The partitions that lose rows, and those of the added rows that have many files."""
    files = pl.DataFrame(delta.get_add_actions(flatten=True)).group_by(f"partition.{partition}").len()
    crowded = files.filter(pl.col("len") >= CROWDED_FILES).to_series().cast(pl.String)
    touched = added[partition].filter(added[partition].cast(pl.String).is_in(crowded.implode()))
    return pl.concat([removed[partition], touched]).unique().sort()
