"""Upkeep of the lake's tables: commits and checkpoints that change no row, and the deletion of old partitions."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import polars as pl

from flows.adapters.lake import Lake
from flows.adapters.lake_tables import lake_table

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable

SMALL_FILE_BYTES = 32 * 2**20
"""Files below this size are put together."""


def compact(lake: Lake, table: str, only: Collection[object] | None = None) -> int:
    """Puts the small files of each partition together, sorted by key, in one commit; how many files took part.

    `only` some partitions are touched, default all, one of them in memory at a time. No row changes; where no partition
    has two small files there is no new version.
    """

    def attempt(delta: "DeltaTable | None") -> int:
        found = _file_sizes(table, delta, None)
        parts = {value: sizes for value, sizes in found.items() if only is None or value in only}
        crowded = [value for value, sizes in parts.items() if sum(size < SMALL_FILE_BYTES for size in sizes) > 1]
        if delta is None or not crowded:
            return 0
        spec = lake_table(table)
        stored = spec.whole(pl.scan_delta(delta)).select(spec.empty().columns)
        name = spec.partition
        within = (stored if name is None else stored.filter(pl.col(name) == value) for value in crowded)
        partitions = None if name is None else pl.Series(name, crowded)
        lake.overwrite(table, (part.collect() for part in within), delta, "compact", partitions)
        return sum(len(parts[value]) for value in crowded)

    return lake.committed(table, attempt)


def delete(lake: Lake, table: str, before: object) -> int:
    """Deletes the partitions before a value in one commit; how many there were."""

    def attempt(delta: "DeltaTable | None") -> int:
        spec = lake_table(table)
        old = list(_file_sizes(table, delta, before))
        if delta is not None and old:
            delta.delete(spec.predicate(pl.Series(old)), commit_properties=_commit("delete"))
        return len(old)

    return lake.committed(table, attempt)


def partitions(lake: Lake, table: str, before: object = None) -> list[Any]:
    """The partitions that hold any row, of those before a value or all, sorted; none where there is no table."""
    return list(_file_sizes(table, lake.open(table), before))


def write_checkpoint(lake: Lake, table: str, version: int) -> None:
    """Writes down the state at a version that can be read: from then on reading it needs no earlier log entries."""
    lake.at_version(table, version).create_checkpoint()


def forget_removals(lake: Lake, table: str, days: int) -> None:
    """Lets later checkpoints leave out the files that were removed more than so many days ago."""
    properties = {"delta.deletedFileRetentionDuration": f"interval {days} days"}

    def attempt(delta: "DeltaTable | None") -> None:
        if delta is not None and not properties.items() <= delta.metadata().configuration.items():
            delta.alter.set_table_properties(properties, commit_properties=_commit("retention"))

    lake.committed(table, attempt)


def _commit(change: str) -> "CommitProperties":
    from deltalake import CommitProperties

    # Without retries of its own the library never commits on top of a version that was not read here.
    return CommitProperties(custom_metadata={"change": change}, max_commit_retries=0)


def _file_sizes(table: str, delta: "DeltaTable | None", before: Any) -> dict[Any, list[int]]:
    """The sizes of the files by partition, of those before a value or all; all under null without partitions."""
    if delta is None:
        return {}
    spec, found = lake_table(table), pl.DataFrame(delta.get_add_actions(flatten=True))
    if spec.partition is None:
        return {None: found["size_bytes"].to_list()}
    dtype = spec.empty().schema[spec.partition]
    named = found.select(pl.col(f"partition.{spec.partition}").cast(dtype).alias("value"), "size_bytes").sort("value")
    chosen = named if before is None else named.filter(pl.col("value") < before)
    return dict(chosen.group_by("value", maintain_order=True).agg("size_bytes").iter_rows())
