"""Whether published forecasts have slipped enough to train again."""

from dataclasses import dataclass

SLIP_BPS = 150.0
LEAST_HOURS = 200


@dataclass(frozen=True)
class Decision:
    """Whether to retrain, and why, in one line."""

    retrain: bool
    reason: str


def decide(
    hours: int, wape_bps: float | None, incumbent_wape_bps: float | None, promised: dict[str, float]
) -> Decision:
    """Compares the published error with what the champion's rolling origins promised.

    Days that were hard for the incumbent too are not held against the model: it has slipped where its error grew
    by SLIP_BPS more than the incumbent's did. WAPEs are over the same scored store-hours.
    """
    model, by_hand = promised.get("rolling_model_wape_bps"), promised.get("rolling_incumbent_wape_bps")
    if hours < LEAST_HOURS or wape_bps is None or incumbent_wape_bps is None:
        return Decision(False, f"no retrain: only {hours} published store-hours have actuals, {LEAST_HOURS} needed")
    if model is None or by_hand is None:
        return Decision(True, "retrain: the champion was trained on too little history to promise anything")
    slip = (wape_bps - model) - (incumbent_wape_bps - by_hand)
    text = (
        f"WAPE {wape_bps:.0f} bps against {model:.0f} promised; "
        f"the incumbent went from {by_hand:.0f} to {incumbent_wape_bps:.0f}"
    )
    if slip > SLIP_BPS:
        return Decision(True, f"retrain: slipped by {slip:.0f} bps beyond the incumbent's own change ({text})")
    return Decision(False, f"no retrain: slip of {slip:.0f} bps is within {SLIP_BPS:.0f} ({text})")
