"""Reads the files that people provide: CSV (plain or gzipped), Parquet and Excel, single or in folders."""

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

INPUT_ENDINGS = (".csv", ".csv.gz", ".parquet", sheets.EXCEL_ENDING)
UNITS_PER_DAY = {"d": 1, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
CALENDAR_DAYS = (date.min - date(1970, 1, 1)).days, (date.max - date(1970, 1, 1)).days
DELIMITERS = ",;\t|"
MAX_EXTRA_CELLS = 256
"""Number of cells of a line beyond those of the header that are checked."""


def find(paths: Sequence[Path | str]) -> list[Path]:
    """Return the given files and those in the given folders, sorted by name within each folder, every file once.

    Raises InputError for a path that does not exist, a folder without data and a file of another type.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if _is_folder(path):
            inside = sorted(entry for entry in path.iterdir() if entry.is_file() and _is_data(entry))
            if not inside:
                raise InputError(f"{path}: holds no {', '.join(INPUT_ENDINGS)} file; name a folder that does")
            files += inside
        elif not path.exists():
            raise InputError(f"{path}: no such file or folder; check the path")
        elif not _is_data(path):
            raise InputError(f"{path}: is of no known kind; expected {', '.join(INPUT_ENDINGS)}")
        else:
            files.append(path)
    return list({path.resolve(): path for path in files}.values())


def find_all(sources: Sequence[Path | str | pl.DataFrame]) -> list[Path | pl.DataFrame]:
    """Return the files of `find` with the given frames among them, in the given order."""
    found: dict[object, Path | pl.DataFrame] = {}
    for source in sources:
        if isinstance(source, pl.DataFrame):
            found[id(source)] = source
        else:
            found |= {path.resolve(): path for path in find([source])}
    return list(found.values())


def load(source: Path | pl.DataFrame) -> pl.DataFrame:
    """Return the cells of a file as `read` has them, or those of a frame: text where polars has categories."""
    if isinstance(source, Path):
        return read(source)
    categories = [column for column, kind in source.schema.items() if isinstance(kind, pl.Categorical | pl.Enum)]
    return _check_calendar(name(source), source.with_columns(pl.col(categories).cast(pl.String)))


def name(source: Path | pl.DataFrame) -> str:
    """Return the path of a file, or words for a frame: what messages call it."""
    return str(source) if isinstance(source, Path) else f"frame of {source.height:,} rows"


def read(
    path: Path, delimiter: str = ",", encoding: str = "utf-8", skip_lines: int = 0, sheet: str | None = None
) -> pl.DataFrame:
    """Return the cells of the file: all text from CSV, typed from Parquet and Excel.

    The header of CSV and Excel comes after `skip_lines` lines; `sheet` names a sheet of an Excel file with several.
    `exports.restore` undoes what an export did to text, so that a store id is read as it was. A line of CSV may end
    in more delimiters than the header. Raises InputError that names the file.
    """
    ending, kind = path.name.lower(), "CSV"
    if ending.endswith(sheets.EXCEL_ENDING):
        return exports.restore(sheets.read(path, sheet, skip_lines))
    try:
        if ending.endswith(".parquet"):
            kind = "Parquet"
            return _check_calendar(path, pl.read_parquet(path.absolute(), glob=False))
        frame = _read_csv(path, _csv_source(path, encoding), delimiter, skip_lines)
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
    return exports.restore(frame)


def head(path: Path, delimiter: str, encoding: str, lines: int) -> list[tuple[int, list[str]]]:
    """Return the first rows of a CSV file and the lines on which they begin, counted from 1.

    The result ends where the file cannot be read.
    """
    rows, line = [], 1
    try:
        with open_binary(path) as file, io.TextIOWrapper(file, _without_mark(encoding), "strict", newline="") as text:
            reader = csv.reader(text, delimiter=delimiter)
            for row in reader:
                rows.append((line, row))
                line = reader.line_num + 1
                if line > lines:
                    break
    except (csv.Error, ValueError, LookupError, OSError, EOFError, zlib.error):
        return rows  # `read` says what is wrong
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
    extra = [f"\0{n}" for n in range(MAX_EXTRA_CELLS)]
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
    """Return whether the path is a folder. Raises InputError for a path that is invalid or not readable."""
    try:
        inside = [str(entry) for entry in path.iterdir()] if path.is_dir() else []
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if any(not name.isprintable() and name.encode("utf-8", "replace").decode() != name for name in inside):
        raise InputError(f"{path}: holds a file whose name is not text in UTF-8; rename it")
    return path.is_dir()


def _is_data(path: Path) -> bool:
    return path.name.lower().endswith(INPUT_ENDINGS) and not path.name.startswith(".")


def _check_calendar(path: Path | str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame. Raises InputError for a date or time beyond the calendar, which polars cannot even show."""
    for column in frame.iter_columns():
        unit = getattr(column.dtype, "time_unit", None) if isinstance(column.dtype, pl.Datetime) else "d"
        if not isinstance(column.dtype, pl.Date | pl.Datetime) or unit is None:
            continue
        days = column.to_physical().cast(pl.Int64) // UNITS_PER_DAY[unit]
        if days.is_between(*CALENDAR_DAYS).not_().any():
            raise InputError(f"{path}: column {column.name} holds times that no calendar has; export it anew")
    return frame


def open_binary(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """Open a file for reading bytes, decompressed if its name ends in .gz."""
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")


def _without_mark(encoding: str) -> str:
    """Return the encoding that drops a byte order mark."""
    return "utf-8-sig" if _is_utf8(encoding) else encoding


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


def _csv_source(path: Path, encoding: str) -> Path | bytes:
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
    for candidate in DELIMITERS.replace(delimiter, ""):
        if candidate in columns[0]:
            raise InputError(
                f"{path}: found one column {columns[0]!r}, expected columns divided by {delimiter!r}; "
                f"it is divided by {candidate!r}: save it anew, or set delimiter in the mapping"
            )


def _refuse_repeated(path: Path, columns: Sequence[str]) -> None:
    """Raise InputError for a name that two columns have; polars renames the second one."""
    for name in columns:
        first, mark, number = name.rpartition("_duplicated_")
        # Columns without a name do not matter: no mapping can name them.
        if mark and number.isdecimal() and first and first in columns:
            raise InputError(f"{path}: column {first!r} is there twice; keep one of them, or rename the other")
