"""Decide whether a champion has decayed enough to retrain it, apart from noise and hard days."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from statistics import median
from typing import Literal

import polars as pl

from daypart.forecasting.lifecycle.policy import Policy
from daypart.forecasting.metrics import persistent_error
from daypart.forecasting.metrics.expected_accuracy import PRIOR_WEEKS, ExpectedAccuracy, UsualError, mean_bps
from daypart.forecasting.metrics.expressions import bps

Cause = Literal["slip", "lasting slip", "steady misses", "age", "no promise", "data fault", "none"]

CAUSES: dict[Cause, str] = {
    "slip": "lost beyond what was promised for weeks as hard",
    "lasting slip": "lost for weeks beyond what was promised",
    "steady misses": "lost to misses that return at the same hours of a store",
}
"""The kinds of decay, in words."""
LASTING_WEEKS, MIN_LASTING_WEEKS = 8, 6
"""A slip of whole days is told from a run of hard ones by how long it lasts."""
MIN_STORE_WEEKS = 8
"""Store-weeks of evidence; a chain too small to have them in the window looks further back."""
MAX_WINDOW_WEEKS = 8
BUDGET_YEAR_DAYS = 365
LUCK_FREEDOM = 60
"""Degrees of freedom of luck: there are many store-weeks, but their tails are long."""
FAULTY_SHARE = 0.05
"""Share of stores with a data fault above which the evidence of the other stores is not trusted either."""
LEADS_DAYS = 7
"""Leads that are compared: those of the expected accuracy."""


@dataclass(frozen=True)
class ErrorVariance:
    """How far a figure varies by chance: its variance in bps squared, and the degrees of freedom of that."""

    variance: float
    freedom: float


@dataclass(frozen=True)
class Loss:
    """What was lost to one cause beyond the expected, in bps of the volume, and how far that varies by chance."""

    bps: float
    chance: ErrorVariance

    def figures(self, name: str, confidence: float) -> dict[str, float]:
        """Return the loss and its lower bound, named for the cause."""
        from scipy.stats import t

        sure = float(t.ppf(confidence, self.chance.freedom)) * self.chance.variance**0.5
        return {f"{name}_bps": self.bps, f"{name}_low_bps": self.bps - sure}


@dataclass(frozen=True)
class Decision:
    """Whether to retrain, the reason in one line, its `cause` in a word or two, and the figures behind it.

    Figures: `store_weeks`, `wape_bps`, `incumbent_wape_bps`; of each cause that could be judged (`slip`,
    `lasting_slip`, `steady`) what was lost to it beyond the promised, `..._bps`, and its lower bound, `..._low_bps`.
    """

    retrain: bool
    reason: str
    cause: Cause = "none"
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RetrainEvidence:
    """What is known of a unit's published forecasts when a retrain is decided.

    `weeks` are the store-weeks of what its champion published, leads below LEADS_DAYS (`persistent_error.store_weeks`).
    `lasting` are those of LASTING_WEEKS, whole errors alone (`persistent_error.week_errors`); null where `weeks` reach
    as far. Of the unit's `stores`, `faulty_stores` have data at fault and are not among the weeks.
    """

    weeks: pl.DataFrame
    lasting: pl.DataFrame | None = None
    stores: int = 0
    faulty_stores: int = 0


def decide(
    evidence: RetrainEvidence, expected: ExpectedAccuracy | None, policy: Policy, on: date, trained: Sequence[date]
) -> Decision:
    """Decide at the start of day `on` whether to retrain one unit, from the evidence before that day.

    `trained` are the dates of the unit's trainings. Where the data of more than FAULTY_SHARE of its stores are at fault
    there is no retrain.

    Three things are decay. A slip: the stores' own error of the window, days that were hard for all of them apart,
    beyond what rolling origins lead to expect for cells that were as hard for the incumbent and of that volume; the
    variation of whole weeks at those origins counts as noise. A lasting slip: the same of whole errors, over
    LASTING_WEEKS. Steady misses (`persistent_error`) beyond the expected: what the model has wrong about its stores,
    returning day after day. Each is compared with what as much volume of the rolling origins' store-weeks shows when
    they are resampled. Seasons move none.
    """
    weeks, faulty = evidence.weeks, evidence.faulty_stores
    if faulty > FAULTY_SHARE * evidence.stores:
        message = f"no retrain: data fault in {faulty} of {evidence.stores} stores; mend the data first"
        return Decision(False, message, "data fault")
    if (early_decision := _decide_by_age(policy, on, trained)) is not None:
        return early_decision
    if expected is None:
        return Decision(
            True,
            "retrain: the champion promises nothing to hold it against: too little history, or older than promises",
            "no promise",
        )
    if weeks.height < 2:
        message = f"{weeks.height} whole store-weeks of published hours have actuals; 2 needed"
        return Decision(False, f"no retrain: {message}")
    window = _window(weeks, policy)
    if window["actual"].sum() <= 0:
        message = f"nothing was sold in the {window.height} whole store-weeks of the window"
        return Decision(False, f"no retrain: {message}")
    lasting = weeks if evidence.lasting is None else evidence.lasting
    return _decide_by_figures(_figures(weeks, lasting, policy, expected), policy)


def _decide_by_age(policy: Policy, on: date, trained: Sequence[date]) -> Decision | None:
    """Return what cadence, cooldown and budget decide before any evidence; null where they decide nothing."""
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
    spent = sum((on - day).days < BUDGET_YEAR_DAYS for day in trained)
    if spent >= policy.retrains_a_year:
        return Decision(False, f"no retrain: {spent} in the last year, the budget is {policy.retrains_a_year}")
    return None


def _window(store_weeks: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Return the store-weeks of the window, or of as many weeks back as give MIN_STORE_WEEKS."""
    weeks = -(-policy.window_days // persistent_error.WEEK_DAYS)
    while weeks < MAX_WINDOW_WEEKS and store_weeks.filter(pl.col("week") < weeks).height < MIN_STORE_WEEKS:
        weeks += 1
    return store_weeks.filter(pl.col("week") < weeks)


def _figures(weeks: pl.DataFrame, longer: pl.DataFrame, policy: Policy, expected: ExpectedAccuracy) -> dict[str, float]:
    has_demand = pl.col("actual").sum().over("week") > 0
    window, lasting = _window(weeks, policy), longer.filter(pl.col("week") < LASTING_WEEKS, has_demand)
    volume = float(window["actual"].sum())
    figures = {
        "store_weeks": float(window.height),
        "wape_bps": bps(float(window["error"].sum()), volume),
        "incumbent_wape_bps": bps(float(window["incumbent_error"].sum()), volume),
        **_slip(window, expected, expected.store, "own_").figures("slip", policy.confidence),
    }
    if lasting["week"].n_unique() >= MIN_LASTING_WEEKS:
        figures |= _lasting_slip(lasting, expected).figures("lasting_slip", policy.confidence)
    steady, _ = mean_bps(window["steady"], window["actual"])
    chance = _chance(window, expected, expected.steady_se_bps, expected.steady_week_sd_bps)
    return figures | Loss(steady - expected.steady_bps, chance).figures("steady", policy.confidence)


def _slip(weeks: pl.DataFrame, expected: ExpectedAccuracy, usual: UsualError, prefix: str) -> Loss:
    """Return what was lost beyond the usual error."""
    excess_bps, _ = mean_bps(usual.excess(weeks, prefix), weeks["actual"])
    return Loss(excess_bps, _chance(weeks, expected, usual.se_bps, usual.week_sd_bps))


def _lasting_slip(weeks: pl.DataFrame, expected: ExpectedAccuracy) -> Loss:
    """Return the median week's slip, which one or two hard weeks do not move."""
    slips = [_slip(week, expected, expected.total, "") for week in weeks.partition_by("week", maintain_order=True)]
    # A normal sample's median varies by pi / 2 times as much as its mean.
    variance = math.pi / 2 * sum(slip.chance.variance for slip in slips) / len(slips) ** 2
    return Loss(median(slip.bps for slip in slips), ErrorVariance(variance, slips[0].chance.freedom))


def _chance(weeks: pl.DataFrame, expected: ExpectedAccuracy, se_bps: float, week_sd_bps: float) -> ErrorVariance:
    """Return how far a figure of some store-weeks varies around the expected one, from how the expected ones varied."""
    # Luck shrinks with volume; variation that all stores share does so only with more weeks.
    luck = se_bps**2 * (1 + expected.volume / float(weeks["actual"].sum()))
    common = week_sd_bps**2 * (1 / weeks["week"].n_unique() + 1 / expected.weeks)
    # Degrees of freedom of the sum (Satterthwaite 1946).
    squares = luck**2 / LUCK_FREEDOM + common**2 / (expected.weeks - 1 + PRIOR_WEEKS)
    return ErrorVariance(luck + common, (luck + common) ** 2 / squares if squares > 0.0 else LUCK_FREEDOM)


def _decide_by_figures(figures: dict[str, float], policy: Policy) -> Decision:
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
