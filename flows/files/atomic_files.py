"""Atomic files: a path is checked before the work that fills it, and written completely or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from daypart.features.errors import InputError
from daypart.flows.files import process

DRAFT_PREFIX = ".daypart-draft~"
_NUMBERS = count()


def check_out(path: Path, endings: Sequence[str]) -> None:
    """Raise InputError for a file that cannot be written or has an ending that is not among `endings`.

    Call it before anything is computed.
    """
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
def atomic_write(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a hidden draft file beside `path`, with the same ending; at the end it replaces `path`.

    If the block raises, the draft is removed and `path` stays as it was. Each writer has its own draft: of two writers
    to one path the later wins, and a reader never sees a mixture. The draft has the permissions `mode`, less the
    umask, from the moment it exists. The next writer to the same folder removes the draft of a killed writer.
    """
    _remove_abandoned(path.parent)
    draft = path.with_name(f"{DRAFT_PREFIX}{'~'.join(process.identity().values())}~{next(_NUMBERS)}{path.suffix}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove the drafts of processes that no longer run."""
    for draft in folder.glob(f"{DRAFT_PREFIX}*"):
        names = draft.name.removeprefix(DRAFT_PREFIX).split("~")
        identity = dict(zip(process.identity(), names, strict=False))
        if len(names) == len(identity) + 1 and names[0].isdecimal() and not process.lives(identity):
            # Another writer may have removed it, and this user may not remove another user's file.
            with suppress(OSError):
                draft.unlink()
