"""Audit: who did what when and why, in records that are only ever added and are chained by their hashes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from flows.adapters import chain
from flows.adapters.lake import Lake
from flows.adapters.lake_tables import AUDIT
from flows.adapters.ledger import HARMLESS, Ledger, Stored
from flows.adapters.registry import Registry

ANCHOR = "audit.head"
"""The registry's note of the last record's number and hash."""

Check = Callable[[pl.DataFrame], None]
"""Is given the records that are there and raises where the new one may not follow on them."""


@dataclass(frozen=True)
class Record:
    """One record: a number that counts from 1 without gaps, and the hash of the record before.

    `at_utc` is naive UTC, `details` canonical JSON, `unit` empty for what concerns no unit.
    """

    sequence: int
    at_utc: datetime
    role: str
    activity: str
    unit: str
    details: str
    previous: str
    hash: str = ""


@dataclass(frozen=True)
class Verified:
    """How many records there are, number and hash of the last one, how many the registry knows of, and the faults."""

    records: int
    head: str
    anchored: int
    faults: list[str]


class Audit:
    """The audit table of a lake. With a registry, the last record's hash is noted there as well."""

    def __init__(self, lake: Lake, registry: Registry | None = None) -> None:
        self._lake, self._registry, self._ledger = lake, registry, Ledger(lake, "audit")

    def append(
        self, now: datetime, role: str, activity: str, unit: str, details: Mapping[str, Any], check: Check | None = None
    ) -> Record:
        """Adds one record after the last one. Writers are safe from one another: there is one chain, without gaps.

        A writer that is killed leaves the record or nothing. `check` sees the records that this one follows on,
        and what it raises is raised.
        """
        return self.extend(now, role, [(activity, unit, details)], check)[0]

    def extend(
        self,
        now: datetime,
        role: str,
        told: Sequence[tuple[str, str, Mapping[str, Any]]],
        check: Check | None = None,
    ) -> list[Record]:
        """Adds several records (activity, unit, details) in one commit, as `append` does one."""
        at = now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo else now

        def follow(stored: pl.LazyFrame | None) -> tuple[pl.DataFrame, dict[str, str]]:
            if check is not None:
                check(_ordered(stored))
            number, previous = _last(stored)
            made = []
            for activity, unit, details in told:
                number += 1
                record = Record(number, at, role, activity, unit, chain.canonical(details), previous)
                previous = chain.hash_of(asdict(record))
                made.append({**asdict(record), "hash": previous})
            return pl.DataFrame(made, AUDIT), {"head": _named(number, previous)}

        added = [Record(**row) for row in self._ledger.extend(follow).to_dicts()]
        self._anchor()
        return added

    def records(self) -> pl.DataFrame:
        """All records in order, with the columns of `Record`; none where nothing was ever recorded."""
        return _ordered(self._lake.scan("audit") if self._lake.exists("audit") else None)

    def verify(self, head: str | None = None) -> Verified:
        """Recomputes every hash, and compares the end with what the lake's log and the registry noted of it.

        `head` is the number and hash of a record as `verify` told them once, kept where nobody here can write.
        Found is any change of a record or of a file's byte, and any removal, insertion or new order. Who can write
        to the lake, its log and the registry can make all of them anew: that shows only against such a `head`.
        """
        from deltalake.exceptions import DeltaError

        try:
            files, commits = self._ledger.files(), list(self._ledger.commits())
        except (DeltaError, OSError) as failed:
            return Verified(0, "", 0, [f"the table's log cannot be read: {' '.join(str(failed).split())}"])
        read = [(file, file.rows()) for file in files]
        lost = {number for file, rows in read if rows is None for number in _numbers(file)}
        rows = [row for _, found in read if found is not None for row in found.select(list(AUDIT)).to_dicts()]
        noted = (self._registry.noted(ANCHOR) if self._registry else None) or ""
        hashes = {row["sequence"]: row["hash"] for row in rows}
        told = [f"{_span(file)}: the file {file.path.name} is gone or changed" for file, found in read if found is None]
        told += chain.faults(rows, lost)
        told += [
            f"version {version} of the table was not written by daypart: {operation}"
            for version, operation, said in commits
            if "head" not in said and operation not in HARMLESS
        ]
        heads = [("the table's log", str(said["head"])) for _, _, said in commits if "head" in said]
        heads += [(by, text) for by, text in (("the registry", noted), ("the head given", head)) if text]
        told += _of_heads(heads, hashes, lost)
        last = max(hashes, default=0)
        end = _named(last, hashes[last]) if last else ""
        return Verified(len(rows), end, _parsed(noted)[0], list(dict.fromkeys(told)))

    def _anchor(self) -> None:
        """Notes the last record in the registry. Whoever notes last has seen that it is the last."""
        if self._registry is None:
            return
        noted = ""
        while noted != (head := _named(*_last(self._lake.scan("audit")))):
            self._registry.note(ANCHOR, head)
            noted = head


def _ordered(stored: pl.LazyFrame | None) -> pl.DataFrame:
    return pl.DataFrame(schema=AUDIT) if stored is None else stored.select(list(AUDIT)).collect().sort("sequence")


def _last(stored: pl.LazyFrame | None) -> tuple[int, str]:
    """Number and hash of the last record."""
    if stored is None:
        return 0, chain.FIRST
    number = stored.select(pl.col("sequence").max()).collect().item()
    return number, stored.filter(pl.col("sequence") == number).select("hash").collect().item()


def _named(number: int, digest: str) -> str:
    return f"{number}:{digest}"


def _parsed(head: str) -> tuple[int, str]:
    number, _, digest = head.partition(":")
    return (int(number), digest) if number.isdecimal() else (0, digest)


def _numbers(file: Stored) -> range:
    return range(file.first or 0, (file.last or file.first or 0) + 1)


def _span(file: Stored) -> str:
    if file.first is None or file.last is None:
        return "some record"
    return f"record {file.first}" if file.first == file.last else f"records {file.first} to {file.last}"


def _of_heads(heads: list[tuple[str, str]], hashes: Mapping[int, str], lost: set[int]) -> list[str]:
    """What is wrong with the records beside what was noted, by whom, of the one that was the last at its time."""
    last = max([0, *hashes, *lost])
    parsed = [(by, *_parsed(head)) for by, head in heads]
    told = [
        f"record {number} is another than {by} knows of"
        for by, number, digest in parsed
        if number in hashes and hashes[number] != digest
    ]
    by, end = max(((by, number) for by, number, _ in parsed), key=lambda each: each[1], default=("", 0))
    if end > last:
        gone = f"record {end} is" if end == last + 1 else f"records {last + 1} to {end} are"
        told.append(f"{gone} gone from the end: {by} knows of {end}")
    return told
