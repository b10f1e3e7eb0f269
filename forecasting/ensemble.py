"""How much to trust each member: weights from rolling-origin predictions, shrunk to an even hand."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.exact import exact_sum, ordered_sum

Array = NDArray[np.float64]

LEAD_WEEKS = (1, 2)
TRUST_STORE_DAYS = 28
"""Store-days of rolling-origin evidence at which fitted weights count as much as even ones."""

LEAST_SHARE = 0.05


def lead_week() -> pl.Expr:
    """1 for leads of 0 to 6 days, 2 for 7 to 13."""
    return (pl.col("lead_days") // 7 + 1).cast(pl.Int32).alias("lead_week")


def even_weights(members: Sequence[str]) -> pl.DataFrame:
    """One row per lead week and member: equal shares for all but the incumbent."""
    share = 1 / max(len(members) - 1, 1)
    rows = [(week, name, 0.0 if name == "incumbent" else share) for week in LEAD_WEEKS for name in members]
    return pl.DataFrame(rows, schema=["lead_week", "member", "weight"], orient="row")


def thin_weights(members: Sequence[str]) -> pl.DataFrame:
    """Even weights with half of the trust left with the incumbent: for histories too short to measure."""
    half = pl.when(pl.col("member") == "incumbent").then(0.5).otherwise(pl.col("weight") * 0.5)
    return even_weights(members).with_columns(weight=half)


def fit_weights(predictions: pl.DataFrame, members: Sequence[str]) -> pl.DataFrame:
    """One row per lead week and member: non-negative weights that sum to 1 in each lead week.

    Minimises the absolute error of the weighted sum over rolling-origin predictions (columns: each member, `y`,
    `lead_days`, `store_id`, `date`), by the hour and by the day alike, then shrinks towards even weights by the
    store-days of evidence.
    """
    found = []
    even = even_weights(members)
    for week in LEAD_WEEKS:
        hours = predictions.filter(lead_week() == week)
        sums = [exact_sum(pl.col(name)).alias(name) for name in (*members, "y")]
        days = hours.group_by("store_id", "date", "lead_days", maintain_order=True).agg(sums)
        prior = even.filter(pl.col("lead_week") == week)["weight"].to_numpy()
        seen = hours.select("store_id", "date").n_unique()
        trust = seen / (seen + TRUST_STORE_DAYS)
        fitted = _least_absolute([(f.select(members).to_numpy(), f["y"].to_numpy()) for f in (hours, days)], prior)
        mixed = trust * fitted + (1 - trust) * prior
        found += [(week, name, float(share)) for name, share in zip(members, mixed / mixed.sum(), strict=True)]
    return pl.DataFrame(found, schema=["lead_week", "member", "weight"], orient="row")


def earning(weights: pl.DataFrame) -> pl.DataFrame:
    """The weights of the incumbent and of members with LEAST_SHARE in some lead week; they sum to 1 in each.

    The others would cost a big chain's nights more time than they change its forecasts.
    """
    largest = pl.col("weight").max().over("member")
    kept = weights.filter((largest >= LEAST_SHARE) | (pl.col("member") == "incumbent"))
    return kept.with_columns(pl.col("weight") / pl.col("weight").sum().over("lead_week"))


def _least_absolute(levels: Sequence[tuple[Array, Array]], start: Array) -> Array:
    """Weights on the simplex with the least absolute error, relative to demand and added up over the levels.

    Each level has what members predicted, (cells, members), and what came. Errors are smoothed near 0 so that
    there is a gradient.
    """
    from scipy.optimize import minimize

    if not len(levels[0][1]):
        return start
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
        return float(sum(size.mean() for size in sizes)), np.sum(slopes, axis=0)

    sums_to_one = {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)}
    bounds = [(0.0, 1.0)] * len(start)
    found = minimize(loss, start, jac=True, bounds=bounds, constraints=[sums_to_one], method="SLSQP")
    # The solver's last bits depend on the number of threads.
    weights = np.round(np.clip(found.x, 0.0, None), 9)
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def combine(rows: pl.DataFrame, weights: pl.DataFrame) -> pl.Series:
    """The weighted sum of member columns; a silent (null) member's weight goes to the others in proportion."""
    members = weights["member"].unique(maintain_order=True).to_list()
    wide = weights.pivot("member", index="lead_week", values="weight").rename({m: f"w_{m}" for m in members})
    joined = rows.with_columns(lead_week()).join(wide, on="lead_week", how="left", maintain_order="left")
    speaks = {m: pl.when(pl.col(m).is_not_null()).then(pl.col(f"w_{m}")).otherwise(0.0) for m in members}
    total = ordered_sum(speaks.values())
    mixed = ordered_sum(pl.col(m).fill_null(0.0) * share for m, share in speaks.items())
    return joined.select(pl.when(total > 0).then(mixed / total).otherwise(pl.col("incumbent"))).to_series()
