"""A folder of tables becomes rows of the lake: every table that it has, in the order in which they need each other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from daypart.features.errors import InputError
from daypart.features.tables.schemas import TABLES
from daypart.flows.files.table_files import INPUT_ENDINGS
from daypart.flows.home import Home
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.ingest.ingest_report import IngestOptions, IngestReport
from daypart.forecasting.progress import part

LAST_TABLE = "demand"
"""It comes after the hours and closures by which its days are read."""


@dataclass(frozen=True)
class FolderReport:
    """What came of a folder: a report for each table, in the order of ingest, and what in it is named as no table."""

    tables: list[IngestReport]
    left_out: list[str]


def ingest_folders(
    home: Home, folders: Sequence[Path], options: IngestOptions, now: datetime | None = None
) -> FolderReport:
    """Ingest every table of the folders: stores first, demand last, each in one commit as `ingest_table` does it.

    A table is a file or a subfolder of files with the table's name: `stores.csv`, `demand/`. Anything else is left
    out and reported. Tables that come before one that is refused are kept; the same call again takes up from there.
    Raises InputError for a path that is no folder and for folders without any table.
    """
    paths, left_out = _find_tables(folders)
    if not paths:
        found = f"it holds {', '.join(left_out[:5])}" if left_out else "it is empty"
        raise InputError(
            f"{folders[0]}: {found}, expected files or folders named by table, such as stores.csv or demand/; "
            f"the tables are {', '.join(TABLES)}"
        )
    sizes = [sum(_size(path) for path in paths[table]) for table in paths]
    total, reports, done = max(sum(sizes), 1), [], 0
    for table, size in zip(paths, sizes, strict=True):
        progress = part(options.progress, done / total, (done + size) / total, table)
        reports.append(ingest_table(home, table, paths[table], replace(options, progress=progress), now))
        done += size
    return FolderReport(reports, left_out)


def _find_tables(folders: Sequence[Path]) -> tuple[dict[str, list[Path]], list[str]]:
    """Return the paths of each table that is there, in the order of ingest, and the names of all other entries."""
    found: dict[str, list[Path]] = {}
    left_out = []
    for folder in folders:
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "no such folder"
            raise InputError(f"{folder}: {what}; `daypart ingest all` takes a folder with files or folders by table")
        for entry in sorted(folder.iterdir()):
            table = _table_of(entry)
            if table is None:
                left_out.append(entry.name)
            else:
                found.setdefault(table, []).append(entry)
    in_order = sorted(TABLES, key=lambda table: (table != "stores", table == LAST_TABLE))
    return {table: found[table] for table in in_order if table in found}, left_out


def _table_of(entry: Path) -> str | None:
    """Return the table that a file or folder is named by, null for one that is not."""
    if entry.is_dir():
        name = entry.name
    else:
        ending = next((ending for ending in INPUT_ENDINGS if entry.name.lower().endswith(ending)), None)
        name = entry.name[: -len(ending)] if ending else ""
    return name if name in TABLES else None


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()) if file.is_file())
