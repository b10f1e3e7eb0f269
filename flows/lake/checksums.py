"""Checksums of data files: a file's name holds the SHA-256 of its bytes, and so does the commit that adds the file.

A Delta commit lists its files by name, and a checkpoint keeps the names of files that are in use. The checksum
therefore stays with a file for as long as the table refers to it. Any reader of Delta tables can read the files.
"""

import hashlib
import re
from pathlib import Path

CHECKSUM = re.compile(r"(?:.*-)?([0-9a-f]{64})(?:\..*)?")


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def with_checksum(name: str, checksum: str) -> str:
    """Return the file name with the checksum at the end of its stem: a.zstd.parquet becomes a-CHECKSUM.zstd.parquet."""
    stem, dot, ending = name.partition(".")
    return f"{stem}-{checksum}{dot}{ending}"


def recorded_checksum(name: str) -> str | None:
    """Return the checksum that a file name holds; null for a file that is older than checksums or of another writer."""
    match = CHECKSUM.fullmatch(name)
    return match[1] if match else None


def fault(path: Path, size: int) -> str:
    """Return what is wrong with a file that was written with `size` bytes; empty if nothing is.

    Only the size of a file without a recorded checksum is compared.
    """
    try:
        length = path.stat().st_size
        if length != size:
            return f"has {length:,} bytes, {size:,} were written"
        if recorded_checksum(path.name) not in (None, file_checksum(path)):
            return "holds other bytes than were written"
    except FileNotFoundError:
        return "is gone"
    except OSError as failed:
        return f"cannot be read ({failed.strerror})"
    return ""
