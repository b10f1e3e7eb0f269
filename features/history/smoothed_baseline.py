"""The smoothed baseline: the incumbent of a plain day by the hour, with less noise and at its recent level."""

import polars as pl

from daypart.features.deterministic_sum import exact_sum, ordered_mean

LEVEL_CARRY = 0.5
"""Share of the level's movement that is carried on to the target: the rest is mostly noise."""
BASELINE_LEVELS = ("history_day_level_7", "history_day_level_14")


def with_smoothed_baseline(rows: pl.DataFrame, day: str) -> pl.DataFrame:
    """Add `smooth`: the incumbent of plain days over a steadier shape, moved towards the recent level.

    Also add `half_year`, the same over the shape of the last half year. On a holiday both are multiplied by
    `holiday_effect`. `day` numbers the rows' store, origin and date.
    """
    plain = pl.coalesce("plain_base", "incumbent")
    level = exact_sum(plain).over(day) * _recent_level()
    # Twelve weeks average out noise, four follow a change of habits: the mean of both shapes beats either alone.
    usual = (_shape("plain_12", day) + _shape("plain_base", day)) / 2
    effect = pl.col("holiday_effect").fill_null(1.0)
    return rows.with_columns(
        smooth=pl.when(usual.is_not_null()).then(usual * level).otherwise(plain) * effect,
        half_year=_shape("plain_26", day) * level * effect,
    )


def _shape(hour: str, day: str) -> pl.Expr:
    """Return each hour's share of its day in a column of hourly means; null where the day has no trade."""
    filled = pl.coalesce(hour, "incumbent").fill_null(0.0)
    day_total = exact_sum(filled).over(day)
    return pl.when(day_total > 0).then(filled / day_total)


def _recent_level() -> pl.Expr:
    """Return the movement of the level since the four weeks of the incumbent, carried on to the target.

    These weeks lie two and a half weeks before a day in the first week of the horizon and three and a half before a
    day in the second. The levels of the last 7 and 14 days contain the first of these steps.
    """
    lately = ordered_mean(pl.col(f"day_level_{days}").fill_null(1.0).clip(0.5, 2.0).log() for days in (7, 14))
    weeks = 2.5 + pl.col("lead_days") // 7
    return (LEVEL_CARRY * lately * (weeks / 2.5)).exp()


def log_effects() -> dict[str, pl.Expr]:
    """Return by feature of the matrix its contribution to the log of `smooth`: of the level and of the holiday.

    `smooth` over the exponential of their sum is its value on a plain day at the level of four weeks.
    """
    weeks = 2.5 + pl.col("lead_days") // 7
    levels = {name: pl.col(name).fill_null(1.0).clip(0.5, 2.0) for name in BASELINE_LEVELS}
    moved = {name: level.log() * LEVEL_CARRY / len(BASELINE_LEVELS) * weeks / 2.5 for name, level in levels.items()}
    return moved | {"history_holiday_effect": pl.col("history_holiday_effect").fill_null(1.0).log()}
