"""Verification: audit records compared with their hashes, with the heads noted elsewhere, and with repairs on record.

A head is the number and hash of the record that was the last one at some time, written `NUMBER:HASH`. A repair is an
audit record by which a person acknowledges what is missing or changed: verification then lists it apart from faults.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any, Self

import polars as pl

from daypart.flows.audit import hash_chain
from daypart.flows.audit.ledger import ROW_KEEPING_OPERATIONS, LedgerFile

REPAIR = "repair_audit"
"""The activity of a record that acknowledges a damaged table."""
HEAD = re.compile(r"([1-9]\d{0,17}):([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class Head:
    """A record's number and hash, and by what it is known: the registry, the table's log, or the user."""

    number: int
    hash: str
    source: str

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """The head that a text names; number 0 and the text itself where it names none."""
        match = HEAD.fullmatch(text)
        return cls(int(match[1]), match[2], source) if match else cls(0, text, source)

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


@dataclass(frozen=True)
class Repair:
    """A repair as its record has it: the numbers that were missing, the other faults, the digest of what was there."""

    number: int
    author: str
    missing: frozenset[int]
    faults: tuple[str, ...]
    content: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Reads a record, of which it is known that daypart wrote it."""
        details, day = json.loads(row["details"]), row["at_utc"].date()
        missing = frozenset(n for first, last in details["missing"] for n in range(first, last + 1))
        author = f"repaired by record {row['sequence']} by {row['role']} on {day}: {details['reason']}"
        return cls(row["sequence"], author, missing, tuple(details["faults"]), details["content"])


@dataclass(frozen=True)
class AuditVerification:
    """The outcome: how many records can be read, the head, the number that the registry has noted, and the faults.

    `missing` are spans (first, last) of records that are missing and not repaired; `repaired` lists what a person
    acknowledged, and by which record.
    """

    records: int
    head: str
    anchored: int
    faults: list[str]
    missing: list[tuple[int, int]] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Content:
    """What is there to verify: rows, files that cannot be read, commits of the table's log, and heads."""

    rows: Sequence[Mapping[str, Any]]
    damaged: Sequence[LedgerFile]
    commits: Sequence[tuple[int, str, Mapping[str, Any]]]
    heads: Sequence[Head]

    def verified(self, anchored: int) -> AuditVerification:
        """All faults, and what repairs on record acknowledge of them. Every hash is computed anew."""
        repairs, hashes = self._repairs(), {n: row["hash"] for row in self.rows if (n := hash_chain.number_of(row)) > 0}
        last = max([0, *hashes])
        end = max([last, *self._damaged_numbers(), *(head.number for head in self.heads)])
        acknowledged = {number: repair for repair in repairs for number in repair.missing}
        stated = {fault: repair for repair in repairs if repair.content == self.digest(repair.number)
                  for fault in repair.faults}  # fmt: skip
        faults = list(dict.fromkeys(self._faults(hashes, acknowledged)))
        absent = [
            f"{_records(first, last)} {'is' if first == last else 'are'} missing; {repair.author}"
            for repair in repairs
            for first, last in spans(n for n in repair.missing - set(hashes) if acknowledged[n] is repair)
        ]
        return AuditVerification(
            len(self.rows), f"{last}:{hashes[last]}" if last else "", anchored,
            faults=[fault for fault in faults if fault not in stated],
            missing=gaps({*hashes, *acknowledged}, end),
            repaired=[*absent, *(f"{fault}; {stated[fault].author}" for fault in faults if fault in stated)],
        )  # fmt: skip

    @property
    def last(self) -> Head:
        """The last record that was ever known of: a record that is there, else as the heads have it."""
        rows = [Head(hash_chain.number_of(row), row["hash"], "the table") for row in self.rows]
        # Of equals the first is taken.
        return max([*rows, *self.heads, Head(0, hash_chain.GENESIS_HASH, "")], key=lambda head: head.number)

    def digest(self, before: int) -> str:
        """One hash over all that the records before a number say now."""
        rows = [dict(row) for row in self.rows if hash_chain.number_of(row) < before]
        rows.sort(key=lambda row: (hash_chain.number_of(row), hash_chain.canonical(row)))
        return hashlib.sha256(hash_chain.canonical(rows).encode()).hexdigest()

    def _repairs(self) -> list[Repair]:
        """Repairs on record, each of numbers below its own. One whose record was changed counts for nothing."""
        return [Repair.from_row(row) for row in self.rows if row["activity"] == REPAIR and hash_chain.is_intact(row)]

    def _damaged_numbers(self) -> set[int]:
        return {number for file in self.damaged for number in _numbers(file)}

    def _faults(self, hashes: Mapping[int, str], acknowledged: Collection[int]) -> Iterable[str]:
        """All faults but records whose absence is acknowledged."""
        for file in self.damaged:
            numbers = _numbers(file)
            if not numbers or not set(numbers) <= set(acknowledged):
                yield f"{_span(file)}: the file {file.path.name} is gone or changed"
        absent = self._damaged_numbers() | set(acknowledged)
        yield from hash_chain.faults(self.rows, absent)
        for number in sorted(set(hashes) & set(acknowledged)):
            # A lost record that is back is known by the one that follows on it; else it may be anything.
            if number + 1 not in hashes:
                yield f"record {number} is there, which a repair has as missing, and nothing follows on it"
        for version, operation, metadata in self.commits:
            if "head" not in metadata and operation not in ROW_KEEPING_OPERATIONS:
                yield f"version {version} of the table was not written by daypart: {operation}"
        yield from _of_heads(self.heads, hashes, absent)


