"""Drift of inputs against the same season a year before: the population stability index, in words.

The index adds up, over ten classes of equal shares of the earlier values, (share now - share then) x ln(share now /
share then) (Siddiqi 2006, Credit Risk Scorecards); below 0.1 nothing has moved, from 0.25 much has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

CLASSES = 10
MIN_CLASS_SHARE = 1e-3
"""An empty class counts as this share, so that its logarithm stays finite."""
MIN_STORE_DAYS = 200
"""Least number of store-days on either side for which the index is computed."""
DRIFT_PSI, STRONG_DRIFT_PSI = 0.1, 0.25
DRIFT_DAYS = 28
SEASON_SHIFT_DAYS = 364
"""A year of whole weeks, so that weekdays match."""

INPUTS = {
    "demand": ("demand of a store's day against its mean of the year", "%"),
    "temperature_c": ("temperature", " C"),
    "precipitation_mm": ("rain", " mm an hour"),
    "scheduled_hours": ("scheduled labor of a store's day", " hours"),
}
"""Inputs that are compared, in words, and the unit of their mean."""


@dataclass(frozen=True)
class Drift:
    """One input compared with the same weeks a year before: stability index, both means, and a message, `told`."""

    name: str
    psi: float
    now: float
    before: float
    told: str


def seasons(on: date) -> tuple[tuple[date, date], tuple[date, date]]:
    """Return first and last day of the weeks before `on`, and of those weeks a year earlier plus a week each side."""
    first, last = on - timedelta(days=DRIFT_DAYS), on - timedelta(days=1)
    year, week = timedelta(days=SEASON_SHIFT_DAYS), timedelta(days=7)
    return (first, last), (first - year - week, last - year + week)


def drifts(recent: pl.DataFrame, before: pl.DataFrame) -> list[Drift]:
    """Return the drifts of the inputs that both frames have, the greatest index first.

    Where fewer than MIN_STORE_DAYS of an input are known on either side nothing is said of it.
    """
    input_drifts = []
    for name in INPUTS:
        if name not in recent.columns or name not in before.columns:
            continue
        now, then = recent[name].drop_nulls(), before[name].drop_nulls()
        if min(now.len(), then.len()) >= MIN_STORE_DAYS:
            input_drifts.append(_drift(name, now, then))
    return sorted(input_drifts, key=lambda drift: -drift.psi)


def significant_drifts(input_drifts: Sequence[Drift]) -> list[Drift]:
    """Return the drifts with an index of DRIFT_PSI or more."""
    return [drift for drift in input_drifts if drift.psi >= DRIFT_PSI]


def stability(now: pl.Series, before: pl.Series) -> float:
    """Return the stability index of values now against earlier values; 0 where they are alike."""
    edges = np.unique(np.quantile(before.to_numpy(), np.linspace(0, 1, CLASSES + 1)[1:-1]))
    # Most days without rain are one class, those with some another: an edge is the last value of its class.
    classes = (np.searchsorted(edges, values.to_numpy(), side="left") for values in (now, before))
    counts = (np.bincount(indices, minlength=edges.size + 1) for indices in classes)
    shares = [np.maximum(count / count.sum(), MIN_CLASS_SHARE) for count in counts]
    return float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())


def _drift(name: str, now: pl.Series, before: pl.Series) -> Drift:
    psi = stability(now, before)
    after, was = (float(values.mean()) for values in (now, before))  # type: ignore[arg-type]
    what, unit = INPUTS[name]
    scale = 100.0 if unit == "%" else 1.0
    size = "is as it was" if psi < DRIFT_PSI else "has moved" if psi < STRONG_DRIFT_PSI else "has moved by much"
    means = f"{after * scale:.1f}{unit} after {was * scale:.1f}{unit}"
    message = f"{what} {size} beside the same weeks a year ago: {means} (stability index {psi:.2f})"
    return Drift(name, psi, after, was, message)
