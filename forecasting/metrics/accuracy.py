"""Accuracy of a backtest in basis points, with that of the incumbent and the floor of the error."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from daypart.features.deterministic_sum import exact_sum
from daypart.features.errors import InputError, SchemaError
from daypart.features.money import UNIT
from daypart.forecasting.metrics import expressions

Level = Literal["hour", "daypart", "day"]

FORECAST_DAY = ("store_id", "target", "origin_date", "date")
SCORED_CELL_KEYS: dict[Level, tuple[str, ...]] = {
    "hour": (*FORECAST_DAY, "hour_utc"),
    "daypart": (*FORECAST_DAY, "daypart"),
    "day": FORECAST_DAY,
}
"""What identifies one scored cell at each level; `date` is the local calendar date."""

REQUIRED_COLUMNS = {
    *FORECAST_DAY[:3],
    *("hour_local", "hour_utc", "daypart", "forecast", "q10", "q90", "incumbent", "actual"),
}
COMPARED_FORECASTS = ("forecast", "incumbent", "oracle")


def score(frame: pl.DataFrame, level: Level, by: Sequence[str] = ()) -> pl.DataFrame:
    """Score a backtest frame (one row per store, target, origin and hour) at one level.

    One row per group of `by` (one in all without it), sorted by them: `cells`, `actual` (their sum), then in
    basis points and unrounded `accuracy_bps`, `incumbent_bps`, `gain_bps`, `floor_bps` (error, not accuracy),
    `floor_accuracy_bps`, `oracle_bps` (only where the frame has `oracle`) and `bias_bps` (positive =
    over-forecast); last `coverage`, the share of hours with q10 <= actual <= q90 among those with q90 > 0,
    null above the hour.

    A cell is a store, target and origin's hour, daypart of a calendar date or calendar date: hours are summed
    before errors are taken. A column of `by` that varies inside a cell splits it. Rows without an actual are
    not scored, nor at daypart level those outside any daypart. A missing incumbent counts as 0. Accuracy is
    10_000 x (1 - WAPE) and null where actuals sum to 0.

    The floor is the mean absolute error of the best forecast of a Poisson count (`deviation`) whose mean is
    unknown and is taken to be the forecast, so it is an estimate and follows the forecast's bias. A sum of
    money is the count m / `unit_value` times that value of a ticket: a lower bound, for tickets vary as well.
    Rows of several currencies say in UNIT what counts as one in theirs (`features.money`): all sums of money are of
    such units. Floor and oracle are taken over the cells where they are known, null where there are none.

    Raises `SchemaError` where a column is missing, `InputError` where a scored row has no forecast or where
    targets, which have different units, would be added up.
    """
    rows = _scored(frame, level, by)
    cells = _cells(rows, level, by).with_columns(floor=_floor())
    figures = [*_figures("oracle" in frame.columns), _coverage(level)]
    if not by:
        return cells.select(figures)
    return cells.group_by(by, maintain_order=True).agg(figures).sort(by, nulls_last=True)


def band_score(cells: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """Score bands of cells of any level (columns: q10, q50, q90, actual), of one unit; those without actual are not.

    One row per group of `by`, sorted by them: `cells`, `coverage` as in `score`, then `pinball_10_bps`,
    `pinball_50_bps` and `pinball_90_bps`: 10_000 x the sum of losses / the sum of actuals, null where that is 0. A
    quantile q at p loses p (actual - q) where it is too low and (1 - p) (q - actual) where too high, so that the
    true quantile loses least; at 0.5 it is half of WAPE.
    """
    scored_cells = cells.filter(pl.col("actual").is_not_null())
    actual = pl.col("actual")
    losses = {percent: expressions.pinball(actual, pl.col(f"q{percent}"), percent) for percent in (10, 50, 90)}
    figures = [
        pl.len().cast(pl.Int64).alias("cells"),
        expressions.coverage(actual.is_between("q10", "q90"), pl.col("q90") > 0.0).alias("coverage"),
        *(expressions.wape_bps(loss, actual).alias(f"pinball_{percent}_bps") for percent, loss in losses.items()),
    ]
    return scored_cells.group_by(by).agg(figures).sort(by, nulls_last=True) if by else scored_cells.select(figures)


def wape_bps(rows: pl.DataFrame, forecast: str) -> float | None:
    """Return the WAPE in bps of a forecast column against `y`, with the same bits in any order of rows.

    None where `y` sums to 0.
    """
    error = exact_sum((pl.col("y") - pl.col(forecast)).abs())
    wape = rows.select(expressions.volume_bps(error, exact_sum(pl.col("y")))).item()
    return None if wape is None else float(wape)


def deviation(mean: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the mean absolute deviation of a Poisson count from its median: no forecast errs less on average.

    With integer c and F the distribution function, E|X - c| = 2 c p(c) + (c - m)(2 F(c - 1) - 1), from
    (x) p(x) = m p(x - 1); about the mean it is Crow's (1958) 2 e^-m m^(floor(m) + 1) / floor(m)!. The median
    lies in [m - ln 2, m + 1/3) (Choi 1994), so it is floor(m) or the integer above, whichever errs less.
    Exact at any volume; 0 for a mean of 0 or less; null and NaN come out as NaN.
    """
    means = np.asarray(mean, dtype=np.float64)
    below = np.floor(np.maximum(means, 0.0))
    nearest = np.minimum(_deviation_from(below, means), _deviation_from(below + 1.0, means))
    return np.where(means <= 0.0, 0.0, nearest)


