"""Recount: the hours that a change of lines touches, from a few dates, are those of a count of all lines."""

from datetime import date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features.pos.duplicates import with_occurrence, without_repeats
from daypart.features.pos.recount import recount
from daypart.features.pos.store_hours import HOUR, hourly, tickets

START = datetime(2024, 5, 5)
SCHEMA = {
    "source": pl.String, "ticket": pl.String, "at_local": pl.Datetime("us"), "item": pl.String, "millionths": pl.Int64,
}  # fmt: skip
LINE = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from("12"),
    st.integers(0, 8 * 24 - 1).map(lambda hour: START + timedelta(hours=hour, minutes=59)),
    st.sampled_from([None, "roll"]),
    st.sampled_from([None, -3, 0, 2, 5]),
)
LINES = st.lists(LINE, max_size=40)
DAY = timedelta(days=1)


def lines(rows: list[tuple]) -> pl.DataFrame:
    """Lines of one store in New York, where it is four hours earlier; numbered by source as an ingest does."""
    frame = pl.DataFrame(rows, SCHEMA, orient="row").with_columns(
        store_id=pl.lit("S"),
        at_utc=pl.col("at_local") + pl.duration(hours=4),
        hour_local=pl.col("at_local").dt.truncate("1h"),
        date=pl.col("at_local").dt.date(),
    )
    frame = frame.with_columns(hour_utc=pl.col("hour_local") + pl.duration(hours=4))
    parts = [with_occurrence(frame.filter(pl.col("source") == name)) for name in "abc"]
    return pl.concat(parts)


def demand(stored: pl.DataFrame) -> pl.DataFrame:
    once = without_repeats(stored)
    return hourly(once, tickets(once)).select(*HOUR, "orders", "sales")


@given(LINES, LINES, st.sampled_from("abc"))
def test_a_change_of_one_source_gives_what_all_lines_give(first: list[tuple], second: list[tuple], source: str) -> None:
    before = lines(first)
    after = pl.concat([before.filter(pl.col("source") != source), lines(second).filter(pl.col("source") == source)])
    dates = {*before.filter(pl.col("source") == source)["date"], *after.filter(pl.col("source") == source)["date"]}
    window = frozenset(day + n * DAY for day in dates for n in (-1, 0, 1))
    while True:
        is_changed = (pl.col("source") == source) & pl.col("date").is_in(sorted(dates))
        parts = [
            part.filter(pl.col("date").is_in(sorted(window))).with_columns(changed=is_changed)
            for part in (before, after)
        ]
        result = recount(*parts, window)
        if not result.reach:
            break
        assert not result.reach & window
        window |= result.reach
    unchanged = demand(before).join(pl.concat([result.demand.select(HOUR), result.emptied]), on=HOUR, how="anti")
    updated = pl.concat([unchanged, result.demand.select(*HOUR, "orders", "sales")]).sort(HOUR)
    assert_frame_equal(updated, demand(after).sort(HOUR))


def test_an_ordinary_day_needs_only_the_dates_beside_it() -> None:
    before = lines([("a", "1", START + timedelta(hours=20), None, 5), ("a", "2", START + timedelta(hours=44), None, 5)])
    after = pl.concat([before, lines([("b", "3", START + timedelta(hours=32), None, 2)])])
    window = frozenset(date(2024, 5, day) for day in (5, 6, 7))
    parts = [frame.with_columns(changed=pl.col("source") == "b") for frame in (before, after)]
    result = recount(*parts, window)
    assert (result.demand.height, result.demand["orders"].to_list(), result.reach) == (1, [1.0], frozenset())


def test_equal_lines_count_as_often_as_in_the_source_with_most_of_them() -> None:
    roll = ("1", START, "roll", 2)
    stored = lines([("a", *roll), ("a", *roll), ("b", *roll), ("c", *roll), ("c", *roll), ("c", *roll)])
    assert without_repeats(stored).height == 3
    result = recount(
        stored.with_columns(changed=False),
        stored.with_columns(changed=pl.col("source") == "b"),
        frozenset([START.date()]),
    )
    assert sorted(set(result.shared["source"])) == ["a", "b", "c"]
    assert result.shared.drop("source").n_unique() == 1
