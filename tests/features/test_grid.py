from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.grid import Grid
from daypart.features.signals import weather

FIRST = date(2024, 3, 1)
LAST = FIRST + timedelta(days=2)
GRID = Grid(pl.Series(["A", "B"]), FIRST, 3)
moments = st.datetimes(datetime(2024, 2, 29), datetime(2024, 3, 5)).map(
    lambda at: at.replace(minute=0, second=0, microsecond=0)
)
cells = st.lists(
    st.tuples(st.sampled_from(["A", "B", "C"]), moments, st.none() | st.integers(0, 9).map(float)), max_size=40
)


@given(cells)
def test_a_place_holds_the_mean_of_all_that_was_told_of_its_hour(
    rows: list[tuple[str, datetime, float | None]],
) -> None:
    schema = {"store_id": pl.String, "at": pl.Datetime("us"), "value": pl.Float64}
    column = GRID.columns(pl.DataFrame(rows, schema, orient="row"), "at", ["value"])["value"]
    assert len(column) == 2 * 3 * 24
    for place, cell in enumerate(column):
        store, at = "AB"[place // 72], datetime(2024, 3, 1) + timedelta(hours=place % 72)
        values = [value for name, when, value in rows if (name, when) == (store, at) and value is not None]
        assert cell == pytest.approx(np.mean(values)) if values else np.isnan(cell)


def test_spans_are_counted_in_every_hour_that_they_cover() -> None:
    spans = [("A", FIRST, 8, 10), ("A", FIRST, 10, 23), ("B", LAST, 0, 0), ("B", LAST + timedelta(days=1), 0, 23)]
    names = ["store_id", "date", "first_hour", "last_hour"]
    counts = GRID.hour_counts(pl.DataFrame(spans, names, orient="row"))
    expected = np.zeros(144)
    expected[8:24] = 1
    expected[10] = 2
    expected[72 + 48] = 1
    assert counts.tolist() == expected.tolist()
    assert (
        GRID.hour_counts(
            pl.DataFrame(spans[:0], dict(zip(names, [pl.String, pl.Date, pl.Int8, pl.Int8], strict=True)))
        ).sum()
        == 0
    )


def test_without_demand_there_is_no_place() -> None:
    none = pl.DataFrame(schema={"store_id": pl.String, "hour_local": pl.Datetime("us")})
    assert Grid.from_demand(pl.DataFrame({"store_id": ["A"]}), none, LAST).places == 0


def test_an_hour_after_midnight_lies_on_the_business_day_before_it() -> None:
    stores = pl.DataFrame({"store_id": ["A", "B"], "day_starts": pl.Series([2, None], dtype=pl.Int8)})
    hours = [datetime(2024, 3, 1, 20), datetime(2024, 3, 2, 1), datetime(2024, 3, 2, 2)]
    rows = pl.DataFrame({"store_id": ["A"] * 3 + ["B"] * 3, "hour_local": hours * 2, "value": [1.0, 2.0, 3.0] * 2})
    grid = Grid.from_demand(stores, rows, FIRST + timedelta(days=1))
    column = grid.columns(rows, "hour_local", ["value"])["value"].reshape(2, 2, 24)
    assert (column[0, 0, 20], column[0, 0, 1], column[0, 1, 2]) == (1.0, 2.0, 3.0)
    assert (column[1, 0, 20], column[1, 1, 1], column[1, 1, 2]) == (1.0, 2.0, 3.0)
    assert np.isfinite(column).sum() == 6
    spans = pl.DataFrame({"store_id": ["A"], "date": [FIRST], "first_hour": [22], "last_hour": [23]})
    assert np.flatnonzero(grid.hour_counts(spans)).tolist() == [0, 1]


@pytest.mark.parametrize("late_days", [1, 9])
def test_an_origin_sees_each_store_s_latest_issue_before_it_however_old(late_days: int) -> None:
    """B's issues stop earlier than A's; what is issued at the origin or later is not seen."""
    origin = datetime(2024, 3, 20)
    issues = [("A", origin - timedelta(days=k)) for k in range(-2, 12)]
    issues += [("B", origin - timedelta(days=k)) for k in range(late_days, 12)]
    rows = pl.DataFrame(
        [(store, issued, origin + timedelta(hours=k), float(k)) for store, issued in issues for k in range(3)]
        + [(store, None, origin - timedelta(hours=5), 1.0) for store in "AB"],
        {"store_id": pl.String, "issued_utc": pl.Datetime("us"), "valid_utc": pl.Datetime("us"), "temperature_c": pl.Float64},
        orient="row",
    )  # fmt: skip
    stores = pl.DataFrame({"store_id": ["A", "B"], "timezone": ["UTC", "UTC"]})
    weather_rows = weather.known_at(rows, stores, origin.date())
    issues_used = weather_rows.select("store_id", "issued_utc").drop_nulls().unique().sort("store_id").rows()
    assert issues_used == [("A", origin - timedelta(days=1)), ("B", origin - timedelta(days=late_days))]
    assert weather_rows.height == 8
