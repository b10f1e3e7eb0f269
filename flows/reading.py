"""What flows read: the lake's canonical tables as records, and the Delta version of each."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import polars as pl

from features.errors import NotKnownError
from features.records import BY_STORE, Records
from features.tables import TABLES
from flows.adapters.lake import Lake

BY_HOUR = {"demand": "hour", "labor": "hour", "weather": "valid"}
"""Tables of which no more is read than asked for, and the moment that their rows speak of."""


def read_records(
    lake: Lake,
    store_ids: Sequence[str] | None = None,
    since: date | None = None,
    versions: Mapping[str, int] | None = None,
) -> tuple[Records, dict[str, int]]:
    """What is recorded, each table at one version, and those versions by table name.

    `store_ids` keeps what `Records.block` keeps, `since` drops demand, weather and labor of earlier local
    dates; what is not wanted is not read. `versions` are those of an earlier call: blocks read one after the
    other with them are of one state (a table without one is empty). Raises NotKnownError where stores or
    demand were never ingested, and for a version that is not there.
    """
    pinned = dict(versions) if versions is not None else _newest(lake)
    for needed in ("stores", "demand"):
        if needed not in pinned:
            raise NotKnownError(f"no table {needed} in {lake.root}: run `daypart ingest {needed} FILE` first")
    tables = {name: _rows(lake, name, version, store_ids, since) for name, version in pinned.items()}
    return Records.of(tables), pinned


def _newest(lake: Lake) -> dict[str, int]:
    return {name: version for name in TABLES if (version := lake.version(name)) is not None}


def _rows(lake: Lake, name: str, version: int, store_ids: Sequence[str] | None, since: date | None) -> pl.DataFrame:
    """The wanted rows of one table, in order of its key."""
    rows = lake.scan(name, version)
    if store_ids is not None and name in BY_STORE:
        ids = pl.Series(sorted(store_ids), dtype=pl.String)
        # Rows lie sorted by store: the span lets whole groups of them be skipped, which the list does not.
        span = pl.col("store_id").is_between(pl.lit(ids.min(), pl.String), pl.lit(ids.max(), pl.String))
        rows = rows.filter(span & pl.col("store_id").is_in(ids.implode()))
    if since is not None and (moment := BY_HOUR.get(name)):
        rows = rows.filter(pl.col(f"{moment}_local") >= since, pl.col(f"{moment}_utc") >= since - timedelta(days=1))
    return rows.collect().sort(TABLES[name].key)


def with_demand(records: Records, targets: tuple[str, ...] | None) -> tuple[str, ...]:
    """The asked targets, or all that have any demand. Raises NotKnownError for one that has none."""
    present = tuple(name for name in ("orders", "sales") if records.first_demand_on(name))
    missing = [name for name in targets or () if name not in present]
    if missing or not present:
        raise NotKnownError(
            f"no {' or '.join(missing) or 'demand'} in the lake; it has {', '.join(present) or 'nothing'}: "
            "ingest demand with that column first"
        )
    return targets or present
