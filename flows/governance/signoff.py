"""Sign-off: in whose name a command acts."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Signoff:
    """The role that acts, when, and why, as the audit records it. A naive `now` is UTC."""

    role: str
    now: datetime
    reason: str = ""
