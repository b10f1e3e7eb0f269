"""A mapping in the making, and the usual names of columns."""

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
"""Patterns of column names by word of a mapping, in any case."""


@dataclass
class Guess:
    """A proposed mapping as in its TOML, the shape of the export if it is known, and doubts."""

    shape: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, Any]:
        """The export's column by word of the mapping."""
        return self.settings["columns"]  # type: ignore[no-any-return]


def matching_columns(frame: pl.DataFrame, word: str) -> list[str]:
    """Return the columns whose name matches the pattern of a word, in the frame's order."""
    pattern = re.compile(NAMES[word], re.IGNORECASE)
    return [name for name in frame.columns if pattern.match(name.strip())]


def often_empty(column: pl.Series) -> bool:
    """Return whether more cells are empty than a few lines of totals explain."""
    return column.null_count() > max(1, column.len() // 10) or column.null_count() == column.len()
