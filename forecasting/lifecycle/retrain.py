"""Whether a champion has decayed enough to train it again: noise and hard days aside."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from statistics import median
from typing import Literal

import polars as pl

from daypart.forecasting.lifecycle.policy import Policy
from daypart.forecasting.metrics import persistent_error
from daypart.forecasting.metrics.expected_accuracy import PRIOR_WEEKS, Promise, Usual, mean_bps

Cause = Literal["slip", "lasting slip", "steady misses", "age", "no promise", "data fault", "none"]

CAUSES: dict[Cause, str] = {
    "slip": "lost beyond what was promised for weeks as hard",
    "lasting slip": "lost for weeks beyond what was promised",
    "steady misses": "lost to misses that return at the same hours of a store",
}
"""What decay is, each in words."""
LASTING_WEEKS, LEAST_LASTING_WEEKS = 8, 6
"""A slip of whole days is told from a run of hard ones by how long it lasts."""
LEAST_STORE_WEEKS = 8
"""Store-weeks of evidence; a chain too small to have them in the window looks further back."""
MOST_WEEKS = 8
YEAR_DAYS = 365
LUCK_FREEDOM = 60
"""Degrees of freedom of luck: there are many store-weeks, but their tails are long."""
FAULTY_SHARE = 0.05
"""Share of stores with a data fault from which the others' evidence is not trusted either."""
LEADS_DAYS = 7
"""Leads that are compared: those of the promise."""


