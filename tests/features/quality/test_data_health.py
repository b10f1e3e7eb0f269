from datetime import date, datetime, timedelta

import polars as pl
import pytest

from daypart.features.quality import data_health

ON = date(2025, 3, 10)
STORES = [f"S{k:02d}" for k in range(12)]


def days(**changed: pl.Expr) -> pl.DataFrame:
    """A sound week: every store forecast 100 and sold within 5 of it."""
    dates = [ON - timedelta(days=k) for k in range(1, 8)]
    rows = [
        (store, day, 100.0, 95.0 + (k * 7 + j) % 11) for k, store in enumerate(STORES) for j, day in enumerate(dates)
    ]
    frame = pl.DataFrame(rows, ["store_id", "date", "forecast", "actual"], orient="row")
    return frame.with_columns(silent=pl.lit(0.0), silent_hours=pl.lit(0)).with_columns(**changed)


def only(store: str, last_days: int, value: pl.Expr, column: str) -> pl.Expr:
    there = (pl.col("store_id") == store) & (pl.col("date") >= ON - timedelta(days=last_days))
    return pl.when(there).then(value).otherwise(pl.col(column))


def test_a_sound_week_has_no_fault() -> None:
    assert data_health.demand_faults(days(), ON) == []


def test_a_store_that_sends_nothing_is_missing() -> None:
    (fault,) = data_health.demand_faults(days(actual=only("S03", 2, pl.lit(None), "actual")), ON)
    assert (fault.kind, fault.where, fault.since) == ("missing stores", ("S03",), ON - timedelta(days=2))
    assert fault.told == "no demand of S03 on 2 days since 2025-03-08: ingest it"


def test_a_store_that_was_forecast_closed_is_not_missed() -> None:
    closed = days(actual=only("S03", 2, pl.lit(None), "actual"), forecast=only("S03", 2, pl.lit(0.0), "forecast"))
    assert data_health.demand_faults(closed, ON) == []


def test_a_day_without_any_demand_is_told_of_once() -> None:
    actual_with_gap = pl.when(pl.col("date") == ON - timedelta(days=1)).then(None).otherwise(pl.col("actual"))
    (fault,) = data_health.demand_faults(days(actual=actual_with_gap), ON)
    assert fault.kind == "no demand"
    assert fault.where == tuple(STORES)


def test_hours_that_came_empty_against_all_odds() -> None:
    cut = days(silent=only("S05", 1, pl.lit(40.0), "silent"), silent_hours=only("S05", 1, pl.lit(4), "silent_hours"))
    (fault,) = data_health.demand_faults(cut, ON)
    assert (fault.kind, fault.where) == ("missing hours", ("S05",))
    quiet = days(silent=only("S05", 1, pl.lit(20.0), "silent"), silent_hours=only("S05", 1, pl.lit(4), "silent_hours"))
    assert data_health.demand_faults(quiet, ON) == []


@pytest.mark.parametrize(
    ("factor", "last_days", "is_fault"), [(2.0, 2, True), (0.5, 3, True), (2.0, 1, False), (1.4, 7, False)]
)
def test_demand_out_of_scale(factor: float, last_days: int, is_fault: bool) -> None:
    faults = data_health.demand_faults(days(actual=only("S01", last_days, pl.col("actual") * factor, "actual")), ON)
    assert [(fault.kind, fault.where) for fault in faults] == [("level shift", ("S01",))] * is_fault


def test_up_one_day_and_down_the_next_is_no_shift() -> None:
    swings = only("S01", 2, pl.when(pl.col("date") == ON - timedelta(days=1)).then(300.0).otherwise(30.0), "actual")
    assert data_health.demand_faults(days(actual=swings), ON) == []


def test_a_chain_that_shifts_as_a_whole() -> None:
    doubled = pl.when(pl.col("date") >= ON - timedelta(days=2)).then(pl.col("actual") * 1.5).otherwise(pl.col("actual"))
    (fault,) = data_health.demand_faults(days(actual=doubled), ON)
    assert (fault.kind, fault.where, fault.since) == ("level shift", tuple(STORES), ON - timedelta(days=2))


def test_weather_that_stopped() -> None:
    issued = {"S01": datetime(2025, 3, 9, 5), "S02": datetime(2025, 3, 7, 5), "S03": datetime(2025, 2, 1, 5)}
    latest = pl.DataFrame({"store_id": list(issued), "issued_utc": list(issued.values())})
    (fault,) = data_health.stale_weather(latest, ON)
    assert (fault.kind, fault.where) == ("stale weather", ("S02", "S03"))
    assert data_health.stale_weather(latest.head(1), ON) == []


def test_weather_that_stopped_for_good_excuses_a_model_no_longer() -> None:
    latest = pl.DataFrame(
        {"store_id": ["S02", "S03"], "issued_utc": [datetime(2025, 3, 7, 5), datetime(2025, 2, 1, 5)]}
    )
    lately, for_good = (data_health.stale_weather(latest.slice(k, 1), ON) for k in (0, 1))
    assert data_health.stores_at_fault(lately, ON) == {"S02"}
    assert data_health.stores_at_fault(for_good, ON) == set()


def test_columns_that_came_empty() -> None:
    recent, before = pl.DataFrame({"a": 0.0, "b": 1.0, "c": 0.0}), pl.DataFrame({"a": 0.9, "b": 1.0, "c": 0.1})
    (fault,) = data_health.lost_columns("weather", recent, before, ON)
    assert (fault.kind, fault.where) == ("lost column", ("weather.a",))
    assert data_health.lost_columns("weather", recent.clear(), before, ON) == []
