"""The gate: compare a challenger with champion and incumbent on origins that neither was fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import polars as pl

from daypart.features.chain_data import days
from daypart.forecasting.lifecycle.comparison import SEGMENT_SCHEMA, SIDES, ComparedRows, Comparison
from daypart.forecasting.lifecycle.policy import Policy
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.progress import Progress, part, silent

TOLERANCE_BPS = 25.0
"""WAPE by which a challenger may trail the incumbent on its rolling origins."""
MIN_COMPARED_WEEKS, MAX_COMPARED_WEEKS = 2, 4
"""Weeks on which two models are compared. One week cannot tell the week's error from the model's."""


@dataclass(frozen=True)
class Verdict:
    """The gate's decision, its reason in one line, and the figures that it rests on.

    `segments` has one row per tier, region, format and daypart (`Comparison.segments`) and whether it is `worse` by
    more than the policy allows; it is empty where there was no champion to compare with.
    """

    promote: bool
    reason: str
    figures: dict[str, float]
    segments: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema=SEGMENT_SCHEMA | {"worse": pl.Boolean()})
    )


def gate(
    challenger: Model,
    champion: Model | None,
    trainer: ModelTrainer,
    policy: Policy | None = None,
    progress: Progress = silent,
) -> Verdict:
    """Compare a challenger with the incumbent on its rolling origins, then with the champion.

    The challenger must not lose to the incumbent; a first model then serves. To replace a champion it must be shown to
    be better (`decide_promotion`) on the latest weeks. There a refit as of their first day stands in for it, since the
    challenger was fitted on them; the champion is itself and is older than they are. A champion too young for that
    stays.
    """
    figures = {name: value for name, value in challenger.trained_on.items() if name.endswith("_bps")}
    ours, by_hand = figures.get("rolling_model_wape_bps"), figures.get("rolling_incumbent_wape_bps")
    if ours is None or by_hand is None:
        return Verdict(champion is None, "too little history to judge; serves only where nothing else does", figures)
    against = f"WAPE {ours:.0f} bps against {by_hand:.0f}"
    if ours > by_hand + TOLERANCE_BPS:
        return Verdict(False, f"loses to the incumbent on rolling origins: {against}", figures)
    if champion is None:
        return Verdict(True, f"first model; WAPE {ours:.0f} bps against the incumbent's {by_hand:.0f}", figures)
    first = first_day(challenger, champion, trainer)
    if isinstance(first, str):
        return Verdict(False, f"the champion stays: {first}", figures)
    gate_policy = policy or Policy()
    rows = _compared_rows(challenger, trainer, first)
    stand_in = trainer.train(first, challenger.as_of, part(progress, 0.0, 0.8))
    progress(f"compare with the champion from {first} on", 0.8)
    confidence, seed = gate_policy.gate_confidence, challenger.recipe.seed
    verdict = decide_promotion(Comparison.from_models(stand_in, champion, rows, confidence, seed), gate_policy)
    reason = f"{verdict.reason} (from {first} on; a refit as of that day stands in for the challenger)"
    return Verdict(verdict.promote, reason, figures | verdict.figures, verdict.segments)


def first_day(challenger: Model, champion: Model, trainer: ModelTrainer) -> date | str:
    """Return the first of the days on which the two are compared, or why they cannot be.

    The days are the latest half of the time between the two, in whole weeks from MIN_COMPARED_WEEKS to
    MAX_COMPARED_WEEKS. By the other half the stand-in is fresher than the champion. Neither was fitted on these days.
    """
    if champion.recipe.weather != trainer.recipe.weather:
        ours, theirs = trainer.recipe.weather, champion.recipe.weather
        return f"it is made for weather {theirs}, the challenger for weather {ours}, and no matrix serves both"
    apart = (challenger.as_of - champion.as_of).days
    if apart < 7 * MIN_COMPARED_WEEKS:
        needed = f"{7 * MIN_COMPARED_WEEKS} later ones are needed to compare on"
        return f"it knows the days before {champion.as_of}, and {needed}"
    first = challenger.as_of - timedelta(weeks=min(max(apart // 14, MIN_COMPARED_WEEKS), MAX_COMPARED_WEEKS))
    history_days = (first - trainer.first).days
    if history_days < trainer.recipe.min_train_days:
        return f"only {max(history_days, 0)} days are known before those to compare on, too few for a fair challenger"
    return first


def decide_promotion(comparison: Comparison, policy: Policy) -> Verdict:
    """Decide whether the challenger of a comparison may serve.

    Better is a lower bound of the gain above `gain_bps`: a tie keeps the champion.

    A segment blocks where it is worse by more than `worse_bps` and by more than chance explains. So do bias and
    coverage out of bounds, unless the champion's are as far out but for chance. Chance is the policy's
    `gate_confidence`, by whole stores and weeks.
    """
    weeks = comparison.cells["week"].n_unique()
    if weeks < MIN_COMPARED_WEEKS:
        needed = f"{weeks} weeks have demand to compare on, not {MIN_COMPARED_WEEKS}"
        return Verdict(False, f"the champion stays: {needed}", {})
    gain, segments = comparison.gain(), _flag_worse(comparison.segments(), policy)
    figures = {f"paired_{side}_wape_bps": comparison.wape_bps(side) for side in SIDES}
    figures |= {f"{side}_bias_bps": comparison.bias_bps(side) for side in SIDES}
    figures |= {f"{side}_coverage": comparison.coverage(side) for side in SIDES}
    figures |= {"gain_bps": gain.estimate, "gain_lower_bps": gain.lower, "gain_upper_bps": gain.upper}
    figures |= {"compared_stores": comparison.cells["store_id"].n_unique(), "compared_weeks": weeks}
    finite_figures = {name: value for name, value in figures.items() if abs(value) < float("inf")}
    text = _comparison_text(figures)
    if not gain.lower > policy.gain_bps:
        trails = "trails the champion" if gain.upper < 0 else "not shown to be better, so the champion stays"
        return Verdict(False, f"{trails}: {text}", finite_figures, segments)
    faults = [*_segment_faults(segments), *_bias_faults(comparison, policy), *_coverage_faults(comparison, policy)]
    if faults:
        return Verdict(False, f"better as a whole, but {'; '.join(faults)} ({text})", finite_figures, segments)
    return Verdict(True, f"better than the champion: {text}", finite_figures, segments)


def _comparison_text(figures: Mapping[str, float]) -> str:
    """Return WAPEs, weeks, stores and the gain in words."""
    return (
        "WAPE {paired_challenger_wape_bps:.0f} bps against the champion's {paired_champion_wape_bps:.0f} on the same "
        "{compared_weeks:.0f} weeks of {compared_stores:.0f} stores; the gain of {gain_bps:.0f} is between "
        "{gain_lower_bps:.0f} and {gain_upper_bps:.0f}"
    ).format(**{name: round(value, 0) + 0.0 for name, value in figures.items()})  # 0.0 turns -0 into 0


def _compared_rows(challenger: Model, trainer: ModelTrainer, first: date) -> ComparedRows:
    """Return the rows of weekly origins from `first` on, with the demand that was known when the challenger was."""
    origins = days(first, challenger.as_of - timedelta(days=1), 7)
    rows = trainer.with_demand(trainer.rows(origins)).filter(pl.col("known_on") < challenger.as_of)
    return ComparedRows(rows, trainer.totals, trainer.stores, first)


def _flag_worse(segments: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    beyond = (pl.col("gain_bps") < -policy.worse_bps) & (pl.col("upper_bps") < 0)
    return segments.with_columns(worse=beyond)


def _segment_faults(segments: pl.DataFrame) -> list[str]:
    worse = segments.filter("worse").sort("gain_bps")
    return [
        f"{by} {name} is worse by {-gain:.0f} bps, at least {-upper:.0f}"
        for by, name, gain, upper in worse.select("by", "segment", "gain_bps", "upper_bps").iter_rows()
    ]


def _bias_faults(comparison: Comparison, policy: Policy) -> list[str]:
    ours, theirs = (comparison.bias_bps(side) for side in SIDES)
    if abs(ours) <= policy.bias_bps or not comparison.more_biased().lower > 0:
        return []
    return [f"its bias is {ours:+.0f} bps, beyond {policy.bias_bps:.0f} and the champion's {theirs:+.0f}"]


def _coverage_faults(comparison: Comparison, policy: Policy) -> list[str]:
    ours, theirs = (comparison.coverage(side) for side in SIDES)
    more = comparison.more_covered()
    too_low, too_high = ours < policy.coverage_low and more.upper < 0, ours > policy.coverage_high and more.lower > 0
    if not (too_low or too_high):
        return []
    bounds = f"{policy.coverage_low:.0%} to {policy.coverage_high:.0%}"
    return [f"its bands cover {ours:.0%}, not {bounds}, and the champion's {theirs:.0%}"]
