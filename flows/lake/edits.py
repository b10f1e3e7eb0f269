"""Removes rows from a table and adds others, in one commit that touches as few partitions as possible."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import polars as pl

from daypart.flows.lake import commits
from daypart.flows.lake.commits import FileChanges, TableVersion
from daypart.flows.lake.lake import CROWDED_FILES, Lake
from daypart.flows.lake.tables import LakeTable, lake_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

Plan = Callable[[pl.LazyFrame], "Edit"]


@dataclass(frozen=True)
class Edit:
    """Stored rows to remove, and rows to add. The key of an added row is either not stored or removed."""

    removed: pl.DataFrame
    added: pl.DataFrame


def edit(lake: Lake, table: str, plan: Plan, metadata: Mapping[str, str]) -> int | None:
    """Remove and add rows in one commit; return the version afterwards, null where there is no table.

    `plan` returns the edit for the stored rows. It is called again whenever another writer commits first. Only the
    partitions of removed rows and those crowded with files are rewritten, one of them in memory at a time. An edit
    without rows makes no version. `metadata` is stored with the commit. Raises as `Lake.upsert` for rows that do not
    fit.
    """
    spec = lake_table(table)

    def attempt(delta: "DeltaTable | None") -> int | None:
        stored = spec.empty().lazy() if delta is None else spec.with_all_columns(pl.scan_delta(delta))
        stored = stored.select(spec.empty().columns)
        change = plan(stored)
        if change.removed.is_empty() and change.added.is_empty():
            return None if delta is None else int(delta.version())
        change = Edit(change.removed, spec.conform(change.added))
        version = TableVersion(lake.root, spec, delta)
        return commits.commit(version, _file_changes(version, stored, change), metadata)

    return lake.commit_with_retries(table, attempt)


def _file_changes(version: TableVersion, stored: pl.LazyFrame, change: Edit) -> FileChanges:
    """Write the files of an edit, and return them with the files that they replace."""
    spec, delta = version.spec, version.delta
    if delta is None:
        return FileChanges(commits.write_files(version.root, spec, [change.added]))
    if spec.partition is None:
        removals = commits.removals(delta, None) if change.removed.height else []
        remaining = iter([_remaining_rows(spec, stored, change.removed)] if removals else [])
    else:
        rewritten = _partitions_to_rewrite(spec.partition, delta, change.removed, change.added)
        removals = commits.removals(delta, rewritten)
        within = (stored.filter(pl.col(spec.partition) == value) for value in rewritten)
        remaining = (_remaining_rows(spec, rows, change.removed) for rows in within)
    files = commits.write_files(version.root, spec, (rows for rows in chain(remaining, [change.added]) if rows.height))
    return FileChanges(files, removals)


def _remaining_rows(spec: LakeTable, stored: pl.LazyFrame, removed: pl.DataFrame) -> pl.DataFrame:
    """Return the stored rows that are not removed."""
    return stored.join(removed.lazy(), on=spec.key, how="anti", nulls_equal=True).collect()


def _partitions_to_rewrite(
    partition: str, delta: "DeltaTable", removed: pl.DataFrame, added: pl.DataFrame
) -> pl.Series:
    """Return the partitions that lose rows, and those of the added rows that have many files."""
    files = pl.DataFrame(delta.get_add_actions(flatten=True)).group_by(f"partition.{partition}").len()
    crowded = files.filter(pl.col("len") >= CROWDED_FILES).to_series().cast(pl.String)
    touched = added[partition].filter(added[partition].cast(pl.String).is_in(crowded.implode()))
    return pl.concat([removed[partition], touched]).unique().sort()
