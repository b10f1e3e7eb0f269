"""Files that people hand in: CSV (plain or gzipped) and Parquet, alone or in folders."""

import gzip
import zlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from features.errors import InputError
from flows.adapters import exports

ENDINGS = (".csv", ".csv.gz", ".parquet")
PER_DAY = {"d": 1, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
CALENDAR_DAYS = (date.min - date(1970, 1, 1)).days, (date.max - date(1970, 1, 1)).days
DELIMITERS = ",;\t|"


def find(paths: Sequence[Path | str]) -> list[Path]:
    """The files themselves and those in the folders, sorted by name within each, every file once.

    Raises InputError for a path that is not there, a folder without data and a file of another kind.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if _is_folder(path):
            inside = sorted(each for each in path.iterdir() if each.is_file() and _is_data(each))
            if not inside:
                raise InputError(f"{path}: holds no {', '.join(ENDINGS)} file; name a folder that does")
            found += inside
        elif not path.exists():
            raise InputError(f"{path}: no such file or folder; check the path")
        elif not _is_data(path):
            raise InputError(f"{path}: is of no known kind; expected {', '.join(ENDINGS)}")
        else:
            found.append(path)
    return list({path.resolve(): path for path in found}.values())


def read(path: Path, delimiter: str = ",", encoding: str = "utf-8") -> pl.DataFrame:
    """The file's cells: all text from CSV, as they are from Parquet. Raises InputError naming the file.

    Text of CSV that an export has `neutralised` is as it was before, so that a store's id comes back as itself.
    """
    try:
        if path.name.lower().endswith(".parquet"):
            return _of_calendar(path, pl.read_parquet(path.absolute(), glob=False))
        frame = pl.read_csv(_source(path, encoding), separator=delimiter, infer_schema=False, glob=False)
    except pl.exceptions.NoDataError:
        raise InputError(f"{path}: is empty; expected a header and rows") from None
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        if "utf-8" in str(error):
            raise _encoding_error(path, encoding) from None
        found = str(error).splitlines()[0]
        kind = "Parquet" if path.suffix == ".parquet" else "CSV"
        raise InputError(f"{path}: cannot be read as {kind} ({found}); export it anew") from None
    if any("\ufffd" in name or "\x00" in name for name in frame.columns):
        raise _encoding_error(path, encoding)
    _refuse_other_delimiter(path, frame.columns, delimiter)
    _refuse_repeated(path, frame.columns)
    return exports.restored(frame)


def _is_folder(path: Path) -> bool:
    """Whether the path is a folder. Raises InputError for one that no file can have, or that is closed to us."""
    try:
        inside = [str(each) for each in path.iterdir()] if path.is_dir() else []
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


def _source(path: Path, encoding: str) -> Path | bytes:
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig"):
        return path.absolute()
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    try:
        return data.decode(encoding).encode()
    except LookupError:
        raise InputError(f"{path}: encoding {encoding!r} is unknown; expected such as windows-1252") from None
    except UnicodeDecodeError:
        raise _encoding_error(path, encoding) from None
    except ValueError:
        raise InputError(f"{path}: encoding {encoding!r} is none of text; expected such as windows-1252") from None


def _encoding_error(path: Path, encoding: str) -> InputError:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
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
