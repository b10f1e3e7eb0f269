"""Upkeep of tables: compaction, checkpoints, retention of removed files, and deletion of old partitions."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import polars as pl

from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import lake_table

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

SMALL_FILE_BYTES = 32 * 2**20
"""Files smaller than this are compacted."""


def compact(lake: Lake, table: str, only: Collection[object] | None = None) -> int:
    """Merge the small files of each partition, sorted by key, in one commit; return the number of files merged.

    `only` restricts this to some partitions (default: all). One partition is in memory at a time. No row changes. If
    no partition has two small files, there is no new version.
    """

    def attempt(delta: "DeltaTable | None") -> int:
        file_sizes = _file_sizes(table, delta, None)
        parts = {value: sizes for value, sizes in file_sizes.items() if only is None or value in only}
        crowded = [value for value, sizes in parts.items() if sum(size < SMALL_FILE_BYTES for size in sizes) > 1]
        if delta is None or not crowded:
            return 0
        spec = lake_table(table)
        stored = spec.with_all_columns(pl.scan_delta(delta)).select(spec.empty().columns)
        name = spec.partition
        within = (stored if name is None else stored.filter(pl.col(name) == value) for value in crowded)
        partitions = None if name is None else pl.Series(name, crowded)
        lake.overwrite(table, (part.collect() for part in within), delta, "compact", partitions)
        return sum(len(parts[value]) for value in crowded)

    return lake.commit_with_retries(table, attempt)


def delete(lake: Lake, table: str, before: object) -> int:
    """Delete the partitions before a value, in one commit, and return how many there were."""

    def attempt(delta: "DeltaTable | None") -> int:
        spec = lake_table(table)
        old = list(_file_sizes(table, delta, before))
        if delta is not None and old:
            delta.delete(spec.predicate(pl.Series(old)), commit_properties=_commit("delete"))
        return len(old)

    return lake.commit_with_retries(table, attempt)


def partitions(lake: Lake, table: str, before: object = None) -> list[Any]:
    """Return the partitions with rows, sorted: all, or those before a value. Empty where there is no table."""
    return list(_file_sizes(table, lake.open(table), before))


def write_checkpoint(lake: Lake, table: str, version: int) -> None:
    """Write a checkpoint of a readable version, so that reading the version needs no earlier log entries."""
    lake.at_version(table, version).create_checkpoint()


def forget_removals(lake: Lake, table: str, days: int) -> None:
    """Let later checkpoints omit the files that were removed more than `days` days ago."""
    properties = {"delta.deletedFileRetentionDuration": f"interval {days} days"}

    def attempt(delta: "DeltaTable | None") -> None:
        if delta is not None and not properties.items() <= delta.metadata().configuration.items():
            delta.alter.set_table_properties(properties, commit_properties=_commit("retention"))

    lake.commit_with_retries(table, attempt)


def _commit(change: str) -> "CommitProperties":
    from deltalake import CommitProperties

    # The library must not retry: it would commit on top of a version that was not read here.
    return CommitProperties(custom_metadata={"change": change}, max_commit_retries=0)


def _file_sizes(table: str, delta: "DeltaTable | None", before: Any) -> dict[Any, list[int]]:
    """Return the file sizes by partition, of all or of those before a value; under null without partitions."""
    if delta is None:
        return {}
    spec, files = lake_table(table), pl.DataFrame(delta.get_add_actions(flatten=True))
    if spec.partition is None:
        return {None: files["size_bytes"].to_list()}
    dtype = spec.empty().schema[spec.partition]
    sizes = files.select(pl.col(f"partition.{spec.partition}").cast(dtype).alias("value"), "size_bytes").sort("value")
    chosen = sizes if before is None else sizes.filter(pl.col("value") < before)
    return dict(chosen.group_by("value", maintain_order=True).agg("size_bytes").iter_rows())
