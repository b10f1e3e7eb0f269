"""Files outside the lake: checked before the work that fills them, and written whole or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from daypart.features.errors import InputError
from daypart.flows.files import process

PREFIX = ".daypart-draft~"
_NUMBERS = count()


def check_out(path: Path, endings: Sequence[str]) -> None:
    """Raises InputError for a file that could not be written or has another ending, before anything is computed."""
    if path.suffix.lower() not in endings:
        ending = path.suffix or "missing"
        raise InputError(f"cannot write {path.name}: its ending is {ending}, expected {', '.join(endings)}")
    try:
        if not path.parent.is_dir():
            raise InputError(f"cannot write {path}: folder {path.parent} does not exist; make it first")
        if path.is_dir():
            raise InputError(f"cannot write {path}: that is a folder; name a file")
        path.exists()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name another file") from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {path}: you may not write to folder {path.parent}; name another")


@contextmanager
def drafted(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """A hidden file beside `path`, with its ending, to be written: it takes its place at the end, or is removed.

    Every writer has a file of its own, so that of two writers to one path the later wins and neither tears the other.
    It has the permissions `mode`, less the umask, from the first moment. What a killed writer leaves, the next writer
    to the same folder removes.
    """
    _remove_abandoned(path.parent)
    draft = path.with_name(f"{PREFIX}{'~'.join(process.identity().values())}~{next(_NUMBERS)}{path.suffix}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    """Removes the drafts of processes that are no more; those of living ones are theirs."""
    for draft in folder.glob(f"{PREFIX}*"):
        names = draft.name.removeprefix(PREFIX).split("~")
        identity = dict(zip(process.identity(), names, strict=False))
        if len(names) == len(identity) + 1 and names[0].isdecimal() and not process.lives(identity):
            # Another writer may have removed it, and another user's cannot be.
            with suppress(OSError):
                draft.unlink()
