"""One line of an error: what was given is shortened, so that the remedy stays in sight."""

import re
from collections.abc import Sequence

MOST_INPUT = 200
"""Characters of one input that a line repeats."""
MOST_LINE = 1_000
KEPT = 40
"""Characters kept at either end of what is shortened."""
WORDS = re.compile(rf"(?<!\w)'[^']{{{MOST_INPUT},}}'(?!\w)|(?<!\w)\"[^\"]{{{MOST_INPUT},}}\"(?!\w)|\S{{{MOST_INPUT},}}")
"""Quoted text, and words, that are longer than that."""


def one_line(message: str, arguments: Sequence[str] = ()) -> str:
    """Return the message as one line that repeats no input at length: none of the arguments, no word, no quoted text.

    A line that is still too long loses its middle: it begins with what is wrong and ends with what to do.
    """
    line = " ".join(message.split())
    for argument in sorted(arguments, key=len, reverse=True):
        for part in (argument, argument.partition("=")[2]):
            if len(part) > MOST_INPUT:
                line = line.replace(" ".join(part.split()), shortened(part))
    line = WORDS.sub(lambda match: shortened(match[0]), line)
    return shortened(line, MOST_LINE // 2 - KEPT) if len(line) > MOST_LINE else line


def shortened(text: str, kept: int = KEPT) -> str:
    """Return both ends of the text, and how long it is."""
    return f"{text[:kept]}… ({len(text)} characters) …{text[-kept:]}"
