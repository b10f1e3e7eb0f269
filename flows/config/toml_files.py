"""TOML: files that people write, checked; what is wrong is told with its line."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from daypart.features.errors import InputError

Place = tuple[int | str, ...]
NESTED = "its tables or lists are nested too deeply"


def load(path: Path, expected: str) -> tuple[str, dict[str, Any]] | None:
    """The file's text and what it says; null where there is no file.

    Raises InputError, with what was `expected`, for a folder and for a file that is no TOML in UTF-8.
    """
    try:
        text = path.read_text("utf-8")
        return text, tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except RecursionError:
        raise InputError(f"{path} cannot be read: {NESTED}; expected {expected}") from None
    except (ValueError, OSError) as wrong:
        cause = wrong.strerror if isinstance(wrong, OSError) else wrong
        raise InputError(
            f"{path} cannot be read: {cause}; expected {expected}: correct the file, or move it away"
        ) from None


def read(path: Path, model: type[BaseModel], expected: str, worded: Callable[[ErrorDetails], str]) -> dict[str, Any]:
    """What the file says, checked by a model; nothing where there is no file.

    Raises InputError that names file and line, for a file that is no TOML with what was `expected` at all.
    """
    loaded = load(path, expected)
    if loaded is None:
        return {}
    text, document = loaded
    try:
        model.model_validate_json(json.dumps(document, default=str))
    except ValidationError as wrong:
        error = wrong.errors()[0]
        raise InputError(f"{path}{line_of(text, error['loc'])}: {worded(error)}") from None
    except RecursionError:
        raise InputError(f"{path} cannot be read: {NESTED}; expected {expected}") from None
    return document


def line_of(text: str, place: Place) -> str:
    """Where the file says it, or else the table that it is in, as ` line 3`; a row of tables counts from 0."""
    lines: dict[Place, int] = {}
    header: Place = ()
    rows: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*(?:\[\[([^\]]+)\]\]|\[([^\]]+)\]|([\w.\"'-]+)\s*=)", line)
        if not match:
            continue
        keys: Place = tuple(part.strip(" \"'") for part in (match[1] or match[2] or match[3]).split("."))
        if match[1]:
            name = match[1].strip()
            rows[name] = rows.get(name, -1) + 1
            keys = (*keys, rows[name])
        header = header if match[3] else keys
        path = (*header, *keys) if match[3] else keys
        for depth in range(1, len(path) + 1):
            lines.setdefault(path[:depth], number)
    return next((f" line {lines[place[:depth]]}" for depth in range(len(place), 0, -1) if place[:depth] in lines), "")
