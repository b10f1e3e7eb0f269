"""Card: what is known of a model version, written when it is registered and read with what became of it since."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from daypart.features.errors import NotKnownError
from daypart.flows.audit.audit_log import Audit
from daypart.flows.files.atomic_files import atomic_write, check_out
from daypart.flows.home import Home
from daypart.flows.lake.lake import Lake
from daypart.flows.registry import card_files
from daypart.forecasting.explain import model_card as made

if TYPE_CHECKING:
    from daypart.flows.jobs.model_registration import TrainedModel

ENDINGS = (".md", ".html")
TOLD = ("state", "was", "reason", "request", "waits_for", "override")
"""What a card shows of a record; the audit has the rest."""
STYLE = "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto}td,th{padding:.1em .8em;text-align:left}"


@dataclass(frozen=True)
class Card:
    """A version's card as Markdown, with its version, whether it serves, and who agreed."""

    unit: str
    version: int
    text: str


def new_card(unit: str, trained: "TrainedModel", reads: Mapping[str, int]) -> str:
    """Return the card of a model that was just trained and gated, as Markdown."""
    trainer = trained.trainer
    origin = made.ModelOrigin(
        reads, trainer.first, trainer.stores, trained.predictions, trainer.samples, trained.verdict.reason,
        trained.scores,
    )  # fmt: skip
    return made.card(unit, trained.model, origin)


def card(home: Home, unit: str, version: int | None = None, out: Path | None = None) -> Card:
    """The card of a version (default: the champion, else the challenger), written to `out` where given.

    Raises NotKnownError where there is no such version or it has no card, and as `atomic_files.check_out`.
    """
    if out is not None:
        check_out(out, ENDINGS)
    chosen = version if version is not None else home.registry.version_of(unit, "champion") or "challenger"
    about = home.registry.describe(unit, chosen)
    number = int(about["version"])
    text = card_files.read(home.settings, about["run_id"])
    if text is None:
        raise NotKnownError(
            f"version {number} of {unit} has no card: it was registered before there were any; `daypart train` writes "
            "one for the next version"
        )
    model_card = Card(unit, number, f"{text}\n{_since(home, unit, about)}")
    if out is not None:
        with atomic_write(out) as draft:
            draft.write_text(_page(model_card) if out.suffix.lower() == ".html" else model_card.text, encoding="utf-8")
    return model_card


def _since(home: Home, unit: str, about: dict[str, Any]) -> str:
    """What became of the version: its aliases, and what the audit says of it."""
    number = int(about["version"])
    serves = [alias for alias in ("champion", "challenger") if home.registry.version_of(unit, alias) == number]
    lines = [
        "## Version and approvals\n",
        f"{unit}-v{number}, registered {about['created_utc']:%Y-%m-%d %H:%M} UTC, "
        f"{' and '.join(serves) or 'neither champion nor challenger'} now.\n",
    ]
    records = _records(home.lake, unit, number)
    if records.is_empty():
        return "\n".join([*lines, "No one was asked: the audit has no record of it.\n"])
    lines += ["| at (UTC) | role | activity | details |", "| --- | --- | --- | --- |"]
    for row in records.iter_rows(named=True):
        lines.append(
            f"| {row['at_utc']:%Y-%m-%d %H:%M} | {row['role']} | {row['activity']} | {_told(row['details'])} |"
        )
    return "\n".join(lines) + "\n"


def _records(lake: Lake, unit: str, version: int) -> pl.DataFrame:
    """Audit records of a version, in order."""
    records = Audit(lake).records().filter(pl.col("unit") == unit)
    is_match = [json.loads(details).get("version") == version for details in records["details"]]
    return records.filter(pl.Series(is_match, dtype=pl.Boolean))


def _told(details: str) -> str:
    values = {name: value for name in TOLD if (value := json.loads(details).get(name)) not in (None, "")}
    return "; ".join(f"{name} {value}" for name, value in values.items()).replace("|", "\\|").replace("\n", " ")


def _page(card: Card) -> str:
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(card.text)
    title = escape(f"{card.unit}-v{card.version}")
    return f'<!doctype html><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>\n{body}'
