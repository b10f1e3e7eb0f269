"""Lists of refused rows: files for the people who correct them."""

from hashlib import sha256
from pathlib import Path

import polars as pl

from daypart.features.errors import ValueRefused
from daypart.flows.files import exports
from daypart.flows.files.atomic_files import atomic_write


def write(folder: Path, name: str, cells: pl.DataFrame) -> Path:
    """Write faulty cells as CSV and return the path; the same cells give the same file.

    One row per cell: file, row (of data, without the header), column, value, reason. `exports.neutralise` is applied
    to text. A reader sees the complete file or none.
    """
    text = exports.neutralise(cells).write_csv().encode()
    target = folder / f"{name}-{sha256(text).hexdigest()[:12]}.csv"
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as draft:
        draft.write_bytes(text)
    return target


def error(name: str, cells: pl.DataFrame, listed: Path) -> ValueRefused:
    """Return an error of one line: how many rows were refused, the first of them, and what to do."""
    count = count_rows(cells)
    first = cells.row(0, named=True)
    return ValueRefused(
        f"{name}: {count} {'row' if count == 1 else 'rows'} refused, nothing written; row {first['row']} of "
        f"{first['file']}: {first['column']} {first['value'] or ''!r} {first['reason']}; "
        f"correct what {listed} lists, or pass --skip-bad",
        cells,
    )


def count_rows(cells: pl.DataFrame) -> int:
    """Return the number of rows that the cells are in."""
    return cells.select("file", "row").unique().height


def count_reasons(cells: pl.DataFrame) -> dict[str, int]:
    """Return the number of faulty cells by column and reason, the most frequent first."""
    label = pl.concat_str("column", "reason", separator=" ").alias("reason")
    counts = cells.group_by(label).len().sort("len", "reason", descending=[True, False])
    return dict(counts.iter_rows())
