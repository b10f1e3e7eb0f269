"""Errors that daypart raises. Every message is one line: what was found, what is expected, what to do."""

from collections.abc import Collection


class DaypartError(Exception):
    """Base of every error that daypart raises on purpose.

    Its message is one line: `what was found: expected what; what to do`, of which parts may be missing.
    """

    @property
    def expected(self) -> str:
        """Return the part of the message that says what is expected; empty where it does not say it."""
        _, mark, rest = str(self).partition("expected ")
        return rest.partition("; ")[0].rstrip(".") if mark else ""

    @property
    def remedy(self) -> str:
        """Return what to do: the last part of the message, or else to give what is expected."""
        message = str(self)
        last = message.rpartition("; ")[2] if "; " in message else message.rpartition(": ")[2]
        return f"give {self.expected}" if last.startswith(("expected ", message)) and self.expected else last


class DamagedError(DaypartError):
    """Audit records or model files differ from what was written. A retry does not help; a person must act."""


class InputError(DaypartError):
    """A table, file, mapping or argument is wrong; the command line ends with status 2."""


class SchemaError(InputError):
    """A column is missing, unknown or of the wrong type."""


class ValueRefused(InputError):
    """Rows hold invalid values; `refused` has them."""

    def __init__(self, message: str, refused: object = None) -> None:
        super().__init__(message)
        self.refused = refused


class NotKnownError(InputError):
    """Nothing is known about the requested store, origin or period."""


def some_stores(ids: Collection[str], most: int = 3) -> str:
    """Return the first names of stores for a message: `A, B, C and 2 more stores`."""
    some = ", ".join(sorted(ids)[:most])
    return some if len(ids) <= most else f"{some} and {len(ids) - most} more stores"
