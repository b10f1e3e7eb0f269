"""One line of an error: what was given is shortened, so that the remedy stays in sight."""

import os
import re
from collections.abc import Sequence

MOST_INPUT = 200
"""Characters of one input that a line repeats."""
MOST_LINE = 1_000
MOST_PATH = 500
KEPT = 40
"""Characters kept at either end of what is shortened."""
WORDS = re.compile(rf"(?<!\w)'[^']{{{MOST_INPUT},}}'(?!\w)|(?<!\w)\"[^\"]{{{MOST_INPUT},}}\"(?!\w)|\S{{{MOST_INPUT},}}")
"""Quoted text, and words, that are longer than that."""


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
