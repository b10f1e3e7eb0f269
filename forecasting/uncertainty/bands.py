"""Prediction intervals around a forecast, from the errors of rolling-origin forecasts."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.dayparts import daypart
from daypart.features.deterministic_sum import exact_sum
from daypart.features.money import UNIT
from daypart.forecasting.leads import LEAD_WEEKS, lead_week

Array = NDArray[np.float64]

SIZE_EDGES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.3, 1.7, 2.2)
"""Edges of the groups of forecasts by size, in units of the store's mean trading hour."""
GROUPS_A_WEEK = len(SIZE_EDGES) + 1
QUANTILE_LEVELS = (0.01, 0.025, *(k / 20 for k in range(1, 20)), 0.975, 0.99)
POWER = 0.6
"""Errors grow with the forecast to about this power: between Poisson's 1/2 and a constant ratio's 1."""
TRUST_CELLS = 400
"""Cells of evidence at which a group's own quantiles count as much as those of more cells."""
TRUST_RATIO_CELLS = 400
"""Cells of evidence at which a store's own ratio in a daypart counts as much as the daypart's."""
LEVEL_STRETCH = 1.0125
"""Levels are taken this much further from the middle, because the future differs from the folds."""
RATIO_SCHEMA = {"store_id": pl.String(), "daypart": pl.String(), "ratio": pl.Float64()}


