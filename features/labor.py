"""Labor as scheduled. Hours worked are never a feature of their own hour: they follow demand."""

import polars as pl


def schedule(labor: pl.DataFrame) -> pl.DataFrame:
    """One row per store, local date and hour: person-hours scheduled, averaged where the hour repeats."""
    planned = labor.filter(pl.col("scheduled_hours").is_not_null())
    return planned.group_by("store_id", date=pl.col("hour_local").dt.date(), hour=pl.col("hour_local").dt.hour()).agg(
        pl.col("scheduled_hours").mean()
    )
