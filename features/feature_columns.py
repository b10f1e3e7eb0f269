"""Feature columns of the matrix: expressions over rows of open hours with their history and covariates."""

import polars as pl

from daypart.features.deterministic_sum import exact_sum
from daypart.features.signals import events, weather

MAX_AGE_DAYS = 56
"""A store's age is capped here: beyond, a count of days would only identify the date."""
TARGET_DAY = "target_day"
"""The number of a store's origin and lead, in the order of `matrix.ROW_KEY`: integers sort faster than text."""


def departures(rows: pl.DataFrame) -> list[pl.Expr]:
    """Return the difference of covariates between the target hour and the four days of the incumbent."""
    columns: list[pl.Expr] = []
    if "temperature_c" in rows.columns:
        columns += weather.weather_features()
    if "scheduled_hours" in rows.columns:
        columns.append(ratio("scheduled_hours", "scheduled_hours_base").alias("labor_scheduled_change"))
        # Only hours with a schedule are compared.
        scheduled, base = (
            exact_sum(pl.when(pl.col("scheduled_hours").is_not_null()).then(name).fill_null(0.0)).over(TARGET_DAY)
            for name in ("scheduled_hours", "scheduled_hours_base")
        )
        columns.append(pl.when(base > 0).then(scheduled / base).alias("labor_day_change"))
    if "event_promotion" in rows.columns:
        columns += [pl.col(f"{name}_base") for name in events.EVENT_COLUMNS]
    return columns


def ratio(value: str, base: str) -> pl.Expr:
    """Return the quotient of two columns; null unless the base is above 0."""
    # Polars divides by a column that holds one value as multiplication by its inverse: always doing so gives the
    # same bits for one store as for many.
    return pl.when(pl.col(base) > 0).then(pl.col(value) * (1.0 / pl.col(base)))


def history_family() -> list[pl.Expr]:
    """Return the history family: states of the store relative to its smoothed baseline."""
    same = {name: ratio(name, "smooth") for name in ("last", "last_2", "last_8", "hour_mean_28")}
    states = ("hour_level_7", "hour_level_28", "day_level_3", "day_level_7", "day_level_14", "day_level_28",
              "day_trend", "weekday_last", "holidays_in_base", "holiday_ratio", "holiday_effect")  # fmt: skip
    return [
        *(value.alias(f"history_{name}") for name, value in same.items()),
        *(pl.col(name).alias(f"history_{name}") for name in states),
        ratio("half_year", "smooth").alias("history_half_year_shape"),
        ratio("smooth", "scale").alias("history_shape"),
        ratio("incumbent", "smooth").alias("history_incumbent"),
        pl.col("open_days_known").clip(upper_bound=MAX_AGE_DAYS).alias("history_open_days"),
        (pl.col("origin_date") - pl.col("last_on")).dt.total_days().alias("history_silent_days"),
    ]


def clock_family() -> list[pl.Expr]:
    """Return the calendar features of the target hour: clock hour and lead."""
    return [
        pl.col("hour").cast(pl.Int32).alias("calendar_hour"),
        pl.col("lead_days").cast(pl.Int32).alias("calendar_lead_days"),
    ]
