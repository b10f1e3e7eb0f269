"""Events of one unit on record: requests, switches of its champion, and the periods in which versions served."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

MOVING = ("promote", "rollback", "approve", "reject")
"""Activities that move a unit's champion, or ask for it."""


@dataclass(frozen=True)
class Request:
    """A promotion or rollback that was asked for; `number` is its record's, `agreed` who agreed so far.

    It is in one state at a time, since the record `state_record`. It waits until it is rejected, replaced by a later
    request, or moving. A move that is done ends it as approved; after one that came to nothing it waits again.
    """

    number: int
    unit: str
    at_utc: datetime
    role: str
    does: str
    version: int
    reason: str
    agreed: tuple[str, ...] = ()
    state: Literal["waiting", "moving", "approved", "rejected", "replaced"] = "waiting"
    state_record: int = 0


@dataclass(frozen=True)
class ChampionSwitch:
    """The champion on its way from the version it `was`; `state` is begun, done, or undone where it came to nothing."""

    number: int
    unit: str
    at_utc: datetime
    role: str
    does: str
    version: int
    was: int | None
    reason: str
    request: Request | None
    process: dict[str, str]
    state: str = "begun"


@dataclass(frozen=True)
class ServingPeriod:
    """A version's time of service: null `since` = at an unknown time, but not before `not_before`.

    Null `until` = still, or where it has `ended` until an unknown time.
    """

    unit: str
    version: int
    since: datetime | None
    until: datetime | None
    by: str
    agreed: str
    why: str
    not_before: datetime | None = None
    ended: bool = False