@dataclass(frozen=True)
class Strays:
    """How far a figure strays by chance: its variance in bps squared, and the degrees of freedom of that."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class Decision:
    """Whether to retrain, and why, in one line; `cause` in a word or two, and the figures that it rests on.

    Figures: `store_weeks`, `wape_bps`, `incumbent_wape_bps`; of each cause that could be judged (`slip`,
    `lasting_slip`, `steady`) what was lost to it beyond the promised, `..._bps`, and its lower bound, `..._low_bps`.
    """

    retrain: bool
    reason: str
    cause: Cause = "none"
    figures: dict[str, float] = field(default_factory=dict)


def decide(
    weeks: pl.DataFrame,
    promise: Promise | None,
    policy: Policy,
    on: date,
    trained: Sequence[date],
    faulty: int = 0,
    stores: int = 0,
    lasting: pl.DataFrame | None = None,
) -> Decision:
    """Decides at the start of day `on` for one unit, from what its champion published and what has come of it.

    `weeks`: the store-weeks before `on` (`misses.store_weeks`) of what the champion published, leads below LEADS_DAYS;
    `lasting` those of LASTING_WEEKS, whole errors alone (`misses.week_errors`), where `weeks` do not reach so far.
    `trained`: dates of the unit's trainings. Of its `stores`, `faulty` have data at fault and are not among the weeks;
    where they are more than FAULTY_SHARE nothing is decided at all.

    Three things are decay. A slip: the stores' own error of the window, days that were hard for all of them apart,
    beyond what rolling origins promised for cells that were as hard for the incumbent and of that volume; the strays of
    whole weeks in the promise count as noise. A lasting slip: the same of whole errors, over LASTING_WEEKS. Steady
    misses (`misses`) beyond the promised: what the model has wrong about its stores, returning day after day. Each is
    held against what as much volume of the promise's store-weeks shows when they are drawn anew. Seasons move none.
    """
    if faulty > FAULTY_SHARE * stores:
        message = f"no retrain: data fault in {faulty} of {stores} stores; mend the data first"
        return Decision(False, message, "data fault")
    if (early_decision := _held_back(policy, on, trained)) is not None:
        return early_decision
    if promise is None:
        return Decision(
            True,
            "retrain: the champion promises nothing to hold it against: too little history, or older than promises",
            "no promise",
        )
    if weeks.height < 2:
        message = f"{weeks.height} whole store-weeks of published hours have actuals; 2 needed"
        return Decision(False, f"no retrain: {message}")
    return _judged(_figures(weeks, weeks if lasting is None else lasting, policy, promise), policy)


def _held_back(policy: Policy, on: date, trained: Sequence[date]) -> Decision | None:
    """What cadence, cooldown and budget say before any evidence."""
    age = (on - max(trained)).days if trained else None
    if policy.retrain == "never":
        return Decision(False, "no retrain: the policy is never to")
    if policy.every_days is not None and (age is None or age >= policy.every_days):
        return Decision(True, f"retrain: last trained {age} days ago, every {policy.every_days} by the policy", "age")
    if policy.retrain == "scheduled":
        return Decision(False, f"no retrain: last trained {age} days ago, every {policy.every_days} by the policy")
    if age is not None and age < policy.cooldown_days:
        cooldown_text = f"within the {policy.cooldown_days} that a new model is given"
        return Decision(False, f"no retrain: last trained {age} days ago, {cooldown_text}")
    spent = sum((on - day).days < YEAR_DAYS for day in trained)
    if spent >= policy.retrains_a_year:
        return Decision(False, f"no retrain: {spent} in the last year, the budget is {policy.retrains_a_year}")
    return None


def _window(store_weeks: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Store-weeks of the window, or of as many weeks back as give LEAST_STORE_WEEKS."""
    weeks = -(-policy.window_days // persistent_error.WEEK_DAYS)
    while weeks < MOST_WEEKS and store_weeks.filter(pl.col("week") < weeks).height < LEAST_STORE_WEEKS:
        weeks += 1
    return store_weeks.filter(pl.col("week") < weeks)


def _figures(weeks: pl.DataFrame, longer: pl.DataFrame, policy: Policy, promise: Promise) -> dict[str, float]:
    window, lasting = _window(weeks, policy), longer.filter(pl.col("week") < LASTING_WEEKS)
    volume = float(window["actual"].sum())
    figures = {
        "store_weeks": float(window.height),
        "wape_bps": 1e4 * float(window["error"].sum()) / volume,
        "incumbent_wape_bps": 1e4 * float(window["incumbent_error"].sum()) / volume,
        **_bounded("slip", *_slip(window, promise, promise.own, "own_"), policy),
    }
    if lasting["week"].n_unique() >= LEAST_LASTING_WEEKS:
        figures |= _bounded("lasting_slip", *_lasting(lasting, promise), policy)
    steady, _ = mean_bps(window["steady"], window["actual"])
    strays = _strays(window, promise, promise.steady_se_bps, promise.steady_week_sd_bps)
    return figures | _bounded("steady", steady - promise.steady_bps, strays, policy)


def _slip(weeks: pl.DataFrame, promise: Promise, usual: Usual, prefix: str) -> tuple[float, Strays]:
    """What was lost beyond the usual, in bps, and how far that strays."""
    excess_bps, _ = mean_bps(usual.over(weeks, prefix), weeks["actual"])
    return excess_bps, _strays(weeks, promise, usual.se_bps, usual.week_sd_bps)


def _lasting(weeks: pl.DataFrame, promise: Promise) -> tuple[float, Strays]:
    """The median week's slip, which one or two hard weeks do not move, and how far it strays."""
    slips = [_slip(week, promise, promise.whole, "") for week in weeks.partition_by("week", maintain_order=True)]
    # A normal sample's median varies by pi / 2 times as much as its mean.
    variance = math.pi / 2 * sum(strays.variance for _, strays in slips) / len(slips) ** 2
    return median(slip for slip, _ in slips), Strays(variance, slips[0][1].freedom)


def _strays(weeks: pl.DataFrame, promise: Promise, se_bps: float, week_sd_bps: float) -> Strays:
    """How far a figure of some store-weeks strays beside the promise's, from how those strayed."""
    # Luck shrinks with volume; strays that all stores share do so only with more weeks.
    luck = se_bps**2 * (1 + promise.volume / float(weeks["actual"].sum()))
    common = week_sd_bps**2 * (1 / weeks["week"].n_unique() + 1 / promise.weeks)
    # Degrees of freedom of the sum (Satterthwaite 1946).
    squares = luck**2 / LUCK_FREEDOM + common**2 / (promise.weeks - 1 + PRIOR_WEEKS)
    return Strays(luck + common, (luck + common) ** 2 / squares if squares > 0.0 else LUCK_FREEDOM)


def _bounded(name: str, estimate: float, strays: Strays, policy: Policy) -> dict[str, float]:
    from scipy.stats import t

    sure = float(t.ppf(policy.confidence, strays.freedom)) * strays.variance**0.5
    return {f"{name}_bps": estimate, f"{name}_low_bps": estimate - sure}


def _judged(figures: dict[str, float], policy: Policy) -> Decision:
    against = f"WAPE {figures['wape_bps']:.0f} bps, the incumbent's {figures['incumbent_wape_bps']:.0f}"
    cause_texts = []
    for cause, meaning in CAUSES.items():
        name = cause.split()[0] if cause == "steady misses" else cause.replace(" ", "_")
        estimate, low = figures.get(f"{name}_bps"), figures.get(f"{name}_low_bps")
        if estimate is None or low is None:
            continue
        if estimate >= policy.slip_bps and low > 0.0:
            sure = f"at least {low:.0f} with {policy.confidence:.1%} confidence"
            return Decision(True, f"retrain: {estimate:.0f} bps {meaning}, {sure} ({against})", cause, figures)
        cause_texts.append(f"{estimate:.0f} bps {meaning} (at least {low:.0f})")
    reason = f"no retrain: {'; '.join(cause_texts)}; {policy.slip_bps:.0f} surely lost are needed ({against})"
    return Decision(False, reason, "none", figures)
