"""Contributions: exact additive parts of a forecast, in the target's unit, that sum to it.

Trees are taken apart by their Shapley values (TreeSHAP: Lundberg & Lee 2017), products and exponentials by the
logarithmic mean (LMDI: Ang 2005), which leaves no remainder.
"""

from collections.abc import Mapping
from functools import reduce

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.history import smoothed_baseline
from daypart.forecasting.explain.feature_families import LEVEL, LIMITS, USUAL, family
from daypart.forecasting.models import ensemble
from daypart.forecasting.models.linear import ORIGIN_DAY, Linear
from daypart.forecasting.models.members import Learned
from daypart.forecasting.models.model import Model

Array = NDArray[np.float64]
Parts = dict[str, Array]
"""One value a row, by feature, or by family for what no feature carries."""


def contributions(model: Model, rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row per row of `model.predict`, in order, and one column per part; they sum to its `forecast`.

    `rows` are all of each of their days, as members of days are spread over them. A part is named for a feature of the
    matrix or a family (`feature_families.family` takes both). `usual` is everything that no feature moved, `limits`
    what was cut by the bounds of a member.
    """
    shares = ensemble.shares(rows, model.weights)
    learned = {member.member: member for member in model.learned}
    usual = smooth_parts(rows)
    shape = next((boosted_parts(member, rows) for member in model.learned if isinstance(member, Learned)), {})
    blend: Parts = {USUAL: np.where(shares.sum(axis=1) > 0, 0.0, _column(rows, "incumbent"))}
    for number, name in enumerate(model.members):
        member = learned.get(name)
        if isinstance(member, Learned):
            parts = _add_parts(usual, boosted_parts(member, rows))
        elif name == "smooth":
            parts = usual
        elif name == "incumbent":
            parts = {USUAL: _column(rows, "incumbent")}
        else:
            parts = daily_parts(rows, name, member if isinstance(member, Linear) else None, shape)
        share = shares[:, number]
        blend = _add_parts(blend, {part: share * np.where(share > 0, value, 0.0) for part, value in parts.items()})
    blend[LIMITS] = blend.get(LIMITS, np.zeros(rows.height))
    return pl.DataFrame(blend)


def smooth_parts(rows: pl.DataFrame) -> Parts:
    """Return the parts of the rows' `smooth`: a plain day at the level of four weeks, and what moves it from there."""
    moved = rows.select(value.alias(name) for name, value in smoothed_baseline.log_effects().items())
    logs = {name: moved[name].to_numpy() for name in moved.columns}
    level = _column(rows, "smooth")
    return log_mean_parts(level * np.exp(-reduce(np.add, logs.values())), logs)


def boosted_parts(member: Learned, rows: pl.DataFrame) -> Parts:
    """Return by feature what a boosted member predicts beyond the rows' `smooth`."""
    usual, terms = _column(rows, "smooth"), member.contributions(rows)
    base, logs = terms.pop(""), terms
    if member.member == "ratio":
        parts = {name: member.unit(rows) * value for name, value in logs.items()}
        parts[USUAL] = member.unit(rows) * (base - 1.0)
    else:
        parts = log_mean_parts(member.unit(rows) * np.exp(base), logs)
        parts[USUAL] = parts[USUAL] - usual
    parts[LIMITS] = _column(rows, member.member) - usual - reduce(np.add, parts.values())
    return parts


def daily_parts(rows: pl.DataFrame, name: str, member: Linear | None, shape: Parts) -> Parts:
    """Return the parts of a member of days: its total by regressor over the usual hours, and shifts between hours.

    The share of an hour follows the shape `smooth` + `shape`; each of its parts takes from the day's other hours what
    it gives to one, so that they sum to 0 over the day. All of a member without regressors is a level.
    """
    days = rows.select(*ORIGIN_DAY).with_columns(number=pl.struct(ORIGIN_DAY).rank("dense") - 1)["number"].to_numpy()

    def day_sum(value: Array) -> Array:
        return np.asarray(np.bincount(days, weights=value)[days], dtype=np.float64)

    usual, by_hand = _column(rows, "smooth"), day_sum(_column(rows, "incumbent"))
    shaped = usual + sum(shape.values())
    predicted, usual_day, whole_day = _column(rows, name), day_sum(usual), day_sum(shaped)
    total = day_sum(predicted)
    share = _divide(usual, usual_day, _divide(shaped, whole_day))
    parts = _add_parts({USUAL: by_hand * share}, _day_parts(rows, member, by_hand, total, share))
    for part, value in shape.items():
        moved = value - share * day_sum(value)
        parts = _add_parts(parts, {part: np.where(usual_day > 0, total * _divide(moved, whole_day), 0.0)})
    return parts


def _day_parts(rows: pl.DataFrame, member: Linear | None, by_hand: Array, total: Array, share: Array) -> Parts:
    if member is None:
        return {LEVEL: (total - by_hand) * share}
    terms = rows.select(*ORIGIN_DAY).join(member.daily_terms(rows), on=ORIGIN_DAY, how="left", maintain_order="left")
    logs = {name: terms[name].to_numpy() for name in terms.columns if name not in (*ORIGIN_DAY, "by_hand")}
    logs = {USUAL if name == "constant" else name: value for name, value in logs.items()}
    parts = log_mean_parts(by_hand, logs)
    parts[USUAL] = parts[USUAL] - by_hand
    parts[LIMITS] = total - by_hand - reduce(np.add, parts.values())
    return {name: value * share for name, value in parts.items()}


def by_family(parts: pl.DataFrame) -> pl.DataFrame:
    """Return the parts with the columns of each family added up and named for it."""
    names: dict[str, list[str]] = {}
    for name in parts.columns:
        names.setdefault(family(name), []).append(name)
    return parts.select(reduce(lambda a, b: a + b, map(pl.col, group)).alias(name) for name, group in names.items())


def log_mean_parts(base: Array, logs: Mapping[str, Array]) -> Parts:
    """Return the parts of base x exp(sum of logs): `usual`, the base, and one per log by the logarithmic mean."""
    total = reduce(np.add, logs.values())
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(np.abs(total) > 1e-12, np.expm1(total) / total, 1.0)
    return _add_parts({USUAL: base}, {name: base * slope * value for name, value in logs.items()})


def _add_parts(one: Parts, other: Parts) -> Parts:
    return {**one, **{name: value + one.get(name, 0.0) for name, value in other.items()}}


def _divide(value: Array, divisor: Array, otherwise: Array | None = None) -> Array:
    out = np.zeros_like(value) if otherwise is None else otherwise.copy()
    return np.asarray(np.divide(value, divisor, out=out, where=divisor > 0), dtype=np.float64)


def _column(rows: pl.DataFrame, name: str) -> Array:
    return rows[name].cast(pl.Float64).fill_null(0.0).to_numpy()
