"""The login of a home's own Prefect server: who knows it can run code as the user who started the server."""

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from daypart.features.errors import InputError
from daypart.flows.files.atomic_files import atomic_write

USER = "daypart"
FORM = re.compile(rf"{USER}:[\w-]{{43}}", re.ASCII)
"""The user, and 32 random bytes in base64."""


def private_folder(path: Path) -> Path:
    """Return the folder, made if need be, which no other user of the machine can enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def new_login() -> str:
    """Return `daypart:PASSWORD` with a password that nobody can guess."""
    return f"{USER}:{secrets.token_urlsafe(32)}"


def read_login(path: Path) -> str:
    """Return the login in the file.

    Raises InputError where there is no such file, where it is not a login, and where another user may have read or
    written it.
    """
    remedy = "`daypart deploy --local` writes a new one when it starts"
    try:
        # No link is followed: it could lead to a file of another user.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8", errors="replace") as file:
            status, text = os.fstat(file.fileno()), file.read(200).strip()
    except OSError as error:
        raise InputError(f"{path} cannot be read as a login ({error.strerror}): {remedy}") from None
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        state = f"{stat.filemode(status.st_mode)} of user {status.st_uid}"
        raise InputError(f"{path} is {state}, expected -rw------- of yours, others may know it: {remedy}")
    if not FORM.fullmatch(text):
        raise InputError(f"{path} holds no login, expected {USER}:PASSWORD: {remedy}")
    return text


def ensure_login(path: Path) -> str:
    """Return the login in the file, after writing a new one where `read_login` refuses what is there.

    The file is its owner's alone from the first moment, and is whole or not there.
    """
    with suppress(InputError):
        return read_login(path)
    text = new_login()
    with atomic_write(path, mode=0o600) as draft:
        draft.write_text(f"{text}\n", encoding="utf-8")
    return text
