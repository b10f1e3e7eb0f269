"""What a history of more than a year says, against slow and obvious loops: last year's days and the busiest hour."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from random import Random
from statistics import mean

import polars as pl
import pytest

from daypart.features import matrix
from daypart.features.chain_data import ChainData
from daypart.features.history import demand_history
from daypart.features.tables.schemas import TABLES
from tests.features.history.test_demand_history import FIRST, HOURS, demand, past

LAST = date(2025, 3, 2)
DAYS = (LAST - FIRST).days
"""From a leap year into the next, so that the same date of last year is 365 or 366 days ago."""
FAIRS = {FIRST + timedelta(days=step) for step in range(9, DAYS, 23)}


def sold(seed: int, closed: float, since: int = 0) -> list[list[int]]:
    """What each hour of each day sold: nothing before day `since`, and on a share of days drawn as closed."""
    chance = Random(seed)
    days = [[chance.randint(3, 50) for _ in HOURS] for _ in range(DAYS)]
    return [
        [0] * len(HOURS) if step < since or chance.random() < closed else values for step, values in enumerate(days)
    ]


STORES = {"A": sold(1, 0.02), "B": sold(2, 0.45), "C": sold(3, 0.1, since=20), "D": sold(4, 0.1, since=40)}


@pytest.fixture(scope="module")
def records() -> ChainData:
    fairs = [
        {"name": "fair", "kind": "local event", "starts_local": datetime.combine(day, time()),
         "ends_local": datetime.combine(day, time(23))}
        for day in sorted(FAIRS)
    ]  # fmt: skip
    stores = [{"store_id": store, "timezone": "Europe/Paris", "country": "XX"} for store in STORES]
    rows = pl.concat(demand(days, store) for store, days in STORES.items())
    return ChainData.from_tables({"stores": table("stores", stores), "demand": rows, "events": table("events", fairs)})


def table(name: str, rows: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TABLES[name].schema)


def build(records: ChainData, origins: list[date]) -> pl.DataFrame:
    """The matrix of the stores' own histories, without what young stores borrow."""
    view = matrix.View("orders")
    return matrix.build(records, view, origins, matrix.build_history(records, view, LAST + timedelta(days=14)))


def total(store: str, day: date) -> int:
    step = (day - FIRST).days
    return sum(STORES[store][step]) if 0 <= step < DAYS else 0


def mean_total(store: str, first: date, last: date, least: int) -> float | None:
    days = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    totals = [total(store, day) for day in days if total(store, day)]
    return mean(totals) if len(totals) >= least else None


def departure(store: str, day: date) -> float | None:
    """The day's total over the mean of the last four plain same weekdays, or of any where none was plain."""
    before = [day - timedelta(weeks=k) for k in range(1, 60) if total(store, day - timedelta(weeks=k))]
    usual = [total(store, other) for other in before if other not in FAIRS] or [total(store, other) for other in before]
    return total(store, day) / mean(usual[:4]) if total(store, day) and usual else None


def year_before(day: date) -> date:
    return date(day.year - 1, day.month, 28 if (day.month, day.day) == (2, 29) else day.day)


@pytest.mark.parametrize("origin", [date(2025, 1, 27), date(2025, 2, 16), LAST])
def test_last_years_features_are_those_of_loops(records: ChainData, origin: date) -> None:
    rows = build(records, [origin])
    counts = dict.fromkeys(("history_last_year", "history_last_year_day", "history_last_year_date"), 0)
    for row in rows.unique(["store_id", "date"]).iter_rows(named=True):
        store, day, weeks = row["store_id"], row["date"], row["lead_days"] // 7 + 1
        same, before = day - timedelta(days=364), day - timedelta(days=364 + 7 * weeks)
        week = mean_total(store, same - timedelta(days=3), same + timedelta(days=3), 4)
        month = mean_total(store, before - timedelta(days=24), before + timedelta(days=3), 14)
        expected = {
            "history_last_year": week / month if week and month else None,
            "history_last_year_day": departure(store, same),
            "history_last_year_date": departure(store, year_before(day)),
        }
        for name, value in expected.items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-6)), (name, store, day)
            counts[name] += value is not None
    assert min(counts.values()) > 10
    assert rows["history_last_year"].null_count() > 0


@pytest.mark.parametrize("origin", [date(2025, 1, 27), LAST])
def test_one_origin_says_the_same_of_last_year_beside_others(records: ChainData, origin: date) -> None:
    alone = build(records.until(origin - timedelta(days=1)), [origin])
    beside = build(records, [origin, LAST - timedelta(days=14), LAST])
    names = [name for name in alone.columns if "last_year" in name]
    key = ["store_id", "hour_utc"]
    assert beside.filter(origin_date=origin).sort(key).select(key + names).equals(alone.sort(key).select(key + names))


def busiest(days: Sequence[Sequence[int]], origin: int) -> int | None:
    """The largest hour of the year before day number `origin`, or of all days before it where there is none."""
    near = [
        max(values) for step, values in enumerate(days) if origin - demand_history.YEARLY_MEMORY_DAYS <= step < origin
    ]
    ever = [max(values) for step, values in enumerate(days) if step < origin]
    return max(near, default=0) or max(ever, default=0) or None


def test_the_busiest_hour_is_of_the_days_before_the_origin_alone() -> None:
    days = sold(5, 0.1)
    days[4], days[60], days[100], days[-1] = [90, 9, 9], [70, 9, 9], [9, 80, 9], [9, 9, 99]
    history = past(demand(days), last=DAYS)
    for origin in (1, 5, 60, 61, 100, 101, 403, 404, 405, 406, DAYS - 1, DAYS, DAYS + 20):
        rows = history.busiest(FIRST + timedelta(days=origin))
        expected = busiest(days, origin)
        assert rows.rows() == ([] if expected is None else [("A", float(expected))]), origin


def test_a_store_that_was_closed_for_a_year_is_as_busy_as_it_ever_was() -> None:
    days = [[5, 20, 6], [7, 8, 9], *[[0, 0, 0]] * 405, [3, 4, 5]]
    history = past(demand(days), last=DAYS)
    assert history.busiest(FIRST + timedelta(days=406)).rows() == [("A", 20.0)]
    assert history.busiest(FIRST + timedelta(days=401)).rows() == [("A", 9.0)]
    assert history.busiest(FIRST + timedelta(days=408)).rows() == [("A", 5.0)]
    assert history.busiest(FIRST).is_empty()
