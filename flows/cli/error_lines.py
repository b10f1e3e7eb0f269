"""One line of an error, as text or as JSON: what was given is shortened, so that the remedy stays in sight."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from typer.exceptions import TyperException

MOST_INPUT = 200
"""Characters of one input that a line repeats."""
MOST_LINE = 1_000
MOST_PATH = 500
KEPT = 40
"""Characters kept at either end of what is shortened."""
WORDS = re.compile(rf"(?<!\w)'[^']{{{MOST_INPUT},}}'(?!\w)|(?<!\w)\"[^\"]{{{MOST_INPUT},}}\"(?!\w)|\S{{{MOST_INPUT},}}")
"""Quoted text, and words, that are longer than that."""


KINDS = {
    "ValueRefused": "rows_refused", "SchemaError": "schema", "NotKnownError": "not_known", "InputError": "input",
    "DamagedError": "damaged", "DaypartError": "failed",
}  # fmt: skip
"""The kind of an error by its class, or by the first of its bases that has one."""


@dataclass(frozen=True)
class ErrorLine:
    """An error as it is printed: its kind, the message, and the remedy where that is not a part of the message."""

    kind: str
    message: str
    remedy: str | None = None

    @classmethod
    def from_error(cls, error: Exception) -> Self:
        """Return the line of an error that daypart raised."""
        kind = next(KINDS[base.__name__] for base in type(error).__mro__ if base.__name__ in KINDS)
        message, remedy = str(error), getattr(error, "remedy", None)
        return cls(kind, message, None if remedy is None or remedy in message else remedy)

    def text(self, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
        """Return one line: JSON where the command's output or its log is JSON, else text.

        Both go to stderr. Stdout holds results alone, so that a file or a program that takes it never holds an error
        in place of one, and a command that shows what is damaged and then fails still prints one object there.
        """
        message = one_line(self.message, arguments)
        if "--json" in arguments or environment.get("DAYPART_LOG") == "json":
            remedy = {} if self.remedy is None else {"remedy": one_line(self.remedy, arguments)}
            return json.dumps({"error": {"kind": self.kind, "message": message, **remedy}}, ensure_ascii=False)
        return f"daypart: {one_line(f'{self.message} {self.remedy or str()}', arguments)}"


def usage_error(error: "TyperException") -> ErrorLine:
    """Return the line of wrong arguments, which points to the help of the command that they were given to."""
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    command = "daypart" if context is None else context.command_path
    given, separator, choices = error.message.partition(" is not one of ")
    message = error.format_message()
    if separator and param is not None:
        given = given.removeprefix("Value error, ")
        message = f"{param.opts[0]} is {given}: expected {choices.replace(chr(39), '')}"
    return ErrorLine("usage", message, f"See `{command} --help`.")


def one_line(message: str, arguments: Sequence[str] = ()) -> str:
    """Return the message as one line that repeats no input at length: none of the arguments, no word, no quoted text.

    Paths of files that could be there stay whole, but for those that were given.

    A line that is still too long loses its middle: it begins with what is wrong and ends with what to do.
    """
    line = " ".join(message.split())
    for argument in sorted(arguments, key=len, reverse=True):
        for part in (argument, argument.partition("=")[2]):
            if len(part) > MOST_INPUT:
                line = line.replace(" ".join(part.split()), shortened(part))
    line = WORDS.sub(lambda match: match[0] if _is_place(match[0]) else shortened(match[0]), line)
    return shortened(line, MOST_LINE // 2 - KEPT) if len(line) > MOST_LINE else line


def _is_place(word: str) -> bool:
    """Whether the word is a path of a folder that is there: somebody has to find the file."""
    return len(word) < MOST_PATH and os.path.isdir(os.path.dirname(word.strip("'\"()")))


def shortened(text: str, end_length: int = KEPT) -> str:
    """Return both ends of the text, and how long it is."""
    return f"{text[:end_length]}… ({len(text)} characters) …{text[-end_length:]}"
