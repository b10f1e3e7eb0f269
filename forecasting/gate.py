"""Whether a challenger may serve: compared with the champion and the incumbent on origins neither was fitted on."""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from features.records import days
from forecasting.accuracy import wape_bps
from forecasting.model import Model
from forecasting.workshop import Workshop

TOLERANCE_BPS = 25.0
"""WAPE by which a challenger may trail the champion before it is held back: newer data is worth that much."""


@dataclass(frozen=True)
class Verdict:
    """The gate's decision, its reason in one line, and the WAPEs that it rests on, in bps."""

    promote: bool
    reason: str
    figures: dict[str, float]


def gate(challenger: Model, champion: Model | None, workshop: Workshop) -> Verdict:
    """Judges a challenger on its rolling origins, which were forecast by refits that had not seen them.

    It must not lose to the incumbent. Beside a champion trained before those origins it must not trail it by
    more than TOLERANCE_BPS; a newer champion cannot be compared fairly, and fresher data then decides.
    """
    figures = {name: value for name, value in challenger.trained_on.items() if name.endswith("_bps")}
    ours, by_hand = figures.get("rolling_model_wape_bps"), figures.get("rolling_incumbent_wape_bps")
    if ours is None or by_hand is None:
        return Verdict(champion is None, "too little history to judge; serves only where nothing else does", figures)
    if ours > by_hand + TOLERANCE_BPS:
        return Verdict(
            False,
            f"loses to the incumbent on rolling origins: WAPE {ours:.0f} bps against {by_hand:.0f}",
            figures,
        )
    if champion is None:
        return Verdict(True, f"first model; WAPE {ours:.0f} bps against the incumbent's {by_hand:.0f}", figures)
    theirs, fold_wape = _paired(challenger, champion, workshop)
    if theirs is None or fold_wape is None:
        return Verdict(True, "as good as the incumbent or better, and fitted on newer data than the champion", figures)
    figures |= {"paired_challenger_wape_bps": fold_wape, "paired_champion_wape_bps": theirs}
    worse = fold_wape - theirs
    text = f"WAPE {fold_wape:.0f} bps against the champion's {theirs:.0f} on the same origins"
    return Verdict(worse <= TOLERANCE_BPS, ("" if worse <= TOLERANCE_BPS else "trails the champion: ") + text, figures)


def _paired(challenger: Model, champion: Model, workshop: Workshop) -> tuple[float | None, float | None]:
    """WAPE in bps of champion and challenger's latest refit on the origins after both were fitted."""
    fold = challenger.as_of - timedelta(days=challenger.recipe.fold_days)
    if champion.as_of > fold or fold <= workshop.first:
        return None, None
    origins = days(fold, challenger.as_of - timedelta(days=1), 7)
    rows = workshop.with_demand(workshop.rows(origins)).filter(pl.col("date") < challenger.as_of)
    if rows.is_empty():
        return None, None

    models = champion, workshop.train(fold)
    theirs, ours = (wape_bps(model.predict(rows, workshop.totals), "forecast") for model in models)
    return theirs, ours
