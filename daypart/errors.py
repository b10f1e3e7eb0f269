"""What daypart raises. Every message is one line: what was found, what is expected, what to do."""

from daypart.features.errors import (
    DamagedError,
    DaypartError,
    InputError,
    NotKnownError,
    SchemaError,
    ValueRefused,
)

__all__ = ["DamagedError", "DaypartError", "InputError", "NotKnownError", "SchemaError", "ValueRefused"]
