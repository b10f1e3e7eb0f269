"""Leads by week: the first and the second week of the horizon."""

import polars as pl

LEAD_WEEKS = (1, 2)


def lead_week() -> pl.Expr:
    """Return 1 for leads of 0 to 6 days, 2 for 7 to 13."""
    return (pl.col("lead_days") // 7 + 1).cast(pl.Int32).alias("lead_week")
