"""What is printed of explanations and cards."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from daypart.flows.display.tables import print_json, print_table

if TYPE_CHECKING:
    from daypart.flows.jobs.card import Card
    from daypart.flows.jobs.explain import ForecastExplanation


def show_explained(explained: "ForecastExplanation", *, as_json: bool) -> None:
    """The sentences, then the incumbent, what each family adds to it, and their sum."""
    if as_json:
        print_json(asdict(explained))
        return
    print(f"origin {explained.origin}, model {explained.model_version}")
    rows = [("incumbent", "mean of the last four same weekdays", explained.incumbent)]
    rows += [(reason.family, reason.what, reason.amount) for reason in explained.reasons]
    rows += [("forecast", "their sum", explained.forecast)]
    # A tenth is the least that is told; 208.52 rounded to a tenth first would come out as 208.
    print_table(
        [
            {"family": family, "what it was": what, explained.unit: amount if abs(amount) >= 100 else round(amount, 1)}
            for family, what, amount in rows
        ]
    )
    print("\n".join([*explained.sentences, *explained.notices]))


def show_card(card: "Card", out: Path | None, *, as_json: bool) -> None:
    """The card's text, or where it was written."""
    if as_json:
        print_json({"unit": card.unit, "version": card.version, "out": out, "card": card.text})
        return
    print(f"card of {card.unit}-v{card.version}: {out}" if out else card.text)
