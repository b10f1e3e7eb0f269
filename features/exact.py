"""Sums and means that are the same to the last bit whatever the order of rows or the number of threads."""

from collections.abc import Iterable
from functools import reduce
from operator import add

import polars as pl

STEPS = 1_000_000


def exact_sum(values: pl.Expr) -> pl.Expr:
    """The sum of values rounded to a millionth, added up as whole numbers: addition of floats is not associative."""
    return (values * STEPS).round().cast(pl.Int64).sum() / STEPS


def ordered_sum(values: Iterable[pl.Expr]) -> pl.Expr:
    """The sum of columns, nulls as 0, in the order given: polars' own adds them in whatever order threads meet."""
    return reduce(add, (value.fill_null(0.0) for value in values))


def ordered_mean(values: Iterable[pl.Expr]) -> pl.Expr:
    """The mean of those columns that are not null, in the order given; null where all are."""
    given = list(values)
    known = reduce(add, (value.is_not_null().cast(pl.Int32) for value in given))
    return pl.when(known > 0).then(ordered_sum(given) / known)
