"""Identity of processes: which process wrote something, and whether it still runs."""

import os
import socket
import uuid
from collections.abc import Mapping

SESSION = uuid.uuid4().hex
"""Distinguishes this process from an earlier one with the same id, which is common in containers."""


def identity() -> dict[str, str]:
    """Return what distinguishes this process from all others: pid, host, session."""
    return {"pid": str(os.getpid()), "host": socket.gethostname(), "session": SESSION}


def lives(identifiers: Mapping[str, str]) -> bool:
    """Return whether the process of that identity may still run; always true for another host."""
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
