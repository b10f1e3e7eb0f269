"""Dayparts: named ranges of clock hours."""

from collections.abc import Mapping

import polars as pl

DAYPARTS: Mapping[str, tuple[int, int]] = {"breakfast": (6, 10), "lunch": (11, 14), "dinner": (15, 21)}
"""First and last clock hour of each daypart, both included."""


def daypart(hour: pl.Expr, dayparts: Mapping[str, tuple[int, int]] = DAYPARTS) -> pl.Expr:
    """Return the name of the daypart that a clock hour (0..23) belongs to; null outside every daypart."""
    label = pl.lit(None, dtype=pl.String)
    for name, (first, last) in dayparts.items():
        label = pl.when(hour.is_between(first, last)).then(pl.lit(name)).otherwise(label)
    return label.alias("daypart")
