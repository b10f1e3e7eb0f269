"""The incumbent and the states beside it, against slow and obvious loops."""

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from statistics import mean

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daypart.features import matrix
from daypart.features.chain_data import ChainData
from daypart.features.history import day_statistics as day_totals
from daypart.features.history.demand_history import DemandHistory
from daypart.features.tables.schemas import EVENTS

FIRST = date(2024, 1, 1)
HOURS = (8, 9, 12)
day_values = st.lists(st.one_of(st.just(0), st.integers(3, 50)), min_size=len(HOURS), max_size=len(HOURS))
histories = st.lists(day_values, min_size=1, max_size=80)
EVERY = settings(max_examples=25)


def demand(days: list[list[int]], store: str = "A") -> pl.DataFrame:
    """Store-hours of consecutive days from FIRST; a 0 is a row that is not there."""
    rows = [
        (store, datetime.combine(FIRST + timedelta(days=step), time(hour)), float(value))
        for step, values in enumerate(days)
        for hour, value in zip(HOURS, values, strict=True)
        if value
    ]
    schema = {"store_id": pl.String, "hour_local": pl.Datetime("us"), "orders": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def stores(*names: str) -> pl.DataFrame:
    place = {"timezone": "Europe/Paris", "country": "XX", "subdivision": None, "region": None}
    return pl.DataFrame(
        [{"store_id": name, **place} for name in names], schema_overrides=dict.fromkeys(place, pl.String)
    )


def past(
    rows: pl.DataFrame, busy: Collection[int] = (), names: tuple[str, ...] = ("A",), last: int = 100
) -> DemandHistory:
    """The past of orders up to day `last`, where the days numbered `busy` have an event; no hours are declared."""
    events = [
        {"name": "fair", "kind": "local event", "starts_local": datetime.combine(day, time()),
         "ends_local": datetime.combine(day, time(23))}
        for day in (FIRST + timedelta(days=step) for step in sorted(busy))
    ]  # fmt: skip
    schema = EVENTS.schema
    event_table = pl.DataFrame(events, schema=schema) if events else pl.DataFrame(schema=schema)
    records = ChainData.from_tables({"stores": stores(*names), "demand": rows, "events": event_table})
    return matrix.build_history(records, matrix.View("orders"), FIRST + timedelta(days=last))


def totals(days: list[list[int]], busy: Collection[int] = ()) -> pl.DataFrame:
    return past(demand(days), busy).totals


def state(history: DemandHistory) -> pl.DataFrame:
    """All hourly states, one row per open day and hour ever traded."""
    return history.hour_states(history.weekdays.join(history.hours, on="store_id")).sort("store_id", "date", "hour")


def known_values(days: list[list[int]], step: int, hour: int) -> list[float]:
    """Values of that hour on the open days of that weekday up to and with day `step`, latest first."""
    slot = HOURS.index(hour)
    return [float(days[k][slot]) for k in range(step, -1, -7) if sum(days[k])]


@EVERY
@given(histories)
def test_incumbent_is_the_mean_of_the_last_four_known_same_weekday_values(days: list[list[int]]) -> None:
    ever = {hour for slot, hour in enumerate(HOURS) if any(values[slot] for values in days)}
    states = {(row["date"], row["hour"]): row for row in state(past(demand(days))).iter_rows(named=True)}
    opened = [step for step, values in enumerate(days) if sum(values)]
    assert set(states) == {(FIRST + timedelta(days=step), hour) for step in opened for hour in ever}
    for (day, hour), row in states.items():
        values = known_values(days, (day - FIRST).days, hour)
        assert row["base"] == pytest.approx(mean(values[:4]))
        assert row["last"] == values[0]
        assert row["last_2"] == pytest.approx(mean(values[:2]))
        assert row["last_8"] == pytest.approx(mean(values[:8]))


@EVERY
@given(histories, st.sets(st.integers(0, 79)))
def test_plain_means_leave_holidays_and_events_out(days: list[list[int]], busy: set[int]) -> None:
    plain = [values if step not in busy else [0, 0, 0] for step, values in enumerate(days)]
    for row in state(past(demand(days), busy)).iter_rows(named=True):
        step = (row["date"] - FIRST).days
        values = known_values(plain, step, row["hour"])
        assert row["plain"] == (step not in busy)
        assert row["plain_base"] == (pytest.approx(mean(values[:4])) if values else None)
        assert row["plain_12"] == (pytest.approx(mean(values[:12])) if values else None)


def test_a_busy_day_moves_no_level() -> None:
    days = [[10, 10, 10]] * 40
    days[38] = [180, 180, 180]
    quiet, loud = (totals(days, busy).row(-1, named=True) for busy in ([38], []))
    for level in ("day_level_3", "day_level_7", "day_level_28"):
        assert quiet[level] == pytest.approx(1.0)
        assert loud[level] > 1.5


@EVERY
@given(histories)
def test_day_totals_and_levels(days: list[list[int]]) -> None:
    day_totals = totals(days)
    opened = [step for step, values in enumerate(days) if sum(values)]
    assert day_totals["date"].to_list() == [FIRST + timedelta(days=step) for step in opened]
    assert day_totals["total"].to_list() == [float(sum(days[step])) for step in opened]
    assert day_totals["open_days_known"].to_list() == list(range(1, len(opened) + 1))
    for row, upto in zip(day_totals.iter_rows(named=True), range(1, len(opened) + 1), strict=True):
        last = opened[max(0, upto - 28) : upto]
        traded = sum(1 for step in last for value in days[step] if value)
        assert row["hourly_scale"] == pytest.approx(sum(sum(days[step]) for step in last) / traded)


def test_an_hour_that_repeats_counts_as_the_mean_of_its_two_values() -> None:
    twice = pl.concat([demand([[6, 2, 2]]), demand([[10, 0, 0]])])
    assert state(past(twice)).filter(pl.col("hour") == 8)["last"].to_list() == [8.0]


def test_a_day_on_which_nothing_was_sold_is_closed() -> None:
    rows = demand([[1, 2, 3]] * 8).with_columns(
        orders=pl.when(pl.col("hour_local").dt.date() == FIRST).then(0.0).otherwise("orders")
    )
    assert past(rows).totals["date"].to_list() == [FIRST + timedelta(days=step) for step in range(1, 8)]


def test_an_absent_hour_of_an_open_day_is_zero_and_an_hour_never_traded_is_not_there() -> None:
    states = state(past(demand([[5, 0, 0], [0, 3, 0]])))
    assert states.select("hour", "last").rows() == [(8, 5.0), (9, 0.0), (8, 0.0), (9, 3.0)]


def test_stores_do_not_mix() -> None:
    one, two = demand([[1, 2, 3]] * 30, "A"), demand([[7, 0, 9]] * 10, "B")
    both = past(pl.concat([two, one]), names=("A", "B"))
    for store, alone in (("A", one), ("B", two)):
        separate = state(past(alone, names=(store,)))
        mixed = state(both).filter(pl.col("store_id") == store)
        numbers = ["store", "day", "row", "plain_row", "plain_row_before"]
        assert mixed.drop(numbers).equals(separate.drop(numbers))


def test_mean_totals_are_of_the_open_days_around() -> None:
    days = [[k % 5 + 1, 0, k % 3] if k != 12 else [0, 0, 0] for k in range(60)]
    requests = pl.DataFrame({"store_id": "A", "on": [FIRST + timedelta(days=k) for k in (-1, 0, 2, 10, 40, 150)]})
    history = past(demand(days))
    sums = [float(sum(values)) for values in days]
    weeks = [None, mean(sums[:4]), mean(sums[:6]), mean(sums[7:12] + sums[13:14]), mean(sums[37:44]), None]
    assert history.mean_total(requests, "on", 3, 3, 4).to_list() == [pytest.approx(week) for week in weeks]
    months = [None, None, None, None, mean(sums[13:41]), None]
    assert history.mean_total(requests, "on", 27, 0, 14).to_list() == [pytest.approx(month) for month in months]


@EVERY
@given(histories, st.sets(st.integers(0, 79)))
def test_hour_levels_are_what_came_on_plain_days_over_what_was_usual(days: list[list[int]], busy: set[int]) -> None:
    history = past(demand(days), busy)
    if history.totals.is_empty():
        return
    hour_levels = history.hour_levels(history.totals.join(history.hours, on="store_id"))
    plain = [values if step not in busy else [0, 0, 0] for step, values in enumerate(days)]
    opened = [step for step, values in enumerate(days) if sum(values)]
    for row in hour_levels.iter_rows(named=True):
        lately = [step for step in opened if step <= (row["date"] - FIRST).days][-28:]
        slot, hour = HOURS.index(row["hour"]), row["hour"]
        assert row["hour_mean_28"] == pytest.approx(mean(days[step][slot] for step in lately))
        usual = {step: known_values(plain, step - 7, hour)[:4] for step in lately if step >= 7 and step not in busy}
        pairs = [(days[step][slot], mean(values)) for step, values in usual.items() if values]
        expected = sum(pair[1] for pair in pairs)
        level = sum(pair[0] for pair in pairs) / expected if expected else None
        assert row["hour_level_28"] == (None if level is None else pytest.approx(level, abs=1e-5))


def holidays(*holiday_dates: tuple[str, date]) -> pl.DataFrame:
    rows = [("A", on, name) for name, on in holiday_dates]
    return pl.DataFrame(rows, schema={"store_id": pl.String, "date": pl.Date, "holiday": pl.String}, orient="row")


def test_holiday_ratio_is_total_over_incumbent_and_closed_where_a_usual_weekday_sold_nothing() -> None:
    days = [[10, 10, 10]] * 35
    days[28] = [5, 5, 5]
    days[30] = [0, 0, 0]
    half, shut = FIRST + timedelta(days=28), FIRST + timedelta(days=30)
    ratios = day_totals.holiday_ratios(totals(days), holidays(("Half Day", half), ("Shut Day", shut)))
    assert ratios.select("holiday", "holiday_ratio", "holiday_closed").rows() == [
        ("Half Day", pytest.approx(0.5), False),
        ("Shut Day", None, True),
    ]
