"""A mapping that is being proposed, and what columns are called."""

import re
from dataclasses import dataclass, field
from typing import Any

import polars as pl

NAMES = {
    "ticket": r"(receipt|ticket|order|transaction|check|cheque|invoice|bill|sale|bon|beleg|facture)s?"
    r"([ _#.]*(id|no|nr|num|number|code|name|n[uú]mero|nummer))?[ .#]*$",
    "line_total": r"^(net|net[ _](sales|price|amount|total)|total[ _]money|.*line[ _]?total|.*sub[ _]?total|"
    r"(total|amount|sales|revenue|umsatz|betrag|montant|importe|total[ _]?(price|amount|net)?|money)|.*total.*)$",
    "unit_price": r".*(unit[ _]?price|price|prix|preis|pris|precio)",
    "quantity": r"(qty|quantity|quantit[eé]|menge|antal|cantidad|pieces|.*[ _](qty|quantity))$",
    "store": r"(store|shop|location|outlet|branch|site|venue|filiale|butik|restaurant|tienda)"
    r"([ _]?(id|name|no|code))?$",
    "item": r".*(item|product|article|artikel|produkt|menu|description|_name$|dish)",
    "till": r".*(register|till|terminal|kasse|caisse|device|workstation|pos)([ _]?(id|name|no|nr|number))?$",
    "timezone": r".*(time[ _]?zone|^tz$)",
    "state": r".*(void|status|state|cancel|deleted)",
}
"""What columns are called, by word, in whatever case."""


@dataclass
class Guess:
    """A mapping as its TOML would have it, the shape that it was told from, and what is unsure."""

    shape: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, Any]:
        return self.settings["columns"]  # type: ignore[no-any-return]


def named(frame: pl.DataFrame, word: str) -> list[str]:
    """The columns that are called so, those nearest to the beginning of the pattern first."""
    pattern = re.compile(NAMES[word], re.IGNORECASE)
    return [name for name in frame.columns if pattern.match(name.strip())]


def often_empty(column: pl.Series) -> bool:
    """Whether more cells are empty than those of a line of totals."""
    return column.null_count() > max(1, column.len() // 10) or column.null_count() == column.len()
