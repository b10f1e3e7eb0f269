"""Unit history: which version of a unit served when and why, and what waits for an approval, by audit records."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

import polars as pl

from daypart.flows.audit.unit_events import MOVING, ChampionSwitch, Request, ServingPeriod


@dataclass(frozen=True)
class UnitHistory:
    """One unit's moves and requests, each in order."""

    unit: str
    moves: tuple[ChampionSwitch, ...]
    requests: tuple[Request, ...] = ()

    @classmethod
    def from_records(cls, records: pl.DataFrame, unit: str) -> Self:
        """What the records say of the unit. A later request takes the place of one that waits."""
        moves: dict[int, ChampionSwitch] = {}
        requests = _Requests()
        unit_records = records.filter(pl.col("unit") == unit, pl.col("activity").is_in(MOVING))
        for row in unit_records.sort("sequence").iter_rows(named=True):
            number, details = row["sequence"], json.loads(row["details"])
            match details["state"]:
                case "asked":
                    requests.ask(_request(row, details))
                case "begun":
                    moves[number] = _move(row, details, requests.known.get(details["request"]))
                    requests.begin(details["request"], number)
                case "agreed":
                    requests.agree(details["request"], row["role"])
                case "rejected":
                    requests.reject(details["request"], number)
                case "done" | "undone" as state:
                    begun = moves.get(details["begun"]) or _unknown(row, details)
                    moves[begun.number] = move = replace(begun, state=state)
                    requests.end(move, number)
        return cls(unit, tuple(moves.values()), tuple(requests.known.values()))

    @property
    def pending(self) -> Request | None:
        """The request that waits, if any."""
        return next((request for request in self.requests if request.state == "waiting"), None)

    def request(self, number: int) -> Request:
        """The request of that number."""
        return next(request for request in self.requests if request.number == number)

    @property
    def under_way(self) -> ChampionSwitch | None:
        """The move of which it is not recorded how it ended."""
        return next((move for move in self.moves if move.state == "begun"), None)

    def with_alias(self, champion: int | None) -> Self:
        """The same trail, where a move under way counts as done if the registry's champion is the version it is to."""
        ended = {True: "done", False: "undone"}
        moves = (
            replace(move, state=ended[move.version == champion]) if move is self.under_way else move
            for move in self.moves
        )
        return replace(self, moves=tuple(moves))

    @property
    def last(self) -> int | None:
        """The version that the last move made the champion; null where none did."""
        return next((move.version for move in reversed(self._done())), None)

    @property
    def spells(self) -> list[ServingPeriod]:
        """Every version's time of service, in order."""
        spells: list[ServingPeriod] = []
        for move in self._done():
            if move.was is not None and (not spells or spells[-1].version != move.was):
                spells = unrecorded(self.unit, _until(spells, move.at_utc), move.was)
            who = ", ".join((*move.request.agreed, move.role)) if move.request else ""
            agreed = f"{who}, asked by {move.request.role}" if move.request else "needs no approval"
            requester = move.role if move.request is None else move.request.role
            reasons = [move.request.reason if move.request else "", move.reason]
            why = "; ".join(filter(None, reasons)) or "no reason given"
            spell = ServingPeriod(self.unit, move.version, move.at_utc, None, requester, agreed, f"{move.does}: {why}")
            spells = [*_until(spells, move.at_utc), spell]
        return spells

    @property
    def served(self) -> set[int]:
        """Every version that ever served."""
        return {spell.version for spell in self.spells}

    def before(self, champion: int | None) -> int | None:
        """The version to go back to: the last whose promotion was not rolled back, other than the champion."""
        return next((version for version in reversed(self.standing) if version != champion), None)

    @property
    def standing(self) -> list[int]:
        """The versions whose promotions were not rolled back, in order; the last one serves."""
        stack: list[int] = []
        for move in self._done():
            if move.was is not None and stack[-1:] != [move.was]:
                stack.append(move.was)
            if move.does == "rollback":
                rest = stack[: len(stack) - stack[::-1].index(move.version)] if move.version in stack else stack[:-1]
                stack = rest if rest[-1:] == [move.version] else [*rest, move.version]
            elif stack[-1:] != [move.version]:
                stack.append(move.version)
        return stack

    def _done(self) -> list[ChampionSwitch]:
        return [move for move in self.moves if move.state == "done"]


