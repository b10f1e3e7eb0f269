"""Statistics of a store's past days at an origin: totals, recent levels, last year, earlier holidays.

Every value here is a state: it belongs to the last known open day and is joined to an origin by time, so that
nothing that happens at or after the origin can reach it.
"""

import polars as pl

from daypart.features.deterministic_sum import last_mean, last_sum, ordered_mean, rank

WEEKDAY_KEY = ["store", "weekday"]


def weekday_states(days: pl.DataFrame) -> pl.DataFrame:
    """Return one row per open store-day, sorted by store, weekday and date, with its position among equal weekdays.

    `days` is sorted by store and date and has store (a number), day (both in one), date, total, plain (whether it has
    neither holiday nor event) and holiday; other columns stay.

    `row` numbers the rows, `rank` those of a weekday of a store; `plain_row`, `plain_rank` are those of the latest
    plain day up to this one among plain days alone, null before the first, and `plain_row_before`,
    `plain_rank_before` as they are before this day. `usual`: mean total of the last four plain same weekdays before
    it, or of the last four of any kind where none was plain. `weekday_last`: total over usual; `holidays_in_base`:
    holidays among the last four, this one included.
    """
    marked = (
        days.with_columns(weekday=pl.col("date").dt.weekday())
        .sort(pl.col("store") * 8 + pl.col("weekday"), maintain_order=True)
        .with_columns(rank=rank(*WEEKDAY_KEY), row=pl.int_range(pl.len(), dtype=pl.Int64))
    )
    usual = pl.coalesce("plain_mean_before", ordered_mean(_same_weekday("total", k) for k in range(1, 5)))
    return (
        _with_plain(marked)
        .with_columns(
            usual=usual, holidays_in_base=sum(_same_weekday("holiday", k).fill_null(value=False) for k in range(4))
        )
        .with_columns(weekday_last=pl.when(pl.col("usual") > 0).then(pl.col("total") / pl.col("usual")))
        .drop("holiday", "plain_mean", "plain_mean_before")
    )


def _with_plain(marked: pl.DataFrame) -> pl.DataFrame:
    """Add the position of the latest plain day, and the mean total of the last four: up to a day and before it."""
    plain = marked.filter("plain").with_columns(rank=rank(*WEEKDAY_KEY))
    means = plain.select(plain_rank="rank", plain_mean=ordered_mean(_same_weekday("total", k) for k in range(4)))
    number = pl.col("plain").cast(pl.Int64).cum_sum()
    earlier_stores = (number - pl.col("plain")).gather(pl.int_range(pl.len(), dtype=pl.Int64) - pl.col("rank"))
    row = marked.select(plain_row=pl.when(number > earlier_stores).then(number - 1)).to_series()
    with_means = marked.with_columns(row).hstack(means.select(pl.all().gather(row)))
    has_earlier = pl.col("rank") > 0
    before = [pl.when(has_earlier).then(pl.col(name).shift(1)).alias(f"{name}_before")
              for name in ("plain_row", "plain_rank", "plain_mean")]  # fmt: skip
    return with_means.with_columns(before)


def _same_weekday(value: str, days: int) -> pl.Expr:
    """Return the value `days` known same weekdays earlier, in rows sorted by WEEKDAY_KEY and date."""
    return pl.when(pl.col("rank") >= days).then(pl.col(value).shift(days))


def day_totals(weekdays: pl.DataFrame) -> pl.DataFrame:
    """Return one row per open store-day of `weekday_states`, sorted by its `day`, with recent levels.

    `row` numbers the rows. Levels are sums over plain days: a recent holiday or promotion does not predict other days.
    """
    counts = pl.col("plain") & (pl.col("usual") > 0)
    return (
        weekdays.drop("weekday", "row", "plain_row", "plain_rank", "weekday_last", "holidays_in_base")
        .sort("day")
        .with_columns(
            rank=rank("store"),
            row=pl.int_range(pl.len(), dtype=pl.Int64),
            actual=pl.when(counts).then("total").otherwise(0.0),
            expected=pl.when(counts).then("usual").otherwise(0.0),
        )
        .with_columns(
            **{f"day_level_{span}": _level(span) for span in (3, 7, 14, 28)},
            day_trend=last_mean(pl.col("total"), 28) / last_mean(pl.col("total"), 84),
            hourly_scale=last_sum(pl.col("total"), 28) / last_sum(pl.col("hours_traded"), 28),
            open_days_known=pl.col("rank") + 1,
        )
        .drop("actual", "expected", "rank")
    )


def _level(days: int) -> pl.Expr:
    """Return actual over usual demand, summed over the last open days; null without expectation."""
    actual, expected = last_sum(pl.col("actual"), days), last_sum(pl.col("expected"), days)
    return pl.when(expected > 0).then(actual / expected)


def holiday_ratios(totals: pl.DataFrame, holidays: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store and past holiday within the store's history; `date` is the day on which it was known.

    A holiday with trade was known on its day, a closed one on the next open day: until then it may be late data.
    `holiday_ratio`: total over incumbent, null without one; `holiday_closed`: nothing was sold on a weekday that
    had traded within the four weeks before.
    """
    span = totals.group_by("store_id").agg(first=pl.col("date").min(), last=pl.col("date").max())
    weekdays = totals.select("store_id", "date", weekday=pl.col("date").dt.weekday(), usual_on="date")
    past = holidays.join(span, on="store_id").filter(pl.col("date").is_between("first", "last"))
    return (
        _with_last_weekday(past, weekdays)
        .join(totals, on=["store_id", "date"], how="left")
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


def _with_last_weekday(past: pl.DataFrame, weekdays: pl.DataFrame) -> pl.DataFrame:
    """Join to each holiday the last open day of its weekday within the four weeks before; sorted by date."""
    return (
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
