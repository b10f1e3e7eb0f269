"""Files that people hand in: CSV (plain or gzipped), Parquet and Excel, alone or in folders."""

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from daypart.features.errors import InputError
from daypart.flows.files import exports, sheets

ENDINGS = (".csv", ".csv.gz", ".parquet", sheets.ENDING)
PER_DAY = {"d": 1, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
CALENDAR_DAYS = (date.min - date(1970, 1, 1)).days, (date.max - date(1970, 1, 1)).days
DELIMITERS = ",;\t|"
MOST_EXTRA = 256
"""Cells of a line beyond those of the header that are looked at."""


def find(paths: Sequence[Path | str]) -> list[Path]:
    """The files themselves and those in the folders, sorted by name within each, every file once.

    Raises InputError for a path that is not there, a folder without data and a file of another kind.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if _is_folder(path):
            inside = sorted(entry for entry in path.iterdir() if entry.is_file() and _is_data(entry))
            if not inside:
                raise InputError(f"{path}: holds no {', '.join(ENDINGS)} file; name a folder that does")
            files += inside
        elif not path.exists():
            raise InputError(f"{path}: no such file or folder; check the path")
        elif not _is_data(path):
            raise InputError(f"{path}: is of no known kind; expected {', '.join(ENDINGS)}")
        else:
            files.append(path)
    return list({path.resolve(): path for path in files}.values())


def read(
    path: Path, delimiter: str = ",", encoding: str = "utf-8", skip_lines: int = 0, sheet: str | None = None
) -> pl.DataFrame:
    """The file's cells: all text from CSV, as they are from Parquet and Excel. Raises InputError naming the file.

    The header of CSV and Excel comes after `skip_lines` lines; `sheet` is that of an Excel file with several. Text that
    an export has `neutralised` is as it was before, so that a store's id comes back as itself. A line of CSV may end in
    more delimiters than the header.
    """
    ending, kind = path.name.lower(), "CSV"
    if ending.endswith(sheets.ENDING):
        return exports.restored(sheets.read(path, sheet, skip_lines))
    try:
        if ending.endswith(".parquet"):
            kind = "Parquet"
            return _of_calendar(path, pl.read_parquet(path.absolute(), glob=False))
        frame = _read_csv(path, _source(path, encoding), delimiter, skip_lines)
    except pl.exceptions.NoDataError:
        below = f" below line {skip_lines}" if skip_lines else ""
        raise InputError(f"{path}: is empty{below}; expected a header and rows") from None
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        if "utf-8" in str(error):
            raise _encoding_error(path, encoding) from None
        cause = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read as {kind} ({cause}); export it anew") from None
    if any("\ufffd" in name or "\x00" in name for name in frame.columns):
        raise _encoding_error(path, encoding)
    _refuse_other_delimiter(path, frame.columns, delimiter)
    _refuse_repeated(path, frame.columns)
    return exports.restored(frame)


def head(path: Path, delimiter: str, encoding: str, lines: int) -> list[tuple[int, list[str]]]:
    """The first rows of a CSV file, as far as it can be read, and the lines on which they begin, counted from 1."""
    rows, at = [], 1
    try:
        with open_binary(path) as file, io.TextIOWrapper(file, _with_mark(encoding), "strict", newline="") as text:
            reader = csv.reader(text, delimiter=delimiter)
            for row in reader:
                rows.append((at, row))
                at = reader.line_num + 1
                if at > lines:
                    break
    except (csv.Error, ValueError, LookupError, OSError, EOFError, zlib.error):
        return rows  # to read it as a table says what is wrong
    return rows


def _read_csv(path: Path, source: Path | bytes, delimiter: str, skip_lines: int) -> pl.DataFrame:
    try:
        return pl.read_csv(source, separator=delimiter, infer_schema=False, glob=False, skip_lines=skip_lines)
    except pl.exceptions.ComputeError as error:
        if "more fields" not in str(error):
            raise
    columns = pl.read_csv(
        source, separator=delimiter, infer_schema=False, glob=False, skip_lines=skip_lines, n_rows=0
    ).columns
    extra = [f"\0{n}" for n in range(MOST_EXTRA)]
    frame = pl.read_csv(
        source,
        separator=delimiter,
        has_header=False,
        skip_lines=skip_lines + 1,
        schema=dict.fromkeys([*columns, *extra], pl.String()),
        missing_columns="insert",
        truncate_ragged_lines=True,
        glob=False,
    )
    ragged_rows = frame.with_row_index("\0row").filter(pl.any_horizontal(pl.col(extra).str.strip_chars() != ""))
    if ragged_rows.height:
        line, cell = ragged_rows["\0row"][0] + skip_lines + 2, next(filter(None, ragged_rows.select(extra).row(0)))
        raise InputError(
            f"{path}: cannot be read as CSV: line {line} has more cells than the header on line {skip_lines + 1}, such "
            f"as {cell!r}; correct the line, or set delimiter or skip_lines in the mapping"
        )
    return frame.select(columns)


def _is_folder(path: Path) -> bool:
    """Whether the path is a folder. Raises InputError for one that no file can have, or that is closed to us."""
    try:
        inside = [str(entry) for entry in path.iterdir()] if path.is_dir() else []
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if any(not name.isprintable() and name.encode("utf-8", "replace").decode() != name for name in inside):
        raise InputError(f"{path}: holds a file whose name is not text in UTF-8; rename it")
    return path.is_dir()


def _is_data(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and not path.name.startswith(".")


def _of_calendar(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """The same frame. Raises InputError for a date or moment that no calendar has, which polars cannot even show."""
    for column in frame.iter_columns():
        unit = getattr(column.dtype, "time_unit", None) if isinstance(column.dtype, pl.Datetime) else "d"
        if not isinstance(column.dtype, pl.Date | pl.Datetime) or unit is None:
            continue
        days = column.to_physical().cast(pl.Int64) // PER_DAY[unit]
        if days.is_between(*CALENDAR_DAYS).not_().any():
            raise InputError(f"{path}: column {column.name} holds times that no calendar has; export it anew")
    return frame


def open_binary(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """The bytes of a file, unpacked where it ends in .gz."""
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def _with_mark(encoding: str) -> str:
    """The encoding that takes a byte order mark off."""
    return "utf-8-sig" if _is_utf8(encoding) else encoding


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


def _source(path: Path, encoding: str) -> Path | bytes:
    if _is_utf8(encoding):
        return path.absolute()
    with open_binary(path) as file:
        data = file.read()
    try:
        return data.decode(encoding).encode()
    except LookupError:
        raise InputError(f"{path}: encoding {encoding!r} is unknown; expected such as windows-1252") from None
    except UnicodeDecodeError:
        raise _encoding_error(path, encoding) from None
    except ValueError:
        raise InputError(f"{path}: encoding {encoding!r} is none of text; expected such as windows-1252") from None


def _encoding_error(path: Path, encoding: str) -> InputError:
    with open_binary(path) as file:
        start = file.read(2)
    likely = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "windows-1252"
    if likely == encoding:
        likely = "utf-8"
    return InputError(f"{path}: is not {encoding}, more likely {likely}; save it as utf-8 or map its encoding")


def _refuse_other_delimiter(path: Path, columns: Sequence[str], delimiter: str) -> None:
    if len(columns) > 1:
        return
    for other in DELIMITERS.replace(delimiter, ""):
        if other in columns[0]:
            raise InputError(
                f"{path}: found one column {columns[0]!r}, expected columns divided by {delimiter!r}; "
                f"it is divided by {other!r}: save it anew, or set delimiter in the mapping"
            )


def _refuse_repeated(path: Path, columns: Sequence[str]) -> None:
    """Raises InputError for a name that two columns have, the second of which polars has renamed."""
    for name in columns:
        first, mark, number = name.rpartition("_duplicated_")
        # Columns without a name say nothing, and no mapping names them.
        if mark and number.isdecimal() and first and first in columns:
            raise InputError(f"{path}: column {first!r} is there twice; keep one of them, or rename the other")
