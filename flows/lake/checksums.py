"""Checksums: data files named by the SHA-256 of their bytes, so that the commit that adds a file holds its checksum.

A Delta commit lists its files by name, and a checkpoint keeps the names of files that are in use. The checksum
therefore stays with a file for as long as the table refers to it, and any reader of Delta tables reads the file.
"""

import hashlib
import re
from pathlib import Path

CHECKSUM = re.compile(r"(?:.*-)?([0-9a-f]{64})(?:\..*)?")


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def with_checksum(name: str, checksum: str) -> str:
    """Return the file name with the checksum at the end of its stem: a.zstd.parquet becomes a-CHECKSUM.zstd.parquet."""
    stem, dot, ending = name.partition(".")
    return f"{stem}-{checksum}{dot}{ending}"


def recorded(name: str) -> str | None:
    """Return the checksum that a file name holds; null for a file of before checksums, or of another writer."""
    match = CHECKSUM.fullmatch(name)
    return match[1] if match else None


def fault(path: Path, size: int) -> str:
    """Return what is wrong with a file that was written with so many bytes; empty where nothing is.

    A file without a recorded checksum is only looked at for its size.
    """
    try:
        length = path.stat().st_size
        if length != size:
            return f"has {length:,} bytes, {size:,} were written"
        if recorded(path.name) not in (None, of_file(path)):
            return "holds other bytes than were written"
    except FileNotFoundError:
        return "is gone"
    except OSError as failed:
        return f"cannot be read ({failed.strerror})"
    return ""
