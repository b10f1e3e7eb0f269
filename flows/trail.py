"""Trail: what audit records say of one unit: which version served when and why, and what waits for an approval."""

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import polars as pl

MOVING = ("promote", "rollback", "approve", "reject")
"""Activities that move a unit's champion, or ask for it."""


@dataclass(frozen=True)
class Request:
    """A promotion or rollback that was asked for and waits; `number` is its record's, `agreed` who agreed so far."""

    number: int
    unit: str
    at_utc: datetime
    role: str
    does: str
    version: int
    reason: str
    agreed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Move:
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
class Spell:
    """A version's time of service: null `since` = from before it was recorded, null `until` = still."""

    unit: str
    version: int
    since: datetime | None
    until: datetime | None
    by: str
    agreed: str
    why: str


@dataclass(frozen=True)
class Trail:
    """One unit's moves in order, and the request that waits, if any."""

    unit: str
    moves: tuple[Move, ...]
    pending: Request | None

    @classmethod
    def of(cls, records: pl.DataFrame, unit: str) -> Self:
        """What the records say of the unit. A later request takes the place of one that waits."""
        moves: dict[int, Move] = {}
        asked: dict[int, Request] = {}
        pending: Request | None = None
        mine = records.filter(pl.col("unit") == unit, pl.col("activity").is_in(MOVING))
        for row in mine.sort("sequence").iter_rows(named=True):
            said = json.loads(row["details"])
            match said["state"]:
                case "asked":
                    pending = asked[row["sequence"]] = _request(row, said)
                case "begun":
                    moves[row["sequence"]] = _move(row, said, asked.get(said["request"]))
                case "agreed" if pending is not None and pending.number == said["request"]:
                    pending = asked[pending.number] = replace(pending, agreed=(*pending.agreed, row["role"]))
                case "rejected" if pending is not None and pending.number == said["request"]:
                    pending = None
                case "done" | "undone" as state:
                    begun = moves.get(said["begun"]) or _unknown(row, said)
                    moves[begun.number] = move = replace(begun, state=state)
                    if state == "done" and pending is not None and pending.version == move.version:
                        pending = None
        return cls(unit, tuple(moves.values()), pending)

    @property
    def under_way(self) -> Move | None:
        """The move of which it is not recorded how it ended."""
        return next((move for move in self.moves if move.state == "begun"), None)

    def seen(self, champion: int | None) -> Self:
        """The same trail, where a move under way counts as done if the registry's champion is the version it is to."""
        ended = {True: "done", False: "undone"}
        moves = (
            replace(move, state=ended[move.version == champion]) if move is self.under_way else move
            for move in self.moves
        )
        return replace(self, moves=tuple(moves))

    @property
    def spells(self) -> list[Spell]:
        """Every version's time of service, in order."""
        found: list[Spell] = []
        for move in self._done():
            if move.was is not None and (not found or found[-1].version != move.was):
                why = "moved outside of daypart" if found else "served before anything was recorded"
                found = [*_until(found, move.at_utc), Spell(self.unit, move.was, None, None, "", "", why)]
            who = ", ".join((*move.request.agreed, move.role)) if move.request else ""
            agreed = f"{who}, asked by {move.request.role}" if move.request else "needs no approval"
            told = move.role if move.request is None else move.request.role
            reasons = [move.request.reason if move.request else "", move.reason]
            why = "; ".join(filter(None, reasons)) or "no reason given"
            spell = Spell(self.unit, move.version, move.at_utc, None, told, agreed, f"{move.does}: {why}")
            found = [*_until(found, move.at_utc), spell]
        return found

    @property
    def served(self) -> set[int]:
        """Every version that ever served."""
        return {spell.version for spell in self.spells}

    @property
    def earlier(self) -> int | None:
        """The version to go back to: the one before the last promotion that was not rolled back."""
        return self.standing[-2] if len(self.standing) > 1 else None

    @property
    def standing(self) -> list[int]:
        """The versions whose promotions were not rolled back, in order; the last one serves."""
        stack: list[int] = []
        for move in self._done():
            if move.was is not None and stack[-1:] != [move.was]:
                stack.append(move.was)
            if move.does == "rollback":
                left = stack[: len(stack) - stack[::-1].index(move.version)] if move.version in stack else stack[:-1]
                stack = left if left[-1:] == [move.version] else [*left, move.version]
            else:
                stack.append(move.version)
        return stack

    def _done(self) -> list[Move]:
        return [move for move in self.moves if move.state == "done"]


def units(records: pl.DataFrame) -> list[str]:
    """The units of which the records say anything of the kind, sorted."""
    return sorted(records.filter(pl.col("activity").is_in(MOVING))["unit"].unique())


def refusal(records: pl.DataFrame, unit: str, version: int) -> str | None:
    """Why the gate refused the version when it was last asked; null where it did not, or was never asked."""
    said = records.filter(pl.col("unit") == unit, pl.col("activity") == "retrain").sort("sequence")["details"]
    verdicts = (told for told in map(json.loads, reversed(said.to_list())) if told["version"] == version)
    last = next(verdicts, {"promote": True})
    return None if last["promote"] else str(last["reason"])


def _until(spells: list[Spell], at: datetime) -> list[Spell]:
    """The same spells, the last of which ended then."""
    return [*spells[:-1], *(replace(spell, until=at) for spell in spells[-1:])]


def _request(row: dict[str, Any], said: dict[str, Any]) -> Request:
    told = said["does"], said["version"], said["reason"]
    return Request(row["sequence"], row["unit"], row["at_utc"], row["role"], *told)


def _unknown(row: dict[str, Any], said: dict[str, Any]) -> Move:
    """A move of which only the end is on record: that it was begun is missing from a damaged audit."""
    why = "the record of why is missing"
    place = row["unit"], row["at_utc"], row["role"], row["activity"], said["version"]
    return Move(said["begun"], *place, None, why, None, {})


def _move(row: dict[str, Any], said: dict[str, Any], request: Request | None) -> Move:
    told = said["does"], said["version"], said["was"], said["reason"], request, said["process"]
    return Move(row["sequence"], row["unit"], row["at_utc"], row["role"], *told)
