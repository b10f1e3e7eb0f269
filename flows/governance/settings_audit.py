"""Declared: the home's files of settings as the audit last had them, and what differs from that now.

A file is declared by who may change what it says. Jobs go on with one that is not, but their records name it.
"""

import difflib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from daypart.features.errors import DaypartError, InputError
from daypart.flows.audit.audit_log import Entry
from daypart.flows.config.governance import DEFAULT, Activity, Governance
from daypart.flows.config.policies import Policies
from daypart.flows.config.portfolio import Portfolio
from daypart.flows.config.recipes import Recipes
from daypart.flows.governance.signoff import Signoff
from daypart.flows.home import Home

GOVERNANCE = "governance.toml"
FILES: dict[str, Activity] = {
    **dict.fromkeys(("settings.toml", "policy.toml", "recipes.toml", GOVERNANCE), "change_settings"),
    "portfolio.toml": "change_tier",
}
"""The files, each with the activity by whose rule it is declared."""

READERS: dict[str, Callable[[Path], object]] = {
    **{"policy.toml": Policies.of_home, "portfolio.toml": Portfolio.read},
    **{"recipes.toml": Recipes.read, GOVERNANCE: Governance.read},
}
"""What refuses a file that cannot be read; `settings.toml` was read when the home was opened."""


@dataclass(frozen=True)
class Change:
    """A file whose text is another than was declared last; a null text = no file."""

    file: str
    declared: str | None
    text: str | None

    @property
    def kind(self) -> str:
        """New, changed or removed."""
        return "removed" if self.text is None else "new" if self.declared is None else "changed"

    @property
    def diff(self) -> str:
        """From what was declared to what is there, as a unified diff."""
        before, after = ((text or "").splitlines() for text in (self.declared, self.text))
        return "\n".join(difflib.unified_diff(before, after, f"{self.file} declared", self.file, lineterm=""))

    def details(self, reason: str) -> dict[str, str | None]:
        """What the record of its being declared says."""
        digests = {"sha256": _digest(self.text), "before": _digest(self.declared)}
        return {"file": self.file, "text": self.text, "reason": reason, **digests}


def undeclared(home: Home) -> list[Change]:
    """The files that differ from what was declared last, or never were declared, or are gone; sorted by name."""
    return _changes(_declared(home.audit.records()), home.path)


def unreadable(home: Path) -> list[str]:
    """What is wrong with each file that cannot be read, in a line."""
    errors = []
    for name, read in READERS.items():
        try:
            read(home / name)
        except InputError as error:
            errors.append(str(error))
    return list(dict.fromkeys(errors))


def mark(home: Home) -> dict[str, list[str]]:
    """What a job's records say of them: `undeclared` with their names, or nothing where there are none."""
    names = [change.file for change in undeclared(home)]
    return {"undeclared": names} if names else {}


def may_declare(home: Home, file: str) -> tuple[str, ...]:
    """The roles that may declare the file; where a rule wants an approval, only who is accountable."""
    return rules(home).rule(FILES[file], DEFAULT).may_alone


def rules(home: Home) -> Governance:
    """The rules of `governance.toml` as declared last; where it never was, as it is."""
    return _governance(_declared(home.audit.records()), home.settings.governance)


def declare(home: Home, signoff: Signoff, files: Sequence[str] = ()) -> list[Change]:
    """Records the text of some files (default: of all that are undeclared) in one commit; what was undeclared of them.

    The rules are those of `governance.toml` as declared last, so that no text of it lets itself be declared; where
    none was, as it is. Raises InputError for a role that may not, an unknown file, and one that cannot be read, and
    DaypartError where another declares at the same time; nothing is recorded then.
    """
    unknown = [name for name in files if name not in FILES]
    if unknown:
        raise InputError(f"{unknown[0]!r} is no file to declare: expected {', '.join(FILES)}")
    declared = _declared(home.audit.records())
    changes = [change for change in _changes(declared, home.path) if change.file in (files or FILES)]
    for change in changes:
        if change.file in READERS:
            READERS[change.file](home.path / change.file)
        _check(_governance(declared, home.settings.governance), change.file, signoff.role)

    def is_last(records: pl.DataFrame) -> None:
        if _declared(records) != declared:
            raise DaypartError("another has declared files just now: run again")

    if changes:
        entries = [Entry(FILES[change.file], "", change.details(signoff.reason)) for change in changes]
        home.audit.extend(signoff.now, signoff.role, entries, is_last)
    return changes


def _check(governance: Governance, file: str, role: str) -> None:
    """Raises InputError for a role that may not declare the file."""
    may = governance.check(FILES[file], DEFAULT, file, role).may_alone
    if role not in may:
        raise InputError(f"{role} may not declare {file} alone: that is for {may[0]}, who is accountable")


def _changes(declared: Mapping[str, str | None], home: Path) -> list[Change]:
    texts = {name: _text(home / name) for name in sorted(FILES)}
    return [Change(name, declared.get(name), text) for name, text in texts.items() if text != declared.get(name)]


def _declared(records: pl.DataFrame) -> dict[str, str | None]:
    """By file, the text that was declared last; null where it was removed."""
    declarations = records.filter(pl.col("activity").is_in(sorted(set(FILES.values())))).select("sequence", "details")
    details = map(json.loads, declarations.sort("sequence")["details"])
    return {detail["file"]: detail["text"] for detail in details}


def _governance(declared: Mapping[str, str | None], path: Path) -> Governance:
    """The rules as declared last; as they are where they never were."""
    return Governance.from_text(path, declared[path.name] or "") if path.name in declared else Governance.read(path)


def _text(path: Path) -> str | None:
    """What the file says, as its bytes do: line ends as they are. Raises InputError for a folder in its place."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected a file of settings, or none")
    return path.read_bytes().decode("utf-8", "backslashreplace") if path.is_file() else None


def _digest(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()