def is_whole(rows: pl.DataFrame, heads: Sequence[Head]) -> bool:
    """Whether nothing is missing from sorted records or parted from the heads, told without computing any hash.

    False also where it takes a closer look, as `Content.verified`, to tell.
    """
    last = rows["sequence"][-1] if rows.height else 0
    repairs = [row for row in rows.filter(pl.col("activity") == REPAIR).to_dicts() if hash_chain.is_intact(row)]
    missing = sum(len(Repair.from_row(row).missing) for row in repairs)
    noted_rows = rows.filter(pl.col("sequence").is_in([head.number for head in heads]))
    hashes = dict(noted_rows.select("sequence", "hash").iter_rows())
    parted = rows.filter(pl.col("sequence").diff() == 1, pl.col("previous") != pl.col("hash").shift())
    complete = rows.height + missing == last and rows["sequence"].is_unique().all()
    return bool(complete and parted.is_empty() and all(hashes.get(head.number) == head.hash for head in heads))


def gaps(numbers: Collection[int], end: int) -> list[tuple[int, int]]:
    """What lies between positive numbers, from 1 to an end, as spans (first, last)."""
    bounds = pairwise([0, *sorted(numbers), end + 1])
    return [(before + 1, after - 1) for before, after in bounds if after - before > 1]


def spans(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The numbers as spans (first, last) without gaps."""
    groups = groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in group] for _, group in groups]
    return [(run[0], run[-1]) for run in runs]


def _numbers(file: LedgerFile) -> range:
    return range(0) if file.first is None else range(file.first, (file.last or file.first) + 1)


def _span(file: LedgerFile) -> str:
    if file.first is None or file.last is None:
        return "some record"
    return _records(file.first, file.last)


def _records(first: int, last: int) -> str:
    return f"record {first}" if first == last else f"records {first} to {last}"


def _of_heads(heads: Sequence[Head], hashes: Mapping[int, str], absent: Collection[int]) -> list[str]:
    """What is wrong with the records beside heads that were noted, and with the heads themselves."""
    last = max([0, *hashes, *absent])
    faults = [f"{head.source} has {head.hash!r} for a head: expected NUMBER:HASH" for head in heads if not head.number]
    faults += [
        f"record {head.number} is another than {head.source} knows of"
        for head in heads
        if head.number in hashes and hashes[head.number] != head.hash
    ]
    end = max(heads, key=lambda head: head.number, default=Head(0, "", ""))
    if end.number > last:
        verb = "is" if end.number == last + 1 else "are"
        faults.append(f"{_records(last + 1, end.number)} {verb} gone from the end: {end.source} knows of {end.number}")
    return faults
