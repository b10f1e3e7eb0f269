"""Integrity checks: whether the data files of the lake hold the bytes that were written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from daypart.features.errors import DamagedError
from daypart.flows.lake import checksums
from daypart.flows.lake.delta_log import RESTORE_REMEDY, Damage, DeltaLog
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import LAKE, lake_table


@dataclass(frozen=True)
class Verification:
    """Number of data files that were read, number of those without a checksum, and all damage."""

    files: int
    unverified: int
    damages: list[Damage]


def verify(lake: Lake) -> Verification:
    """Compare every data file of the newest version of every table with its checksum, and check all logs.

    A file without a checksum counts as unverified; only its size is compared. Files that only older versions need are
    not read: `check_versions` reads them before a rebuild.
    """
    files, unverified = 0, 0
    damages: list[Damage] = []
    for table in LAKE:
        log = DeltaLog(lake.root, lake_table(table)).damages()
        damages += log
        try:
            version = lake.version(table)
        except DamagedError as damaged:
            if not log:
                folder = str(lake.root / lake_table(table).name)
                damages.append(Damage(table, None, folder, f"cannot be opened ({damaged})", RESTORE_REMEDY))
            continue
        if version is not None:
            stored = lake.files(table, version)
            files += stored.height
            unverified += sum(checksums.recorded_checksum(Path(path).name) is None for path in stored["path"])
            damages += _damages(lake, table, version, stored)
    return Verification(files, unverified, damages)


def check_versions(lake: Lake, versions: Mapping[str, int], partitions: Mapping[str, object] | None = None) -> None:
    """Raise DamagedError if a data file of the tables' versions differs from what was written.

    Of a table in `partitions` only the files of that partition are read. Raises NotKnownError for a version that is
    not there.
    """
    damages: list[Damage] = []
    for table, version in versions.items():
        stored = lake.files(table, version)
        if partitions and table in partitions:
            column = pl.col(f"partition.{lake_table(table).partition}").cast(pl.String)
            stored = stored.filter(column == str(partitions[table]))
        damages += _damages(lake, table, version, stored)
    if damages:
        raise damaged_error(damages)


def damaged_error(damages: Sequence[Damage]) -> DamagedError:
    """Return the error that names the first damage and counts all of them."""
    more = f" ({len(damages)} damaged files in all)" if len(damages) > 1 else ""
    return DamagedError(f"{damages[0]}{more}")


def _damages(lake: Lake, table: str, version: int, stored: pl.DataFrame) -> Iterator[Damage]:
    folder = lake.root / lake_table(table).name
    for path, size in stored.select("path", "size_bytes").iter_rows():
        file = folder / unquote(path)
        if fault := checksums.fault(file, size):
            yield Damage(table, version, str(file), fault, RESTORE_REMEDY)
