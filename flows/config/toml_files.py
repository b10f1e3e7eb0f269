"""Reads and checks TOML files that people write; errors name the line."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from daypart.features.errors import InputError

KeyPath = tuple[int | str, ...]
Name = Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")]
"""The name of a tier or role, which can stand in the header of a table without quotes."""
NESTED = "its tables or lists are nested too deeply"


def load(path: Path, expected: str) -> tuple[str, dict[str, Any]] | None:
    """Return the text of the file and its document; null where there is no file.

    Raises InputError, which says what was `expected`, for a folder and for a file that is no TOML in UTF-8.
    """
    remedy = ": correct the file, or move it away"
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError) as wrong:
        cause = wrong.strerror if isinstance(wrong, OSError) else wrong
        raise InputError(f"{path} cannot be read: {cause}; expected {expected}{remedy}") from None
    return text, parse(path, text, expected, remedy)


def parse(path: Path, text: str, expected: str, remedy: str = "") -> dict[str, Any]:
    """Return the document of a text that is, or was, the content of the file.

    Raises InputError, which says what was `expected` and the `remedy`, for a text that is no TOML.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InputError(f"{path} cannot be read: {NESTED}; expected {expected}") from None
    except ValueError as wrong:
        raise InputError(f"{path} cannot be read: {wrong}; expected {expected}{remedy}") from None


def read(
    path: Path, model: type[BaseModel], expected: str, error_message: Callable[[ErrorDetails], str]
) -> dict[str, Any]:
    """Return the document of the file, checked by a model; empty where there is no file.

    Raises InputError, with file and line, for a document that the model refuses, and for a file that is no TOML.
    """
    loaded = load(path, expected)
    if loaded is None:
        return {}
    text, document = loaded
    try:
        model.model_validate_json(json.dumps(document, default=str))
    except ValidationError as wrong:
        error = wrong.errors()[0]
        raise InputError(f"{path}{line_of(text, error['loc'])}: {error_message(error)}") from None
    except RecursionError:
        raise InputError(f"{path} cannot be read: {NESTED}; expected {expected}") from None
    return document


def line_of(text: str, key_path: KeyPath) -> str:
    """Return the line of a key, or else of the table that it is in, as ` line 3`; rows of tables count from 0."""
    lines: dict[KeyPath, int] = {}
    header: KeyPath = ()
    rows: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*(?:\[\[([^\]]+)\]\]|\[([^\]]+)\]|([\w.\"'-]+)\s*=)", line)
        if not match:
            continue
        keys: KeyPath = tuple(part.strip(" \"'") for part in (match[1] or match[2] or match[3]).split("."))
        if match[1]:
            name = match[1].strip()
            rows[name] = rows.get(name, -1) + 1
            keys = (*keys, rows[name])
        header = header if match[3] else keys
        path = (*header, *keys) if match[3] else keys
        for depth in range(1, len(path) + 1):
            lines.setdefault(path[:depth], number)
    return next(
        (f" line {lines[key_path[:depth]]}" for depth in range(len(key_path), 0, -1) if key_path[:depth] in lines), ""
    )
