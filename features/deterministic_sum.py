"""Sums and means that are equal to the last bit for any order of rows, number of threads and earlier rows."""

from collections.abc import Iterable
from functools import reduce
from operator import add

import polars as pl

STEPS_PER_UNIT = 1_000_000


def exact_sum(values: pl.Expr) -> pl.Expr:
    """Return the sum of values rounded to millionths, added as integers: addition of floats is not associative."""
    return _steps(values).cast(pl.Int64).sum() / STEPS_PER_UNIT


def rank(*key: str) -> pl.Expr:
    """Return the number of rows of the same key before each row, in rows sorted by it."""
    index = pl.int_range(pl.len(), dtype=pl.Int64)
    return index - pl.when(begins(*key)).then(index).forward_fill()


def begins(*key: str) -> pl.Expr:
    """Return whether a row is the first of its key, in rows sorted by it."""
    first = pl.int_range(pl.len()) == 0
    return pl.any_horizontal(first, *(pl.col(name).ne_missing(pl.col(name).shift()) for name in key))


def last_sum(values: pl.Expr, rows: int) -> pl.Expr:
    """Return the sum of the last `rows` values of a key up to each row, or of as many as there are.

    Needs the column `rank`. Integers of millionths leave a rolling sum exactly; floats leave rounding errors.
    """
    sums = _steps(values).cast(pl.Int64).cum_sum()
    before = pl.int_range(pl.len(), dtype=pl.Int64) - pl.min_horizontal(pl.col("rank") + 1, rows)
    return (sums - sums.gather(pl.when(before >= 0).then(before)).fill_null(0)) / STEPS_PER_UNIT


def last_mean(values: pl.Expr, rows: int) -> pl.Expr:
    """Return the mean of the last `rows` values, as `last_sum` returns their sum."""
    return last_sum(values, rows) / pl.min_horizontal(pl.col("rank") + 1, rows)


def _steps(values: pl.Expr) -> pl.Expr:
    return (values * STEPS_PER_UNIT).round()


def ordered_sum(values: Iterable[pl.Expr]) -> pl.Expr:
    """Return the sum of columns, nulls as 0, in the order given; polars' own sum depends on its threads."""
    return reduce(add, (value.fill_null(0.0) for value in values))


def ordered_mean(values: Iterable[pl.Expr]) -> pl.Expr:
    """Return the mean of those columns that are not null, in the order given; null where all are."""
    columns = list(values)
    count = reduce(add, (value.is_not_null().cast(pl.Int32) for value in columns))
    return pl.when(count > 0).then(ordered_sum(columns) / count)
