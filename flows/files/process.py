"""Process: which one did a thing, and whether it lives."""

import os
import socket
import uuid
from collections.abc import Mapping

SESSION = uuid.uuid4().hex
"""Tells this process from an earlier one with the same id, as containers have."""


def identity() -> dict[str, str]:
    """What tells this process from all others: pid, host, session."""
    return {"pid": str(os.getpid()), "host": socket.gethostname(), "session": SESSION}


def lives(identifiers: Mapping[str, str]) -> bool:
    """Whether the process of that identity may still run; of another host's that is always so."""
    pid = int(identifiers["pid"])
    if identifiers["host"] != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid() or identifiers["session"] == SESSION
