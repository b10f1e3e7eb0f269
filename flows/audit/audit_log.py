"""Audit: who did what when and why, in records that are only ever added and are chained by their hashes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from daypart.features.clock import utc_moment
from daypart.features.errors import DamagedError, InputError
from daypart.flows.audit import hash_chain
from daypart.flows.audit.ledger import Ledger
from daypart.flows.audit.verification import REPAIR, AuditVerification, Content, Head, is_whole
from daypart.flows.files.lock import file_lock
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.tables import AUDIT_COLUMNS
from daypart.flows.registry.registry import Registry

ANCHOR = "audit.head"
"""The registry's note of the last record's number and hash."""
REMEDY = "restore the table from a copy, or record what is missing with `daypart audit --repair`"

Check = Callable[[pl.DataFrame], None]
"""Is given the records that are there and raises where the new one may not follow on them."""


class Entry(NamedTuple):
    """What one record is to say: the activity, the unit it concerns (empty: none), and the details."""

    activity: str
    unit: str
    details: Mapping[str, Any]


"""Activity, unit and details of a record to add."""


@dataclass(frozen=True)
class Record:
    """One record: a number that counts from 1, and the hash of the record before. A number is never used twice.

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


class Audit:
    """The audit table of a lake. With a registry, the last record's number and hash are noted there as well."""

    def __init__(self, lake: Lake, registry: Registry | None = None) -> None:
        self.lake, self._registry, self._ledger = lake, registry, Ledger(lake, "audit")

    def append(self, now: datetime, role: str, entry: Entry, check: Check | None = None) -> Record:
        """Adds one record after the last one. Writers are safe from one another: there is one chain, without gaps.

        A writer that is killed leaves the record or nothing. `check` sees the records that this one follows on,
        and what it raises is raised. Raises DamagedError, and adds nothing, where records that were written are
        missing, are parted from one another, or are others than were noted.
        """
        return self.extend(now, role, [entry], check)[0]

    def extend(
        self, now: datetime, role: str, entries: Sequence[Entry], check: Check | None = None
    ) -> list[Record]:  # fmt: skip
        """Adds several records in one commit, as `append` adds one."""
        # Read before the table: what is noted in the meantime is of records that the table as read does not have.
        heads = self._heads()

        def follow(stored: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
            if not is_whole(stored, heads):
                self.check()
            if check is not None:
                check(stored)
            return _chained(now, role, entries, *_last(stored))

        return self._added(follow)

    def check(self) -> None:
        """Raises DamagedError where `append` would."""
        heads = self._heads()
        if not is_whole(self.records(), heads) and (faults := self.verify().faults):
            more = f" ({len(faults)} faults in all)" if len(faults) > 1 else ""
            raise DamagedError(
                f"the audit is not as it was written, so nothing more is recorded: {faults[0]}{more}; see "
                f"`daypart audit --verify`, then {REMEDY}"
            )

    def repair(
        self, now: datetime, role: str, reason: str, champions: Mapping[str, int] | None = None
    ) -> Record | None:  # fmt: skip
        """Acknowledges all faults by a record that names them, and the champions; null where there is none.

        It counts on from the last record that was ever known of, so that numbers of lost records are not used again,
        and holds that one's hash. Verification lists from then on what it names as repaired, as long as the records
        before it stay as they are. Raises DamagedError where the table's log cannot be read.
        """

        def follow(stored: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
            content = self._content()
            verified = content.verified(0)
            if not verified.faults:
                return self.empty(), {}
            last = content.last
            noted_heads = {head.source: str(head) for head in content.heads if head.number == last.number}
            details = {
                **{"missing": verified.missing, "faults": verified.faults, "noted": noted_heads, "reason": reason},
                **{"content": content.digest(last.number + 1), "champions": champions or {}},
            }
            return _chained(now, role, [Entry(REPAIR, "", details)], last.number, last.hash)

        return next(iter(self._added(follow)), None)

    @staticmethod
    def empty() -> pl.DataFrame:
        """No records, with the columns that `records` has."""
        return pl.DataFrame(schema=AUDIT_COLUMNS)

    def records(self) -> pl.DataFrame:
        """All records in order, with the columns of `Record`; none where nothing was ever recorded.

        What cannot be read is left out: `verify` finds it. Raises DamagedError where the table's log cannot be read.
        """
        return self._ledger.rows()

    def verify(self, head: str | None = None) -> AuditVerification:
        """Computes every hash anew, and compares the end with what the lake's log and the registry noted of it.

        `head` is the number and hash of a record as `verify` told them once, kept where nobody here can write.
        Found is any change of a record or of a file's byte, and any removal, insertion or new order; what a repair
        on record names is listed apart. Who can write to the lake, its log and the registry can make all of them anew:
        that shows only against such a `head`. Raises InputError for a head that is none.
        """
        extra_heads = [] if head is None else [Head.parse(head, "the head given")]
        if extra_heads and not extra_heads[0].number:
            raise InputError(f"--head is {head!r}: expected NUMBER:HASH as `daypart audit --verify` printed it")
        anchored = self._noted().number if self._registry else 0
        try:
            return self._content(extra_heads).verified(anchored)
        except DamagedError as failed:
            return AuditVerification(0, "", anchored, [str(failed)])

    def _content(self, extra_heads: Sequence[Head] = ()) -> Content:
        """All there is to verify. Heads are read before the records, as `extend` does."""
        noted, commits = self._noted_heads(), list(self._ledger.commits())
        files = self._ledger.files()
        read = [(file, file.rows(AUDIT_COLUMNS)) for file in files]
        rows = [row for _, frame in read if frame is not None for row in frame.to_dicts()]
        damaged = [file for file, frame in read if frame is None]
        return Content(rows, damaged, commits, [*_logged(commits), *noted, *extra_heads])

    def _heads(self) -> list[Head]:
        """What the registry and the table's latest commit have for the last record."""
        return [*self._noted_heads(), *_logged(self._ledger.commits(latest=1))]

    def _noted_heads(self) -> list[Head]:
        noted = self._noted()
        return [noted] if noted.hash else []

    def _noted(self) -> Head:
        """The registry's note; number 0 without a hash where there is none."""
        return Head.parse((self._registry.read_note(ANCHOR) if self._registry else None) or "", "the registry")

    def _added(self, follow: Callable[[pl.DataFrame], tuple[pl.DataFrame, dict[str, str]]]) -> list[Record]:
        added = [Record(**row) for row in self._ledger.extend(follow).to_dicts()]
        if added and self._registry is not None:
            self._note(self._registry, added[-1])
        return added

    def _note(self, registry: Registry, record: Record) -> None:
        """Notes a record in the registry as the last one, unless a later one is noted: a note never goes back."""
        with file_lock(registry.settings.home / "audit.lock"):
            if self._noted().number < record.sequence:
                registry.write_note(ANCHOR, f"{record.sequence}:{record.hash}")


def _chained(
    now: datetime, role: str, entries: Iterable[Entry], number: int, previous: str
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Records that follow on a number and hash, and the head that their commit is to name."""
    at = utc_moment(now)
    rows = []
    for activity, unit, details in entries:
        number += 1
        record = Record(number, at, role, activity, unit, hash_chain.canonical(details), previous)
        previous = hash_chain.hash_of(asdict(record))
        rows.append({**asdict(record), "hash": previous})
    return pl.DataFrame(rows, AUDIT_COLUMNS), {"head": f"{number}:{previous}"}


def _last(stored: pl.DataFrame) -> tuple[int, str]:
    """Number and hash of the last of sorted records."""
    return (0, hash_chain.GENESIS_HASH) if stored.is_empty() else stored.select("sequence", "hash").row(-1)


def _logged(commits: Iterable[tuple[int, str, Mapping[str, Any]]]) -> list[Head]:
    return [Head.parse(str(entry["head"]), "the table's log") for _, _, entry in commits if "head" in entry]