def _deviation_from(centre: npt.NDArray[np.float64], mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy.special import gammaincc, gammaln

    positive = np.where(mean > 0.0, mean, np.nan)
    at = np.exp(centre * np.log(positive) - positive - gammaln(centre + 1.0))
    # gammaincc(c, m) is P(X <= c - 1); at c = 0 it is 0, as it should be.
    below = gammaincc(centre, positive)
    error: npt.NDArray[np.float64] = 2.0 * centre * at + (centre - positive) * (2.0 * below - 1.0)
    return error


def _scored(frame: pl.DataFrame, level: Level, by: Sequence[str]) -> pl.DataFrame:
    """Return the checked rows that are scored at this level, with the columns that scoring reads."""
    missing = sorted(({*REQUIRED_COLUMNS, *by} - {"date"}) - set(frame.columns))
    if missing:
        expected = ", ".join(sorted(REQUIRED_COLUMNS))
        raise SchemaError(f"the backtest frame has no {', '.join(missing)}: expected {expected}")
    local = pl.col("hour_local").dt.date()
    date = pl.col("business_date") if "business_date" in frame.columns else local
    rows = frame.filter(pl.col("actual").is_not_null()).with_columns(date=date)
    if level == "daypart":
        rows = rows.filter(pl.col("daypart").is_not_null())
    blank = rows["forecast"].null_count()
    if blank:
        raise InputError(f"{blank} scored hours have no forecast: expected one for every actual; run it again")
    targets = rows["target"].unique().sort().to_list()
    if len(targets) > 1 and "target" not in by:
        raise InputError(f"targets {', '.join(targets)} have different units: expected one, or target in `by`")
    rows = _in_units(rows)
    unit = pl.col("unit_value") if "unit_value" in rows.columns else pl.lit(None, dtype=pl.Float64)
    return rows.with_columns(unit_value=pl.when(pl.col("target") == "orders").then(1.0).otherwise(unit))


def _in_units(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with money in units, where they say what counts as one."""
    if UNIT not in rows.columns:
        return rows
    money = [name for name in (*COMPARED_FORECASTS, "actual", "q10", "q90", "unit_value") if name in rows.columns]
    return rows.with_columns(pl.col(name) / pl.col(UNIT) for name in money)


def _cells(rows: pl.DataFrame, level: Level, by: Sequence[str]) -> pl.DataFrame:
    """Return one row per cell: sums over its hours, the ticket's value, and whether its hours are within the band."""
    actual, low, high = pl.col("actual"), pl.col("q10").fill_null(0.0), pl.col("q90").fill_null(0.0)
    rivals = [pl.col(name) for name in COMPARED_FORECASTS if name in rows.columns and name != "incumbent"]
    columns = [
        actual,
        pl.col("incumbent").fill_null(0.0),
        *rivals,
        pl.col("unit_value"),
        actual.is_between(low, high).alias("held"),
        (high > 0.0).alias("banded"),
    ]
    key = list(dict.fromkeys((*SCORED_CELL_KEYS[level], *by)))
    # Floats are added up in one order, whatever the order of the rows: same input, same bits.
    rows = rows.sort("store_id", "target", "origin_date", "hour_utc").select(*key, *columns)
    if level == "hour":
        return rows
    sums = [pl.col("actual", "incumbent").sum()]
    # An oracle that misses an hour misses the cell.
    sums += [pl.when(rival.null_count() == 0).then(rival.sum()) for rival in rivals]
    return rows.group_by(key, maintain_order=True).agg(*sums, pl.col("unit_value").max())


def _floor() -> pl.Expr:
    """Return the mean absolute error of the best forecast of a cell's volume, in the target's unit."""
    unit = pl.when(pl.col("unit_value") > 0.0).then(pl.col("unit_value"))
    return deviations(pl.col("forecast") / unit) * unit


def deviations(mean: pl.Expr) -> pl.Expr:
    """Return the `deviation` of a column of means; null where that is null."""
    best = mean.map_batches(
        lambda means: pl.Series(deviation(means.to_numpy())), return_dtype=pl.Float64, is_elementwise=True
    )
    return pl.when(mean.is_not_null()).then(best)


def _figures(oracle: bool) -> list[pl.Expr]:
    actual = pl.col("actual")
    accuracy = {
        name: expressions.accuracy_bps(expressions.wape_bps((pl.col(name) - actual).abs(), actual))
        for name in COMPARED_FORECASTS[: 2 + oracle]
    }
    floor = expressions.wape_bps(pl.col("floor"), actual)
    return [
        pl.len().cast(pl.Int64).alias("cells"),
        actual.sum().alias("actual"),
        accuracy["forecast"].alias("accuracy_bps"),
        accuracy["incumbent"].alias("incumbent_bps"),
        (accuracy["forecast"] - accuracy["incumbent"]).alias("gain_bps"),
        floor.alias("floor_bps"),
        expressions.accuracy_bps(floor).alias("floor_accuracy_bps"),
        *([accuracy["oracle"].alias("oracle_bps")] if oracle else []),
        expressions.bias_bps(pl.col("forecast"), actual).alias("bias_bps"),
    ]


def _coverage(level: Level) -> pl.Expr:
    if level != "hour":
        return pl.lit(None, dtype=pl.Float64).alias("coverage")
    return expressions.coverage(pl.col("held"), pl.col("banded")).alias("coverage")
