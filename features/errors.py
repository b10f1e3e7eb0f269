"""What can be wrong with what daypart is given. Every message is one line: found, expected, what to do."""

from collections.abc import Collection


class DaypartError(Exception):
    """Base of every error that daypart raises on purpose."""


class DamagedError(DaypartError):
    """Audit records or model files are not as they were written: trying again does not help, a person must act."""


class InputError(DaypartError):
    """A table, file, mapping or argument is wrong; the command line ends with status 2."""


class SchemaError(InputError):
    """A column is missing, unknown or of the wrong type."""


class ValueRefused(InputError):
    """Rows hold values that cannot be; `reasons` counts them by reason, `refused` holds them."""

    def __init__(self, message: str, refused: object = None) -> None:
        super().__init__(message)
        self.refused = refused


class NotKnownError(InputError):
    """A store, origin or period was asked for about which nothing is known."""


def some_stores(ids: Collection[str], most: int = 3) -> str:
    """Return the first names of stores for a message: `A, B, C and 2 more stores`."""
    some = ", ".join(sorted(ids)[:most])
    return some if len(ids) <= most else f"{some} and {len(ids) - most} more stores"
