"""Edits of the audit table. Verification must find each, and a permitted role must be able to repair it."""

import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from daypart.flows.audit.ledger import Ledger
from daypart.flows.lake.lake import Lake
from tests.faults.homes import Job, copy_of_home, run
from tests.faults.trials import Trial, Verdict, has_traceback
from tests.flows.audit.test_audit_log import flipped, forge
from tests.flows.audit.test_verification import cut_end, log, lose_file, overwrite_file

Edit = Callable[[Path, random.Random, int], object]


def _change(lake: Path, chance: random.Random, number: int) -> None:
    """Flip one bit of one column of a record, in a file and a log that match."""

    def flip(row: dict[str, Any]) -> dict[str, Any]:
        column = chance.choice([name for name, value in row.items() if value not in ("", None)])
        return {**row, column: flipped(row[column], chance)}

    forge(lake, number, flip)


def _flip_byte(lake: Path, chance: random.Random, number: int) -> None:
    path = Ledger(Lake(lake), "audit").files()[number - 1].path
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def _truncate_log(lake: Path, chance: random.Random, number: int) -> None:
    text = log(lake, number - 1).read_text()
    log(lake, number - 1).write_text(text[: chance.randrange(len(text) - 1)])


EDIT_KINDS: dict[str, Edit] = {
    "change a column": _change,
    "flip a byte": _flip_byte,
    "remove a record": lambda lake, _, number: forge(lake, number, lambda row: None),
    "cut the end": lambda lake, chance, _: cut_end(lake, chance.randint(1, _count(lake))),
    "lose a file": lambda lake, _, number: lose_file(lake, number),
    "overwrite a file": lambda lake, _, number: overwrite_file(lake, number),
    "lose a log entry": lambda lake, _, number: log(lake, number - 1).unlink(),
    "truncate a log entry": _truncate_log,
    "forge a role": lambda lake, _, number: forge(lake, number, lambda row: {**row, "role": "nobody"}),
    "lose the table": lambda lake, *_: shutil.rmtree(lake / "audit"),
}


def edits(job: Job, count: int, seed: int) -> list[Trial]:
    """Return `count` edits of the home's audit, of all kinds in turn."""
    names = list(EDIT_KINDS)
    return [partial(try_edit, job, names[k % len(names)], seed + k) for k in range(count)]


def try_edit(job: Job, name: str, seed: int) -> list[Verdict]:
    """Make one edit on a copy of the home, then verify, read, repair and verify again."""
    chance, note = random.Random(seed), f"{name}, seed {seed}"
    with copy_of_home(job.home) as home:
        lake = home / "lake"
        EDIT_KINDS[name](lake, chance, chance.randint(1, _count(lake)))
        verified, status = run(home, "audit", "--verify"), run(home, "status")
        repair = ("audit", "--repair", "--role", "lead", "--reason", note)
        repaired = run(home, *repair)
        if repaired.status:
            shutil.rmtree(lake / "audit")  # The error says to do this where the log cannot be read.
            repaired = run(home, *repair)
        after = run(home, "audit", "--verify")
        results = (verified, status, repaired, after)
        return [
            Verdict(
                lost_data=verified.status == 0,
                traceback=any(has_traceback(result.err) for result in results),
                wrong_status=verified.status != 1 or any(result.status for result in results[1:]),
                note=f"{note}: " + "; ".join(f"{r.status} {(r.err or r.out).strip()[:200]}" for r in results),
            )
        ]


def _count(lake: Path) -> int:
    return len(Ledger(Lake(lake), "audit").files())
