"""What flows read: the lake's canonical tables as records, and the Delta version of each."""

from features.errors import NotKnownError
from features.records import Records
from features.tables import TABLES
from flows.adapters.lake import Lake


def read_records(lake: Lake) -> tuple[Records, dict[str, int]]:
    """Everything recorded, each table at one version, and those versions by table name.

    Raises NotKnownError where stores or demand were never ingested.
    """
    for needed in ("stores", "demand"):
        if not lake.exists(needed):
            raise NotKnownError(f"no table {needed} in {lake.root}: run `daypart ingest {needed} FILE` first")
    versions = {name: version for name in TABLES if (version := lake.version(name)) is not None}
    tables = {name: lake.scan(name, version).collect() for name, version in versions.items()}
    return Records.of({name: frame.sort(TABLES[name].key) for name, frame in tables.items()}), versions


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
