"""The hash chain of audit records: each holds the hash of the one before, so that later changes are detected.

Haber and Stornetta, How to time-stamp a digital document, Journal of Cryptology 3 (1991), 99-111.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
"""A stored record, by column."""

GENESIS_HASH = "0" * 64
"""The hash that the first record has in place of an earlier record's."""


def canonical(value: object) -> str:
    """Return the canonical JSON of a value: keys sorted, no spaces, ASCII; dates as text, NaN as its name."""
    plain = json.loads(json.dumps(value, default=str), parse_constant=str)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def hash_of(row: Row) -> str:
    """Return the SHA-256 over the canonical JSON of all columns except `hash`."""
    content = {name: value for name, value in row.items() if name != "hash"}
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def faults(rows: Sequence[Row], absent: Collection[int] = ()) -> list[str]:
    """Return what is wrong with the records, one line per fault; numbers in `absent` are not reported as gone.

    An edit of a column is detected in its own record, a removal or insertion in the record that follows. If all later
    records were recomputed, or the last ones are missing, only the hash of the last record, stored elsewhere, shows it.
    """
    ordered = sorted(rows, key=lambda row: (number_of(row), str(row["hash"])))
    lines = [f"{_label(row)} was changed: its hash is not that of its content" for row in ordered if not is_intact(row)]
    counts = Counter(map(number_of, ordered))
    lines += [f"record {number} is there {times} times" for number, times in counts.items() if times > 1]
    last = max(counts, default=0)
    lines += [f"record {number} is gone" for number in range(1, last) if number not in counts and number not in absent]
    hashes = {0: GENESIS_HASH, **{number_of(row): row["hash"] for row in ordered}}
    for row in ordered:
        before = hashes.get(number_of(row) - 1)
        if before is not None and row["previous"] != before:
            predecessor = f"record {number_of(row) - 1}" if number_of(row) > 1 else "the beginning"
            lines.append(
                f"{_label(row)} does not follow on {predecessor}, which is another now than when it was written"
            )
    return lines


def is_intact(row: Row) -> bool:
    """Return whether a record has a number, and the hash of its content."""
    return bool(row["hash"] == hash_of(row)) and number_of(row) > 0


def number_of(row: Row) -> int:
    """Return the number of a record; 0 where it has none."""
    return row["sequence"] if isinstance(row["sequence"], int) else 0


def _label(row: Row) -> str:
    return f"record {row['sequence']} ({row['activity']} of {row['unit']} by {row['role']}, {row['at_utc']})"
