"""What a store's own past says at an origin: the incumbent, recent levels, last year, earlier holidays.

Every value here is a state: it belongs to the last known open day and is joined to an origin by time, so that
nothing that happened at or after the origin can reach it.
"""

from dataclasses import dataclass

import polars as pl

from features.exact import exact_sum, ordered_mean

SAME_HOUR_WEEKS = 8
"""How many known same-weekday values are looked at; the incumbent is the mean of the last four."""

SHAPE_WEEKS = 12
"""Over how many weeks the shape of a day is averaged: it is noisier by the hour than the level is by the day."""

HALF_YEAR_WEEKS = 26

HOUR_KEY = ["store_id", "weekday", "hour"]


@dataclass(frozen=True)
class Past:
    """What a target's history says, at the grains that origins are joined to. Built once, read by many."""

    hourly: pl.DataFrame
    hour_levels: pl.DataFrame
    totals: pl.DataFrame
    weekdays: pl.DataFrame
    yearly: pl.DataFrame
    holidays: pl.DataFrame
    holiday_ratios: pl.DataFrame
    event_days: pl.DataFrame
    event_codes: pl.DataFrame
    store_codes: pl.DataFrame


def hourly_profile(demand: pl.DataFrame, target: str, declared: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per store, open local date and hour that it ever traded or declares: the target as `y`, absent = 0.

    `declared` has one row per (store_id, hour): such hours have a history of 0 from the first day, so that the
    first demand in one changes nothing that was known before it.

    A date on which the target sums to 0 is closed and has no rows. The two values of an hour that repeats when
    clocks go back are averaged, so that `y` is always the demand of one hour.
    """
    cells = (
        demand.lazy()
        .filter(pl.col(target).is_not_null())
        .select("store_id", pl.col("hour_local").dt.date().alias("date"),
                pl.col("hour_local").dt.hour().alias("hour"), pl.col(target).alias("y"))
        .group_by("store_id", "date", "hour").agg(pl.col("y").mean())
    )  # fmt: skip
    opened = cells.group_by("store_id", "date").agg(pl.col("y").sum()).filter(pl.col("y") > 0)
    traded = cells.filter(pl.col("y") > 0).select("store_id", "hour")
    if declared is not None:
        traded = pl.concat([traded, declared.lazy()])
    return (
        opened.select("store_id", "date")
        .join(traded.unique(), on="store_id")
        .join(cells, on=["store_id", "date", "hour"], how="left")
        .with_columns(pl.col("y").fill_null(0.0), weekday=pl.col("date").dt.weekday())
        .sort(*HOUR_KEY, "date")
        .collect()
    )


def plain_state(state: pl.DataFrame, busy: pl.DataFrame) -> pl.DataFrame:
    """Adds what the last known plain same-weekday values were: days without holiday or event.

    `busy` has one row per (store_id, date) that is not plain. `plain_base`: mean of the last four, for the days
    after this one; `plain_before`: as it stood for this day; `plain_12`, `plain_26`: means of the last
    twelve and twenty-six; `plain`: whether this day is.
    """
    marked = state.join(busy.with_columns(plain=pl.lit(value=False)), on=["store_id", "date"], how="left")
    marked = marked.with_columns(pl.col("plain").fill_null(value=True)).sort(*HOUR_KEY, "date")
    ranked = marked.filter("plain").with_columns(rank=pl.int_range(pl.len()).over(HOUR_KEY))
    means = ranked.select(
        *HOUR_KEY, "date",
        plain_base=ordered_mean(_past("y", k) for k in range(4)),
        plain_12=ordered_mean(_past("y", k) for k in range(SHAPE_WEEKS)),
        plain_26=ordered_mean(_past("y", k) for k in range(HALF_YEAR_WEEKS)),
    )  # fmt: skip
    joined = marked.join(means, on=[*HOUR_KEY, "date"], how="left", maintain_order="left")
    filled = joined.with_columns(pl.col("plain_base", "plain_12", "plain_26").forward_fill().over(HOUR_KEY))
    return filled.with_columns(plain_before=pl.col("plain_base").shift(1).over(HOUR_KEY))


def _past(value: str, weeks: int) -> pl.Expr:
    """The value `weeks` known same-weekday days earlier, in rows sorted by HOUR_KEY and date."""
    return pl.when(pl.col("rank") >= weeks).then(pl.col(value).shift(weeks))


def same_hour_state(profile: pl.DataFrame, also: list[str]) -> pl.DataFrame:
    """Adds to the profile what the last known same-weekday values were, this row's included.

    `base`: the incumbent for the days after this one; `base_before`: the incumbent as it stood for this day
    itself; `last`, `last_2`, `last_8`: means of so many values; `<column>_base` for each
    column in `also`: its mean over the same days as the incumbent's.
    """
    weeks = range(SAME_HOUR_WEEKS)
    ranked = profile.with_columns(rank=pl.int_range(pl.len()).over(HOUR_KEY))
    return ranked.with_columns(
        base=ordered_mean(_past("y", k) for k in weeks[:4]),
        base_before=ordered_mean(_past("y", k) for k in range(1, 5)),
        last=pl.col("y"),
        last_2=ordered_mean(_past("y", k) for k in weeks[:2]),
        last_8=ordered_mean(_past("y", k) for k in weeks),
        **{f"{name}_base": ordered_mean(_past(name, k) for k in weeks[:4]) for name in also},
    ).drop("rank", *also)


def hour_levels(state: pl.DataFrame) -> pl.DataFrame:
    """One row per store, hour and open date: how the hour ran on plain days lately beside its plain mean."""
    over = ["store_id", "hour"]
    seen = pl.col("plain") & pl.col("plain_before").is_not_null()
    return (
        state.sort("store_id", "hour", "date")
        .with_columns(
            seen=pl.when(seen).then("y").otherwise(0.0),
            expected=pl.when(seen).then("plain_before").otherwise(0.0),
        )
        .select(
            "store_id", "hour", "date",
            hour_level_7=_level(7, over),
            hour_level_28=_level(28, over),
            hour_mean_28=pl.col("y").rolling_mean(28, min_samples=1).over(over),
        )
    )  # fmt: skip


def _level(days: int, over: list[str] | str) -> pl.Expr:
    """What was seen over what was expected, summed over the last open days; null without expectation."""
    seen = pl.col("seen").rolling_sum(days, min_samples=1).over(over)
    expected = pl.col("expected").rolling_sum(days, min_samples=1).over(over)
    # A window that has left its last demand behind can keep a rounding error instead of 0.
    return pl.when(expected > 1e-6).then(seen / expected)


def day_totals(state: pl.DataFrame) -> pl.DataFrame:
    """One row per store and open date: total, what plain days led to expect of it (`usual`), recent levels.

    Levels are sums over plain days: a holiday or promotion lately says nothing of the days to come.
    """
    totals = (
        state.sort("store_id", "date", "hour")
        .group_by("store_id", "date", maintain_order=True)
        .agg(
            total=exact_sum(pl.col("y")),
            usual=exact_sum(pl.coalesce("plain_before", "base_before")),
            hours_traded=(pl.col("y") > 0).sum(),
            plain=pl.col("plain").first(),
        )
    )

    def mean(days: int) -> pl.Expr:
        return pl.col("total").rolling_mean(days, min_samples=1).over("store_id")

    def spread(days: int) -> pl.Expr:
        return pl.col("hours_traded").rolling_sum(days, min_samples=1).over("store_id")

    counts = pl.col("plain") & (pl.col("usual") > 0)
    levels = {f"day_level_{days}": _level(days, "store_id") for days in (3, 7, 14, 28)}
    return totals.with_columns(
        seen=pl.when(counts).then("total").otherwise(0.0),
        expected=pl.when(counts).then("usual").otherwise(0.0),
    ).with_columns(
        **levels,
        day_trend=mean(28) / mean(84),
        hourly_scale=pl.col("total").rolling_sum(28, min_samples=1).over("store_id") / spread(28),
        open_days_known=pl.int_range(1, pl.len() + 1).over("store_id"),
    ).drop("seen", "expected")  # fmt: skip


def weekday_state(totals: pl.DataFrame, holidays: pl.DataFrame) -> pl.DataFrame:
    """One row per store and open date: the weekday's last ratio, and the holidays among the incumbent's days."""
    over = ["store_id", "weekday"]
    return (
        totals.join(holidays, on=["store_id", "date"], how="left")
        .with_columns(weekday=pl.col("date").dt.weekday(), marked=pl.col("holiday").is_not_null().cast(pl.Int32))
        .sort(*over, "date")
        .select(
            "store_id", "weekday", "date",
            weekday_last=pl.when(pl.col("usual") > 0).then(pl.col("total") / pl.col("usual")),
            holidays_in_base=pl.col("marked").rolling_sum(4, min_samples=1).over(over),
        )
    )  # fmt: skip


def year_ago(totals: pl.DataFrame) -> pl.DataFrame:
    """One row per store and calendar date from the first: centred 7-day and trailing 28-day mean totals."""
    grid = (
        totals.group_by("store_id")
        .agg(pl.date_ranges(pl.col("date").min(), pl.col("date").max()).first().alias("date"))
        .explode("date")
    )
    daily = grid.join(totals, on=["store_id", "date"], how="left").sort("store_id", "date")
    return daily.select(
        "store_id", "date",
        week_mean=pl.col("total").rolling_mean(7, min_samples=4, center=True).over("store_id"),
        month_mean=pl.col("total").rolling_mean(28, min_samples=14).over("store_id"),
    )  # fmt: skip


def holiday_ratios(totals: pl.DataFrame, holidays: pl.DataFrame) -> pl.DataFrame:
    """One row per store and past date of a holiday within the store's history; `date` is when it was known.

    A holiday with trade was known on its day, a closed one on the next open day: until then it may be late data.
    `holiday_ratio`: total over incumbent, null without one; `holiday_closed`: nothing was sold on a weekday that
    had traded within the four weeks before.
    """
    span = totals.group_by("store_id").agg(first=pl.col("date").min(), last=pl.col("date").max())
    weekdays = totals.select("store_id", "date", weekday=pl.col("date").dt.weekday(), usual_on="date")
    past = holidays.join(span, on="store_id").filter(pl.col("date").is_between("first", "last"))
    usual = (
        past.with_columns(weekday=pl.col("date").dt.weekday())
        .sort("date")
        .join_asof(
            weekdays.sort("date"),
            on="date",
            by=["store_id", "weekday"],
            strategy="backward",
            allow_exact_matches=False,
            tolerance="28d",
            check_sortedness=False,
        )
    )
    return (
        usual.join(totals, on=["store_id", "date"], how="left")
        .sort("date")
        .join_asof(weekdays.select("store_id", "date", open_on="date").sort("date"), on="date", by="store_id",
                   strategy="forward", check_sortedness=False)
        .select(
            "store_id", "holiday", date="open_on",
            holiday_ratio=pl.when(pl.col("usual") > 0).then(pl.col("total") / pl.col("usual")),
            holiday_closed=pl.col("total").is_null() & pl.col("usual_on").is_not_null(),
        )
        .sort("store_id", "holiday", "date")
    )  # fmt: skip