def units(records: pl.DataFrame) -> list[str]:
    """The units of which the records say anything of the kind, sorted."""
    return sorted(records.filter(pl.col("activity").is_in(MOVING))["unit"].unique())


def refusal(records: pl.DataFrame, unit: str, version: int) -> str | None:
    """Why the gate refused the version when it was last asked; null where it did not, or was never asked."""
    details = records.filter(pl.col("unit") == unit, pl.col("activity") == "retrain").sort("sequence")["details"]
    verdicts = (verdict for verdict in map(json.loads, reversed(details.to_list())) if verdict["version"] == version)
    last = next(verdicts, {"promote": True})
    return None if last["promote"] else str(last["reason"])


@dataclass(frozen=True)
class _Requests:
    """Requests by number, each in the state that the records read so far put it in."""

    known: dict[int, Request] = field(default_factory=dict)

    def ask(self, request: Request) -> None:
        self._set(self._waiting(), "replaced", request.number)
        self.known[request.number] = request

    def agree(self, number: int, role: str) -> None:
        for request in self._waiting(number):
            self.known[number] = replace(request, agreed=(*request.agreed, role))

    def reject(self, number: int, record: int) -> None:
        self._set(self._waiting(number), "rejected", record)

    def begin(self, number: int | None, record: int) -> None:
        if number is not None:
            self._set(self._waiting(number), "moving", record)

    def end(self, move: ChampionSwitch, record: int) -> None:
        """Ends the move's request, and one that waits for what it did; what came to nothing waits again."""
        moving = [request for request in self.known.values() if request.state == "moving"]
        if move.state == "done":
            fulfilled = [request for request in self._waiting() if request.version == move.version]
            self._set([*moving, *fulfilled], "approved", record)
        else:
            self._set(moving, "replaced" if self._waiting() else "waiting", record)

    def _waiting(self, number: int | None = None) -> list[Request]:
        """Those that wait, or of them that of a number."""
        waiting = [request for request in self.known.values() if request.state == "waiting"]
        return [request for request in waiting if number is None or request.number == number]

    def _set(self, requests: Iterable[Request], state: Any, record: int) -> None:
        for request in requests:
            self.known[request.number] = replace(request, state=state, state_record=record)


def unrecorded(unit: str, spells: list[ServingPeriod], version: int) -> list[ServingPeriod]:
    """The spells, and that of a version of which no record says since when it serves."""
    if not spells:
        return [ServingPeriod(unit, version, None, None, "", "", "served before anything was recorded")]
    last = replace(spells[-1], ended=True)
    outside = ServingPeriod(
        unit, version, None, None, "", "", "moved outside of daypart", last.since or last.not_before
    )
    return [*spells[:-1], last, outside]


def _until(spells: list[ServingPeriod], at: datetime) -> list[ServingPeriod]:
    """The same spells, the last of which ended then."""
    return [*spells[:-1], *(replace(spell, until=at, ended=True) for spell in spells[-1:])]


def _request(row: dict[str, Any], details: dict[str, Any]) -> Request:
    values = details["does"], details["version"], details["reason"]
    return Request(row["sequence"], row["unit"], row["at_utc"], row["role"], *values)


def _unknown(row: dict[str, Any], details: dict[str, Any]) -> ChampionSwitch:
    """A move of which only the end is on record: that it was begun is missing from a damaged audit."""
    why = "the record of why is missing"
    place = row["unit"], row["at_utc"], row["role"], row["activity"], details["version"]
    return ChampionSwitch(details["begun"], *place, None, why, None, {})


def _move(row: dict[str, Any], details: dict[str, Any], request: Request | None) -> ChampionSwitch:
    values = details["does"], details["version"], details["was"], details["reason"], request, details["process"]
    return ChampionSwitch(row["sequence"], row["unit"], row["at_utc"], row["role"], *values)
