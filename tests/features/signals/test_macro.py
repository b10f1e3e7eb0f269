"""Macro series as an origin knew them, against slow and obvious loops."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.signals.macro import LOOK_BACK_DAYS, macro_features
from daypart.features.tables.schemas import TABLES

FIRST = date(2024, 1, 1)
SERIES = ("CPI", "UNRATE")
Release = tuple[str, date, date, float]

releases = st.lists(
    st.tuples(st.sampled_from(SERIES), st.integers(0, 6), st.integers(0, 300), st.sampled_from([-2.0, 0.0, 1.0, 4.0, 5.0])),
    max_size=25,
    unique_by=lambda row: row[:3],
)  # fmt: skip
steps = st.lists(st.integers(0, 330), min_size=1, max_size=4)


def table(rows: list[Release]) -> pl.DataFrame:
    schema = {name: TABLES["macro"].schema[name] for name in ("series", "observation_date", "released_on", "value")}
    return pl.DataFrame(rows, schema=schema, orient="row")


def change(rows: list[Release], series: str, origin: date) -> float | None:
    """The newest observation over the newest that is at least a quarter older, each as it was last released."""
    latest: dict[date, tuple[date, float]] = {}
    for name, observed, released, value in rows:
        if name == series and released < origin and (observed not in latest or latest[observed][0] < released):
            latest[observed] = (released, value)
    if not latest:
        return None
    newest = max(latest)
    earlier = [observed for observed in latest if observed <= newest - timedelta(days=LOOK_BACK_DAYS)]
    if not earlier or latest[max(earlier)][1] == 0:
        return None
    return latest[newest][1] / latest[max(earlier)][1] - 1


@given(releases, steps)
def test_changes_are_those_of_loops(release_rows: list[tuple[str, int, int, float]], origins: list[int]) -> None:
    rows = [
        (series, FIRST + timedelta(days=month * 30), FIRST + timedelta(days=month * 30 + late), value)
        for series, month, late, value in release_rows
    ]
    days = [FIRST + timedelta(days=step) for step in origins]
    features = macro_features(table(rows), days)
    names = sorted({series for series, *_ in rows})
    assert features.columns == ["origin_date", *(f"macro_{name}_change" for name in names)]
    assert features["origin_date"].to_list() == sorted(set(days))
    for row in features.iter_rows(named=True):
        for name in names:
            expected = change(rows, name, row["origin_date"])
            assert row[f"macro_{name}_change"] == (None if expected is None else pytest.approx(expected))


def test_a_revision_counts_from_the_day_after_its_release() -> None:
    january, may = date(2024, 1, 1), date(2024, 5, 1)
    rows = [
        ("CPI", january, date(2024, 2, 1), 100.0),
        ("CPI", may, date(2024, 6, 1), 110.0),
        ("CPI", may, date(2024, 7, 1), 120.0),
        ("CPI", january, date(2024, 8, 1), 96.0),
    ]
    origins = [date(2024, 6, 1), date(2024, 6, 2), date(2024, 7, 1), date(2024, 7, 2), date(2024, 8, 2)]
    changes = macro_features(table(rows), origins)["macro_CPI_change"].to_list()
    assert changes == [None, *(pytest.approx(value) for value in (0.1, 0.1, 0.2, 0.25))]
    assert macro_features(table(rows[::-1]), origins)["macro_CPI_change"].to_list() == changes


def test_a_quarter_ago_is_91_days_ago() -> None:
    for days, expected in ((90, None), (91, pytest.approx(1.0))):
        rows = [("CPI", FIRST, FIRST, 2.0), ("CPI", FIRST + timedelta(days=days), FIRST + timedelta(days=days), 4.0)]
        assert macro_features(table(rows), [date(2025, 1, 1)])["macro_CPI_change"].to_list() == [expected]