@dataclass(frozen=True)
class Bands:
    """Distributions of the error by lead week and size of the forecast, and its ratio by store and daypart.

    `errors` has one row per group (`place`) and one column per level: the error in units of the spread, rising
    with the level and 0 at 0.5. `ratios` has one row per daypart ("other" = outside any), store_id null, and one
    per store of the evidence and daypart: the `ratio` of its errors to the usual; other stores take the daypart's.
    """

    levels: tuple[float, ...]
    errors: Array
    ratios: pl.DataFrame

    def place(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the `group` and `spread` of each row (columns: store_id, hour, lead_days, forecast, scale).

        The group is the lead week's and size's row in `errors`; the spread is in the target's unit, 0 only where
        forecast and scale are 0. Rows of several currencies have their UNIT too.
        """
        return _place(rows, self.ratios)

    def errors_at(self, levels: Array) -> Array:
        """Return the errors at some levels, (groups, levels); beyond the outermost levels, the outermost errors."""
        return np.array([np.interp(levels, self.levels, errors) for errors in self.errors])

    def to_dict(self) -> dict[str, Any]:
        """Return the bands as plain values."""
        return {"levels": self.levels, "errors": self.errors.tolist(), "ratios": self.ratios.to_dicts()}

    @classmethod
    def from_dict(cls, description: Any) -> Self:
        """Return the bands of `to_dict`, to the last bit, or those of old models: one low and high by group."""
        if isinstance(description, list):
            errors = [(min(group["low"], 0.0), 0.0, max(group["high"], 0.0)) for group in description]
            return cls((0.1, 0.5, 0.9), np.array(errors), pl.DataFrame(schema=RATIO_SCHEMA))
        ratios = pl.DataFrame(description["ratios"], schema=RATIO_SCHEMA)
        return cls(tuple(description["levels"]), np.array(description["errors"]), ratios)


def fit_bands(predictions: pl.DataFrame) -> Bands:
    """Fit the bands of rolling-origin forecasts (columns: store_id, hour, lead_days, forecast, scale, y).

    Split conformal prediction by group (Mondrian: Vovk et al. 2005): the k-th of n errors is the quantile
    k / (n + 1) of the next one. Errors are in units of what is usual for their store and daypart. The
    quantiles of groups of few cells are shrunk to their lead week's, and those to the quantiles of all. Without
    evidence errors range from -1 to 1.
    """
    rows = predictions.filter(pl.max_horizontal("forecast", "scale") > 0)
    ratios = _fit_ratios(rows)
    cells = scale_errors(rows, ratios)
    groups, errors = cells["group"].to_numpy(), cells["error"].to_numpy()
    prior = _shrunk_quantiles(errors, np.linspace(-1.0, 1.0, len(QUANTILE_LEVELS)), 0)
    by_week = [
        _shrunk_quantiles(errors[groups // GROUPS_A_WEEK == week], prior, TRUST_CELLS)
        for week in range(len(LEAD_WEEKS))
    ]
    fitted = [
        _shrunk_quantiles(errors[groups == group], by_week[group // GROUPS_A_WEEK], TRUST_CELLS)
        for group in range(len(LEAD_WEEKS) * GROUPS_A_WEEK)
    ]
    # The members learn absolute error, so the forecast is the median.
    side = np.sign(np.array(QUANTILE_LEVELS) - 0.5)
    return Bands(QUANTILE_LEVELS, side * np.maximum(side * np.array(fitted), 0.0), ratios)


def scale_errors(rows: pl.DataFrame, ratios: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with their `group` and their `error` in units of the spread, without rows of no spread."""
    placed = _place(rows, ratios)
    error = (pl.col("y") - pl.col("forecast")) / placed["spread"]
    return rows.with_columns(placed["group"], error=error).filter(placed["spread"] > 0)


def with_bands(rows: pl.DataFrame, bands: Bands) -> pl.DataFrame:
    """Add q10, q50, q90 to rows with a forecast: 0 <= q10 <= q50 <= q90, and q50 is the forecast.

    Row order is kept.
    """
    placed = bands.place(rows)
    low, high = bands.errors_at(np.array([0.1, 0.9]))[placed["group"].to_numpy()].T
    return rows.with_columns(
        q10=(pl.col("forecast") + pl.Series(low) * placed["spread"]).clip(0),
        q50=pl.col("forecast"),
        q90=pl.col("forecast") + pl.Series(high) * placed["spread"],
    )


def _group_by_size(rows: pl.DataFrame) -> pl.DataFrame:
    """Return store_id, daypart, group, and the spread before its ratio."""
    size = pl.sum_horizontal((pl.col("forecast") > edge * pl.col("scale")).cast(pl.Int32) for edge in SIZE_EDGES)
    reach = pl.max_horizontal("forecast", 0.05 * pl.col("scale"))
    # A power is of a number, not of money: that of the same amount in another currency is another.
    spread = (reach / pl.col(UNIT)).pow(POWER) * pl.col(UNIT) if UNIT in rows.columns else reach.pow(POWER)
    daypart_name = daypart(pl.col("hour")).fill_null("other")
    return rows.select("store_id", daypart_name, group=(lead_week() - 1) * GROUPS_A_WEEK + size, spread=spread)


def _place(rows: pl.DataFrame, ratios: pl.DataFrame) -> pl.DataFrame:
    shared = ratios.filter(pl.col("store_id").is_null()).select("daypart", usual="ratio")
    return (
        _group_by_size(rows)
        .join(ratios, on=["store_id", "daypart"], how="left", maintain_order="left")
        .join(shared, on="daypart", how="left", maintain_order="left")
        .select("group", spread=pl.col("spread") * pl.coalesce("ratio", "usual", 1.0))
    )


def _fit_ratios(rows: pl.DataFrame) -> pl.DataFrame:
    """Return mean absolute errors over their overall mean, by daypart and by store and daypart, shrunk by count."""
    error = (rows["y"] - rows["forecast"]).abs()
    cells = _group_by_size(rows).select("store_id", "daypart", error=error / pl.col("spread"))
    total, count = exact_sum(pl.col("error")), pl.len()
    usual = cells.select(pl.when(total > 0).then(total / count)).item()
    if usual is None:
        return pl.DataFrame(schema=RATIO_SCHEMA)

    def shrunk(mean: pl.Expr) -> pl.Expr:
        return (total / pl.lit(usual) + TRUST_RATIO_CELLS * mean) / (count + TRUST_RATIO_CELLS)

    of_daypart = cells.group_by("daypart").agg(usual=shrunk(pl.lit(1.0)))
    of_store = (
        cells.join(of_daypart, on="daypart").group_by("store_id", "daypart").agg(ratio=shrunk(pl.col("usual").first()))
    )
    shared = of_daypart.select(store_id=pl.lit(None, pl.String), daypart="daypart", ratio="usual")
    return pl.concat([shared, of_store]).sort("store_id", "daypart", nulls_last=False)


def _shrunk_quantiles(errors: Array, prior: Array, trust: int) -> Array:
    """Return the errors' quantiles at QUANTILE_LEVELS, shrunk to a prior that counts as `trust` cells."""
    count = len(errors)
    if not count:
        return prior
    levels = 0.5 + (np.array(QUANTILE_LEVELS) - 0.5) * LEVEL_STRETCH
    quantiles = np.interp(levels, np.arange(1, count + 1) / (count + 1), np.sort(errors))
    return (count * quantiles + trust * prior) / (count + trust)
