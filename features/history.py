"""What a store's own past says at an origin: the incumbent, recent levels, last year, earlier holidays.

Every value here is a state: it belongs to the last known open day and is joined to an origin by time, so that
nothing that happened at or after the origin can reach it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from features.exact import begins, exact_sum, last_mean, last_sum, ordered_mean, rank, rolling_mean

SAME_HOUR_WEEKS = 8
"""How many known same-weekday values are looked at; the incumbent is the mean of the last four."""

SHAPE_WEEKS = 12
"""Over how many weeks the shape of a day is averaged: it is noisier by the hour than the level is by the day."""

HALF_YEAR_WEEKS = 26

HOUR_KEY = ["store_id", "weekday", "hour"]
DAY_KEY = ["store_id", "weekday"]


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


def hourly_cells(demand: pl.DataFrame, target: str) -> pl.DataFrame:
    """One row per store, local date and hour with a value of the target, `y`, sorted by them.

    The two values of an hour that repeats when clocks go back are averaged, so that `y` is always the demand of
    one hour.
    """
    key = ["store_id", "date", "hour"]
    told = demand.filter(pl.col(target).is_not_null())
    stores = pl.Enum(told["store_id"].unique().sort())
    # One whole number sorts four times as fast as text and a moment.
    place = (
        pl.col("store_id").cast(stores).to_physical().cast(pl.Int64) * 2**32 + pl.col("hour_local").dt.epoch("s") // 60
    )
    ordered = told.sort(place).select(
        "store_id", date=pl.col("hour_local").dt.date(), hour=pl.col("hour_local").dt.hour(), y=pl.col(target)
    )
    repeats = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in key).fill_null(value=False)
    mean = pl.when(repeats.shift(-1)).then((pl.col("y") + pl.col("y").shift(-1)) / 2).otherwise("y")
    return ordered.with_columns(y=mean, repeats=repeats).filter(~pl.col("repeats")).drop("repeats")


def hourly_profile(
    cells: pl.DataFrame, declared: pl.DataFrame | None = None, since: date | None = None
) -> pl.DataFrame:
    """One row per store, open local date and hour that it ever traded or declares: `y` of the cells, absent = 0.

    `declared` has one row per (store_id, hour): such hours have a history of 0 from the first day, so that the
    first demand in one changes nothing that was known before it. Dates before `since` are left out.

    A date on which the target sums to 0 is closed and has no rows. Sorted by HOUR_KEY and date.
    """
    traded = cells.filter(pl.col("y") > 0).select("store_id", "hour")
    if declared is not None:
        traded = pl.concat([traded, declared])
    late = cells if since is None else cells.filter(pl.col("date") >= since)
    late = late.with_columns(day=begins("store_id", "date").cast(pl.Int64).cum_sum() - 1)
    opened = (
        late.group_by("day", maintain_order=True).agg(pl.col("store_id", "date").first(), pl.col("y").sum())
        .filter(pl.col("y") > 0)
        .group_by("store_id", weekday=pl.col("date").dt.weekday(), maintain_order=True).agg("date", "day")
    )  # fmt: skip
    grid = opened.join(traded.unique(), on="store_id").sort(HOUR_KEY).explode("date", "day")
    # Each day has a place for its 24 hours: looking there is much cheaper than a join.
    sold = pl.zeros(24 * late["day"].n_unique(), dtype=pl.Float64, eager=True)
    place = pl.col("day") * 24 + pl.col("hour")
    sold = sold.scatter(late.select(place).to_series(), late["y"])
    return grid.with_columns(y=sold.gather(grid.select(place).to_series())).drop("day")


def plain_state(
    state: pl.DataFrame, busy: pl.DataFrame, key: Sequence[str] = HOUR_KEY, value: str = "y"
) -> pl.DataFrame:
    """Adds to rows sorted by key and date what the last known plain same-weekday values were.

    Plain days have neither holiday nor event: `busy` has one row per (store_id, date) that is not plain.
    `plain_base`: mean of the last four, for the days after this one; `plain_before`: as it stood for this day;
    `plain_12`, `plain_26`: means of the last twelve and twenty-six; `plain`: whether this day is.
    """
    marked = state.join(
        busy.with_columns(plain=pl.lit(value=False)), on=["store_id", "date"], how="left", maintain_order="left"
    ).with_columns(pl.col("plain").fill_null(value=True), rank=rank(*key))
    means = marked.filter("plain").with_columns(rank=rank(*key)).select(
        plain_base=ordered_mean(_past(value, k) for k in range(4)),
        plain_12=last_mean(pl.col(value), SHAPE_WEEKS),
        plain_26=last_mean(pl.col(value), HALF_YEAR_WEEKS),
    )  # fmt: skip
    latest = means.select(pl.all().gather(marked.select(_latest_plain()).to_series()))
    before = pl.when(pl.col("rank") > 0).then(pl.col("plain_base").shift(1))
    return marked.hstack(latest).with_columns(plain_before=before).drop("rank")


def _latest_plain() -> pl.Expr:
    """Where among all plain rows the latest one of the same key lies; null before the first."""
    number = pl.col("plain").cast(pl.Int64).cum_sum()
    of_others = (number - pl.col("plain")).gather(pl.int_range(pl.len(), dtype=pl.Int64) - pl.col("rank"))
    return pl.when(number > of_others).then(number - 1)


def _past(value: str, weeks: int) -> pl.Expr:
    """The value `weeks` known same-weekday days earlier, in rows sorted by key and date."""
    return pl.when(pl.col("rank") >= weeks).then(pl.col(value).shift(weeks))


def same_hour_state(profile: pl.DataFrame, also: list[str]) -> pl.DataFrame:
    """Adds to the profile what the last known same-weekday values were, this row's included.

    `base`: the incumbent for the days after this one; `last`, `last_2`, `last_8`: means of so many values;
    `<column>_base` for each column in `also`: its mean over the same days as the incumbent's.
    """
    weeks = range(SAME_HOUR_WEEKS)
    ranked = profile.with_columns(rank=rank(*HOUR_KEY))
    return ranked.with_columns(
        base=ordered_mean(_past("y", k) for k in weeks[:4]),
        last=pl.col("y"),
        last_2=ordered_mean(_past("y", k) for k in weeks[:2]),
        last_8=ordered_mean(_past("y", k) for k in weeks),
        **{f"{name}_base": ordered_mean(_past(name, k) for k in weeks[:4]) for name in also},
    ).drop("rank", *also)


def hour_levels(state: pl.DataFrame) -> pl.DataFrame:
    """One row per store, hour and open date: how the hour ran on plain days lately beside its plain mean."""
    seen = pl.col("plain") & pl.col("plain_before").is_not_null()
    return (
        state.select(
            "store_id", "hour", "date", "y",
            seen=pl.when(seen).then("y").otherwise(0.0),
            expected=pl.when(seen).then("plain_before").otherwise(0.0),
        )
        .sort("store_id", "hour", "date")
        .with_columns(rank=rank("store_id", "hour"))
        .select(
            "store_id", "hour", "date",
            hour_level_7=_level(7),
            hour_level_28=_level(28),
            hour_mean_28=last_mean(pl.col("y"), 28),
        )
    )  # fmt: skip


def _level(days: int) -> pl.Expr:
    """What was seen over what was expected, summed over the last open days; null without expectation."""
    seen, expected = last_sum(pl.col("seen"), days), last_sum(pl.col("expected"), days)
    return pl.when(expected > 0).then(seen / expected)


def day_totals(cells: pl.DataFrame, busy: pl.DataFrame) -> pl.DataFrame:
    """One row per store and open date: total, what plain days led to expect of it (`usual`), recent levels.

    `usual` is the mean total of the last four plain same weekdays, or of the last four of any kind where none was
    plain: the same as the sum of what its hours led to expect. Levels are sums over plain days: a holiday or
    promotion lately says nothing of the days to come.
    """
    days = (
        cells.group_by("store_id", "date")
        .agg(total=exact_sum(pl.col("y")), hours_traded=(pl.col("y") > 0).sum())
        .filter(pl.col("total") > 0)
        .with_columns(weekday=pl.col("date").dt.weekday())
        .sort(*DAY_KEY, "date")
        .with_columns(rank=rank(*DAY_KEY))
        .with_columns(base_before=ordered_mean(_past("total", k) for k in range(1, 5)))
    )
    totals = (
        plain_state(days.drop("rank"), busy, DAY_KEY, "total")
        .select("store_id", "date", "total", "hours_traded", "plain", usual=pl.coalesce("plain_before", "base_before"))
        .sort("store_id", "date")
        .with_columns(rank=rank("store_id"))
    )
    counts = pl.col("plain") & (pl.col("usual") > 0)
    return totals.with_columns(
        seen=pl.when(counts).then("total").otherwise(0.0),
        expected=pl.when(counts).then("usual").otherwise(0.0),
    ).with_columns(
        **{f"day_level_{days}": _level(days) for days in (3, 7, 14, 28)},
        day_trend=last_mean(pl.col("total"), 28) / last_mean(pl.col("total"), 84),
        hourly_scale=last_sum(pl.col("total"), 28) / last_sum(pl.col("hours_traded"), 28),
        open_days_known=pl.col("rank") + 1,
    ).drop("seen", "expected", "rank")  # fmt: skip


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
        week_mean=rolling_mean(pl.col("total"), 7, 4, center=True).over("store_id"),
        month_mean=rolling_mean(pl.col("total"), 28, 14).over("store_id"),
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
