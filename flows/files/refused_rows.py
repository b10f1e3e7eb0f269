"""The home's `refused/` folder: what was refused, listed for those who correct it."""

from hashlib import sha256
from pathlib import Path

import polars as pl

from daypart.features.errors import ValueRefused
from daypart.flows.files import exports
from daypart.flows.files.atomic_files import drafted


def write(folder: Path, name: str, cells: pl.DataFrame) -> Path:
    """Writes cells at fault as CSV and gives its path; the same faults give the same file.

    One row per cell: file, row (of data, the header not counted), column, value, reason. Text is `neutralised`. A
    reader sees the whole file or none.
    """
    text = exports.neutralised(cells).write_csv().encode()
    target = folder / f"{name}-{sha256(text).hexdigest()[:12]}.csv"
    folder.mkdir(parents=True, exist_ok=True)
    with drafted(target) as draft:
        draft.write_bytes(text)
    return target


def error(name: str, cells: pl.DataFrame, listed: Path) -> ValueRefused:
    """The one line that says how many rows were refused, shows the first and says what to do."""
    count = count_rows(cells)
    first = cells.row(0, named=True)
    return ValueRefused(
        f"{name}: {count} {'row' if count == 1 else 'rows'} refused, nothing written; row {first['row']} of "
        f"{first['file']}: {first['column']} {first['value'] or ''!r} {first['reason']}; "
        f"correct what {listed} lists, or pass --skip-bad",
        cells,
    )


def count_rows(cells: pl.DataFrame) -> int:
    """How many rows hold the cells."""
    return cells.select("file", "row").unique().height


def count_reasons(cells: pl.DataFrame) -> dict[str, int]:
    """Cells at fault by column and reason, the most frequent first."""
    label = pl.concat_str("column", "reason", separator=" ").alias("reason")
    counts = cells.group_by(label).len().sort("len", "reason", descending=[True, False])
    return dict(counts.iter_rows())
