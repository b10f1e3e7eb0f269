"""What libraries write past Python to the standard error, kept from the person who asked for one line."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def quiet_panics() -> Iterator[None]:
    """Holds back what native code writes to stderr until the block ends, then passes it on, unless it tells of a panic.

    Python writes to stderr at once, as before. Rust tells of a panic by itself, with a backtrace; whoever catches its
    exception tells of it in one line. With DAYPART_DEBUG nothing is held back.
    """
    if os.environ.get("DAYPART_DEBUG") or not _is_open(2):
        yield
        return
    before, real = sys.stderr, os.dup(2)
    if _is_standard_error(before):
        before.flush()
        # Never closed: what a library logs when Python ends goes there too.
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    with _unnamed() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            sys.stderr = before
            os.dup2(real, 2)
            os.close(real)
            buffer.seek(0)
            text = buffer.read()
            if b"panicked at" not in text:
                _write(text)


def _write(text: bytes) -> None:
    while text:
        text = text[os.write(2, text) :]


def _unnamed() -> IO[bytes]:
    """A file without a name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _is_standard_error(stream: object) -> bool:
    try:
        return stream.fileno() == 2  # type: ignore[attr-defined,no-any-return]
    except (AttributeError, OSError):
        return False
