"""Scores any frame that has forecasts and actuals, in the basis points of every report."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import polars as pl

from daypart.features.errors import InputError, SchemaError
from daypart.flows.api import arguments
from daypart.forecasting.metrics import expressions

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = {"q10": 10, "q50": 50, "q90": 90}


def score(
    frame: "pl.DataFrame | pl.LazyFrame | pd.DataFrame",
    by: str | Iterable[str] = (),
    actual: str = "actual",
    forecast: str = "forecast",
) -> pl.DataFrame:
    """Score forecasts against actuals, as they are: sum rows to days first to score days.

    A row without an actual is not scored. Put `target` into `by` where a frame holds orders and sales.

    Args:
        frame: One row per forecast, of any grain, with numbers in `actual` and `forecast`. `incumbent`, `q10`, `q50`
            and `q90` in the same unit are scored too where the frame has them.
        by: Columns that part the score.
        actual: The column of actuals.
        forecast: The column of forecasts.

    Returns:
        One row per group of `by`, sorted: `rows` scored, `actual` (their sum), then in basis points of that sum
        `accuracy_bps` (10,000 less WAPE; below 0 where errors exceed the volume), `bias_bps` (above 0: forecast too
        high), with an incumbent `incumbent_bps` and `gain_bps`, with quantiles `pinball_10_bps` and so on; last
        `coverage`, the share of rows with q10 <= actual <= q90 among those with q90 > 0. Figures are null where
        actuals sum to 0.

    Raises:
        SchemaError: A column is missing, or holds no numbers.
        InputError: A row has an actual but no forecast.

    Examples:
        >>> import polars as pl
        >>> import daypart
        >>> daypart.score(pl.DataFrame({"actual": [8, 12], "forecast": [9.0, 12.0]})).to_dicts()
        [{'rows': 2, 'actual': 20.0, 'accuracy_bps': 9500.0, 'bias_bps': 500.0}]
    """
    groups = list(arguments.names(by))
    rows = _checked(arguments.frame(frame), groups, actual, forecast)
    figures = _figures(set(rows.columns))
    return rows.group_by(groups).agg(figures).sort(groups, nulls_last=True) if groups else rows.select(figures)


def _checked(rows: pl.DataFrame, groups: list[str], actual: str, forecast: str) -> pl.DataFrame:
    """Return the rows that have an actual, with the columns named as they are scored."""
    missing = [name for name in (actual, forecast, *groups) if name not in rows.columns]
    if missing:
        raise SchemaError(
            f"the frame has no column {', '.join(missing)}: expected {', '.join([actual, forecast, *groups])}; "
            f"it has {', '.join(rows.columns) or 'none'}: rename them, or name yours in the call"
        )
    numbers = {"actual": actual, "forecast": forecast}
    numbers |= {name: name for name in ("incumbent", *QUANTILES) if name in rows.columns}
    for name in numbers.values():
        if not rows.schema[name].is_numeric():
            raise SchemaError(f"column {name} is {rows.schema[name]}: expected numbers; cast it first")
    columns = [pl.col(column).cast(pl.Float64).fill_nan(None).alias(name) for name, column in numbers.items()]
    scored = rows.select(*(pl.col(name) for name in groups if name not in numbers), *columns)
    scored = scored.filter(pl.col("actual").is_not_null())
    if blank := scored["forecast"].null_count():
        raise InputError(f"{blank:,} rows with an actual have no forecast: expected one in each; fill or drop them")
    return scored


def _figures(columns: set[str]) -> list[pl.Expr]:
    actual = pl.col("actual")
    accuracy = {
        name: expressions.accuracy_bps(expressions.wape_bps((pl.col(name) - actual).abs(), actual))
        for name in ("forecast", "incumbent") if name in columns
    }  # fmt: skip
    figures = [pl.len().cast(pl.Int64).alias("rows"), actual.sum(), accuracy["forecast"].alias("accuracy_bps")]
    figures.append(expressions.bias_bps(pl.col("forecast"), actual).alias("bias_bps"))
    if "incumbent" in columns:
        incumbent = accuracy["incumbent"]
        figures += [incumbent.alias("incumbent_bps"), (accuracy["forecast"] - incumbent).alias("gain_bps")]
    for name in (name for name in QUANTILES if name in columns):
        loss = expressions.pinball(actual, pl.col(name), QUANTILES[name])
        figures.append(expressions.wape_bps(loss, actual).alias(f"pinball_{QUANTILES[name]}_bps"))
    if {"q10", "q90"} <= columns:
        banded = pl.col("q90") > 0.0
        figures.append(expressions.coverage(actual.is_between("q10", "q90"), banded).alias("coverage"))
    return figures
