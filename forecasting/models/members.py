"""The learned members, mainly LightGBM: global over stores and direct over leads.

Each learns how demand departs from the smoothed baseline, or its level on the store's own scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.matrix import feature_names
from daypart.forecasting.models.engine import LOCAL, Engine, Sample
from daypart.forecasting.models.linear import LINEAR, Linear, fit_linear
from daypart.forecasting.models.recipe import Recipe

if TYPE_CHECKING:
    from lightgbm import Booster

Array = NDArray[np.float64]

SOFTENING_SHARE = 0.05
"""Share of a store's mean trading hour that is added before logarithms and ratios, so that zeros are tame."""

CATEGORICAL = ("event_code",)
BOOSTED = ("ratio", "level")
LEARNED = (*BOOSTED, *LINEAR)
FIRST_YEAR_DAYS = 365
DATE_NAMING_FEATURES = ("calendar_day_of_year", "calendar_day_of_month", "calendar_days_to_month_end")
"""Within the first year these only name the date: trees would extrapolate the weather of the last weeks."""
TREES_STORE_DAYS = 8_000
"""Store-days of a sample that earn the recipe's rounds; more earn more of them, up to twice as many."""
RATIO_CEILING, LEVEL_CEILING = 10.0, 50.0
OBJECTIVES: dict[str, dict[str, Any]] = {
    "ratio": {"objective": "huber", "alpha": 0.3},
    "level": {"objective": "poisson"},
}
"""`ratio` learns a median of demand over `smooth`, `level` the mean of demand over the store's scale: the one
is the better by the hour, the other by the day."""


def _soft(rows: pl.DataFrame) -> Array:
    return np.maximum(SOFTENING_SHARE * rows["scale"].to_numpy(), 1e-9)


def _label(member: str, rows: pl.DataFrame, y: Array) -> tuple[Array, Array]:
    """Return the label that the member predicts, and the weight of each row."""
    if member == "ratio":
        soft = _soft(rows)
        base = rows["smooth"].to_numpy() + soft
        return np.minimum((y + soft) / base, RATIO_CEILING), np.sqrt(base)
    scale = rows["scale"].to_numpy()
    return np.minimum(y / scale, LEVEL_CEILING), np.sqrt(scale)


def _invert(member: str, rows: pl.DataFrame, predicted: Array) -> Array:
    """Return predictions in the target's own unit, never below 0."""
    if member == "ratio":
        soft = _soft(rows)
        demand = (rows["smooth"].to_numpy() + soft) * predicted - soft
    else:
        demand = predicted * rows["scale"].to_numpy()
    return np.maximum(demand, 0.0)


@dataclass(frozen=True)
class Learned:
    """One fitted LightGBM member. `low` and `high` bound its raw predictions, so that no row can blow up."""

    member: str
    features: tuple[str, ...]
    booster: str
    low: float
    high: float

    def predict(self, rows: pl.DataFrame) -> Array:
        """Return the demand of each row of a matrix, in the target's unit per hour."""
        predicted = np.asarray(self._parsed.predict(_floats(rows, self.features)), dtype=np.float64)
        return _invert(self.member, rows, np.clip(predicted, self.low, self.high))

    @cached_property
    def _parsed(self) -> "Booster":
        """The trees, parsed once: a night predicts block by block."""
        import lightgbm

        return lightgbm.Booster(model_str=self.booster)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the parsed trees, which the text restores."""
        return {name: value for name, value in self.__dict__.items() if name != "_parsed"}

    def contributions(self, rows: pl.DataFrame) -> dict[str, Array]:
        """Return the raw score of each row by feature (TreeSHAP); "" has the mean score. Times `unit` it is demand.

        The scores of `level` are logs: they add up in the exponent.
        """
        import lightgbm

        booster = lightgbm.Booster(model_str=self.booster)
        scores = np.asarray(booster.predict(_floats(rows, self.features), pred_contrib=True), dtype=np.float64)
        return dict(zip((*self.features, ""), scores.T, strict=True))

    def unit(self, rows: pl.DataFrame) -> Array:
        """Return the unit of each row's raw prediction, in the target's unit."""
        return rows["smooth"].to_numpy() + _soft(rows) if self.member == "ratio" else rows["scale"].to_numpy()

    def importance(self) -> pl.DataFrame:
        """Return one row per feature: member, feature, gain as a share of the member's total."""
        gain = self._parsed.feature_importance("gain")
        frame = pl.DataFrame({"feature": self.features, "gain": gain})
        return frame.select(pl.lit(self.member).alias("member"), "feature",
                            gain_share=pl.col("gain") / max(float(gain.sum()), 1e-12))  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return what the booster's own text does not hold, as JSON has it."""
        return {"member": self.member, "features": list(self.features), "low": self.low, "high": self.high}

    @classmethod
    def from_dict(cls, fields: dict[str, Any], booster: str) -> Self:
        """Return the member of `to_dict` and the booster's text."""
        return cls(fields["member"], tuple(fields["features"]), booster, fields["low"], fields["high"])


def _floats(rows: pl.DataFrame, features: Sequence[str]) -> NDArray[np.float32]:
    """Return float32 features; a column that the rows lack is missing throughout."""
    absent = [pl.lit(None, dtype=pl.Float32).alias(name) for name in features if name not in rows.columns]
    return rows.with_columns(absent).select(pl.col(list(features)).cast(pl.Float32)).to_numpy()


Member = Learned | Linear


def fit(member: str, rows: pl.DataFrame, y: Array, recipe: Recipe, engine: Engine = LOCAL) -> Member:
    """Fit one of LEARNED on matrix rows and their demand; deterministic for a recipe's seed."""
    return fit_linear(member, rows, y) if member in LINEAR else _fit_boosted(member, rows, y, recipe, engine)


def _fit_boosted(member: str, rows: pl.DataFrame, y: Array, recipe: Recipe, engine: Engine) -> Learned:
    unlearnable = _unlearnable(rows)
    features = [name for name in recipe.learns_from(feature_names(rows)) if name not in unlearnable]
    label, weight = _label(member, rows, y)
    categorical = [name for name in CATEGORICAL if name in features]
    sample = Sample(_floats(rows, features), features, categorical, label, weight / weight.mean())
    rounds = _rounds(rows, recipe)
    booster = engine.boost(sample, _parameters(recipe, len(label)) | OBJECTIVES[member], rounds)
    low, high = np.quantile(label, [0.001, 0.999])
    return Learned(member, tuple(features), booster, float(low), float(high))


def _unlearnable(rows: pl.DataFrame) -> tuple[str, ...]:
    days = rows.select((pl.col("date").max() - pl.col("date").min()).dt.total_days()).item() or 0
    return DATE_NAMING_FEATURES if days < FIRST_YEAR_DAYS else ()


def _rounds(rows: pl.DataFrame, recipe: Recipe) -> int:
    earned = rows.select("store_id", "date").n_unique() / TREES_STORE_DAYS
    return round(recipe.rounds * min(max(earned, 1.0), 2.0))


def _parameters(recipe: Recipe, rows: int) -> dict[str, Any]:
    return {
        "num_leaves": recipe.leaves,
        "learning_rate": recipe.learning_rate,
        "min_data_in_leaf": int(np.clip(rows // 200, 20, 1000)),
        "feature_fraction": 0.6,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "cat_smooth": 50.0,
        "max_cat_threshold": 16,
        "deterministic": True,
        "force_row_wise": True,
        "seed": recipe.seed,
        "verbose": -1,
    }
