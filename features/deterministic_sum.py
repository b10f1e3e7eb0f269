"""Sums and means that are the same to the last bit whatever the order of rows, the threads, or what lies before."""

from collections.abc import Iterable
from functools import reduce
from operator import add

import polars as pl

STEPS_PER_UNIT = 1_000_000


def exact_sum(values: pl.Expr) -> pl.Expr:
    """The sum of values rounded to a millionth, added up as whole numbers: addition of floats is not associative."""
    return _steps(values).cast(pl.Int64).sum() / STEPS_PER_UNIT


def rank(*key: str) -> pl.Expr:
    """How many rows of the same key lie before each row, in rows sorted by it."""
    index = pl.int_range(pl.len(), dtype=pl.Int64)
    return index - pl.when(begins(*key)).then(index).forward_fill()


def begins(*key: str) -> pl.Expr:
    """Whether a row is the first of its key, in rows sorted by it."""
    first = pl.int_range(pl.len()) == 0
    return pl.any_horizontal(first, *(pl.col(name).ne_missing(pl.col(name).shift()) for name in key))


def last_sum(values: pl.Expr, rows: int) -> pl.Expr:
    """The sum of the last so many values of a key up to each row, or of as many as there are.

    Needs the column `rank`. Whole millionths come and go without a trace, where a rolling sum of floats keeps a
    little of what has left it.
    """
    sums = _steps(values).cast(pl.Int64).cum_sum()
    before = pl.int_range(pl.len(), dtype=pl.Int64) - pl.min_horizontal(pl.col("rank") + 1, rows)
    return (sums - sums.gather(pl.when(before >= 0).then(before)).fill_null(0)) / STEPS_PER_UNIT


def last_mean(values: pl.Expr, rows: int) -> pl.Expr:
    """As `last_sum`, the mean."""
    return last_sum(values, rows) / pl.min_horizontal(pl.col("rank") + 1, rows)


def _steps(values: pl.Expr) -> pl.Expr:
    return (values * STEPS_PER_UNIT).round()


def ordered_sum(values: Iterable[pl.Expr]) -> pl.Expr:
    """The sum of columns, nulls as 0, in the order given: polars' own adds them in whatever order threads meet."""
    return reduce(add, (value.fill_null(0.0) for value in values))


def ordered_mean(values: Iterable[pl.Expr]) -> pl.Expr:
    """The mean of those columns that are not null, in the order given; null where all are."""
    columns = list(values)
    count = reduce(add, (value.is_not_null().cast(pl.Int32) for value in columns))
    return pl.when(count > 0).then(ordered_sum(columns) / count)
