"""Ensemble weights: fitted on rolling-origin predictions, and shrunk to a prior by the length of history.

The ensemble also has two members that are not fitted: the incumbent, and `smooth` of the matrix.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.deterministic_sum import exact_sum, ordered_sum
from daypart.forecasting.leads import LEAD_WEEKS, lead_week

Array = NDArray[np.float64]

PRIOR_STRENGTH = 8.0
"""Strength of the prior on the weights, divided by the store-days of evidence."""

BASELINE_MEMBERS = ("smooth", "incumbent")
PLAIN_PRIORS = {"smooth": 1.0, "statistical": 1.0, "linear": 1.0, "incumbent": 1.0}
LEARNED_PRIORS = {"ratio": 1.0, "level": 1.0, "linear": 0.5, "anniversary": 0.5}
"""Shares of the members before any evidence: of thin histories and of long ones, which trees can learn from."""
LONG_STORE_DAYS = 200
"""Store-days of history at which the two priors count alike."""

MIN_MEMBER_SHARE = 0.05


def prior_weights(members: Sequence[str], store_days: int) -> pl.DataFrame:
    """Return prior weights by the store-days of history, before any evidence: one row per lead week and member.

    A member that neither list names counts as a learned one. The shares sum to 1 in each lead week.
    """
    long = store_days / (store_days + LONG_STORE_DAYS)
    learned = np.array([LEARNED_PRIORS.get(name, float(name not in PLAIN_PRIORS)) for name in members])
    plain = np.array([PLAIN_PRIORS.get(name, 0.0) for name in members])
    shares = long * learned / max(learned.sum(), 1e-12) + (1 - long) * plain / max(plain.sum(), 1e-12)
    shares = shares / shares.sum()
    rows = [(week, name, share) for week in LEAD_WEEKS for name, share in zip(members, shares.tolist(), strict=True)]
    return pl.DataFrame(rows, schema=["lead_week", "member", "weight"], orient="row")


def fit_weights(predictions: pl.DataFrame, prior_shares: pl.DataFrame) -> pl.DataFrame:
    """Fit non-negative weights that sum to 1 in each lead week: one row per lead week and member.

    Minimises the absolute error of the weighted sum over rolling-origin predictions (columns: each member, `y`,
    `lead_days`, `store_id`, `date`), by the hour and by the day alike, and the squared distance from the prior's
    weights, which counts less the more store-days of evidence there are: members that the evidence cannot separate keep
    the prior.
    """
    weight_rows = []
    members = prior_shares["member"].unique(maintain_order=True).to_list()
    for week in LEAD_WEEKS:
        hours = predictions.filter(lead_week() == week)
        sums = [exact_sum(pl.col(name)).alias(name) for name in (*members, "y")]
        days = hours.group_by("store_id", "date", "lead_days", maintain_order=True).agg(sums)
        prior = prior_shares.filter(pl.col("lead_week") == week)["weight"].to_numpy()
        hold = PRIOR_STRENGTH / max(hours.select("store_id", "date").n_unique(), 1)
        levels = [(frame.select(members).to_numpy(), frame["y"].to_numpy()) for frame in (hours, days)]
        fitted = _least_absolute(levels, prior, hold)
        weight_rows += [(week, name, share) for name, share in zip(members, fitted.tolist(), strict=True)]
    return pl.DataFrame(weight_rows, schema=["lead_week", "member", "weight"], orient="row")


def drop_small_weights(weights: pl.DataFrame) -> pl.DataFrame:
    """Return the weights of the incumbent and of members with MIN_MEMBER_SHARE in some lead week, rescaled to 1.

    The other members take a large chain's nights time and hardly change its forecasts.
    """
    largest = pl.col("weight").max().over("member")
    earning_weights = weights.filter((largest >= MIN_MEMBER_SHARE) | (pl.col("member") == "incumbent"))
    return earning_weights.with_columns(pl.col("weight") / pl.col("weight").sum().over("lead_week"))


def _least_absolute(levels: Sequence[tuple[Array, Array]], prior: Array, hold: float) -> Array:
    """Return weights on the simplex with the least absolute error, relative to demand and added up over the levels.

    `hold` times the squared distance from the prior is added. Each level has member predictions, (cells, members), and
    actuals. Errors are smoothed near 0 so that there is a gradient.
    """
    from scipy.optimize import minimize

    if not len(levels[0][1]):
        return prior
    scales = [max(float(np.abs(actual).mean()), 1e-9) for _, actual in levels]
    scaled = [(x / scale, y / scale) for (x, y), scale in zip(levels, scales, strict=True)]
    smooth = 0.02

    # Not by matrix products, whose last bits depend on the number of threads.
    def loss(weights: Array) -> tuple[float, Array]:
        errors = [(x, np.einsum("ij,j->i", x, weights) - y) for x, y in scaled]
        sizes = [np.sqrt(error**2 + smooth**2) for _, error in errors]
        slopes = [
            np.einsum("ij,i->j", x, error / size) / len(size) for (x, error), size in zip(errors, sizes, strict=True)
        ]
        away = weights - prior
        value = float(sum(size.mean() for size in sizes) + hold * (away**2).sum())
        return value, np.sum(slopes, axis=0) + 2 * hold * away

    sums_to_one = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)}
    bounds = [(0.0, 1.0)] * len(prior)
    solution = minimize(loss, prior, jac=True, bounds=bounds, constraints=[sums_to_one], method="SLSQP")
    # The solver's last bits depend on the number of threads.
    weights = np.round(np.clip(solution.x, 0.0, None), 9)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def combine(rows: pl.DataFrame, weights: pl.DataFrame) -> pl.Series:
    """Return the weighted sum of member columns; a silent (null) member's weight goes to the others in proportion."""
    members = weights["member"].unique(maintain_order=True).to_list()
    wide = weights.pivot("member", index="lead_week", values="weight").rename({m: f"w_{m}" for m in members})
    joined = rows.with_columns(lead_week()).join(wide, on="lead_week", how="left", maintain_order="left")
    speaks = {m: pl.when(pl.col(m).is_not_null()).then(pl.col(f"w_{m}")).otherwise(0.0) for m in members}
    total = ordered_sum(speaks.values())
    mixed = ordered_sum(pl.col(m).fill_null(0.0) * share for m, share in speaks.items())
    return joined.select(pl.when(total > 0).then(mixed / total).otherwise(pl.col("incumbent"))).to_series()


def shares(rows: pl.DataFrame, weights: pl.DataFrame) -> Array:
    """Return the factors of each row's members in `combine`, (rows, members) in the order of the weights.

    A silent member's share is 0; the others' sum to 1, or to 0 where all who have a weight are silent.
    """
    members = weights["member"].unique(maintain_order=True).to_list()
    wide = weights.pivot("member", index="lead_week", values="weight")
    placed = rows.select(lead_week()).join(wide, on="lead_week", how="left", maintain_order="left")
    speaking = placed.select(members).to_numpy() * rows.select(pl.col(members).is_not_null()).to_numpy()
    total = speaking.sum(axis=1, keepdims=True)
    row_shares = np.divide(speaking, total, out=np.zeros_like(speaking), where=total > 0)
    return np.asarray(row_shares, dtype=np.float64)
