"""The band around a forecast, from what rolling-origin forecasts really missed by."""

import polars as pl

from forecasting.ensemble import LEAD_WEEKS, lead_week

LOW, HIGH = 0.1, 0.9
SIZES = (0.1, 0.25, 0.5, 0.75, 1.0, 1.3, 1.7, 2.2)
"""Edges of the groups of forecasts by size, in units of the store's mean trading hour."""
POWER = 0.6
"""Errors grow with the forecast to about this power: between Poisson's 1/2 and a constant ratio's 1."""
LEAST_CELLS = 200
COVER = {"low": 0.085, "high": 0.915}
"""Residual quantiles that q10 and q90 use: a little wider, since the future is never quite like the folds."""


def _size() -> pl.Expr:
    relative = pl.col("forecast") / pl.col("scale")
    return relative.cut(list(SIZES), labels=[str(k) for k in range(len(SIZES) + 1)]).cast(pl.String).alias("size")


def _spread() -> pl.Expr:
    """The unit in which errors are measured: it grows with the forecast to POWER, and is never 0."""
    floor = 0.05 * pl.col("scale")
    return pl.max_horizontal("forecast", floor) ** POWER


def _quantiles() -> list[pl.Expr]:
    error = (pl.col("y") - pl.col("forecast")) / _spread()
    return [
        error.quantile(COVER["low"], "linear").alias("low"),
        error.quantile(COVER["high"], "linear").alias("high"),
        pl.len().alias("cells"),
    ]


def fit_bands(predictions: pl.DataFrame) -> pl.DataFrame:
    """One row per lead week and size group: scaled errors below q10 and above q90.

    `predictions` are rolling-origin forecasts (columns: forecast, scale, y, lead_days). Groups with fewer than
    200 cells take the figures of all sizes. Split conformal prediction by group (Mondrian: Vovk et al. 2005).
    """
    groups = pl.DataFrame(
        [(week, str(size)) for week in LEAD_WEEKS for size in range(len(SIZES) + 1)],
        schema={"lead_week": pl.Int32, "size": pl.String}, orient="row",
    )  # fmt: skip
    rows = predictions.with_columns(lead_week(), _size())
    fine = rows.group_by("lead_week", "size").agg(_quantiles()).filter(pl.col("cells") >= LEAST_CELLS)
    whole = rows.select(_quantiles())
    low, high, _ = whole.row(0) if rows.height else (-1.0, 1.0, 0)
    return (
        groups.join(fine, on=["lead_week", "size"], how="left")
        .with_columns(pl.col("low").fill_null(low), pl.col("high").fill_null(high), pl.col("cells").fill_null(0))
        .sort("lead_week", "size")
    )


def with_bands(rows: pl.DataFrame, bands: pl.DataFrame) -> pl.DataFrame:
    """Adds q10, q50, q90 to rows with a forecast: 0 <= q10 <= q50 <= q90, and q50 is the forecast.

    The members learn absolute error, so the forecast is the median. Row order is kept.
    """
    joined = rows.with_columns(lead_week(), _size()).join(
        bands.select("lead_week", "size", "low", "high"),
        on=["lead_week", "size"],
        how="left",
        maintain_order="left",
    )
    return joined.with_columns(
        q10=(pl.col("forecast") + pl.min_horizontal(pl.col("low"), 0.0) * _spread()).clip(0),
        q50=pl.col("forecast"),
        q90=pl.col("forecast") + pl.max_horizontal(pl.col("high"), 0.0) * _spread(),
    ).drop("lead_week", "size", "low", "high")
