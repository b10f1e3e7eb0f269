"""What a holiday does: of the store, the region, the chain and any holiday, each where the nearer says little.

The figures themselves are those of plain loops in infra/bench/scale/pandas_effects.py, which test_pandas_comparison holds ours against.
"""

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from math import exp, log

import polars as pl
import pytest

from daypart.features import matrix
from daypart.features.chain_data import ChainData, days
from daypart.features.history import holiday_effects

NEW_YEAR, JULY_4, LABOR_DAY = date(2024, 1, 1), date(2024, 7, 4), date(2024, 9, 2)
STORES = {"A": "north", "B": "north", "C": "south", "D": "south"}
FACTORS = {(NEW_YEAR, store): 0.5 for store in STORES} | {(JULY_4, "A"): 0.6, (JULY_4, "B"): 0.6, (JULY_4, "C"): 1.5}
"""D is closed on the fourth of July."""


def chain() -> ChainData:
    """Four stores that sell 10 an hour from 8 to 11, but on two holidays."""
    rows = []
    for store in STORES:
        for day in days(date(2023, 11, 1), date(2024, 12, 31)):
            factor = 0.0 if (day, store) == (JULY_4, "D") else FACTORS.get((day, store), 1.0)
            rows += [(store, datetime.combine(day, time(hour)), 10 * factor) for hour in range(8, 12) if factor]
    demand = pl.DataFrame(rows, schema=["store_id", "hour_local", "orders"], orient="row")
    empty = ChainData.from_tables({})
    store_columns = pl.DataFrame(
        {"store_id": list(STORES), "region": list(STORES.values()), "timezone": "UTC", "country": "US"}
    )
    table = store_columns.select(
        pl.col(name).cast(kind) if name in store_columns.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in empty.stores.schema.items()
    )
    demand = demand.with_columns(hour_utc="hour_local", sales=pl.col("orders"))
    return replace(empty, stores=table, demand=demand.select(empty.demand.columns))


def sums() -> pl.DataFrame:
    records = chain()
    return holiday_effects.holiday_sums(records.scan_demand(), records.stores, "orders", NEW_YEAR, date(2024, 12, 31))


def test_sums_are_of_the_stores_that_traded() -> None:
    on = sums().filter(pl.col("date") == JULY_4)
    assert on.select("region", "logs", "count").rows() == [
        ("north", pytest.approx(2 * log(0.6), abs=1e-5), 2), ("south", pytest.approx(log(1.5), abs=1e-5), 1),
    ]  # fmt: skip


def effect(region: str, holiday: str | None, own_ratio: float | None, origin: date) -> float | None:
    rows = pl.DataFrame(
        [(origin, region, holiday, own_ratio)],
        schema={"origin_date": pl.Date, "region": pl.String, "holiday": pl.String, "holiday_ratio": pl.Float64},
        orient="row",
    )
    return holiday_effects.holiday_effects(rows, sums().filter(pl.col("date") <= JULY_4)).item()


def test_each_mean_is_shrunk_to_the_next_wider_one() -> None:
    year, name = 4 * log(0.5) + 2 * log(0.6) + log(1.5), "Independence Day"
    past_sums = sums().filter(pl.col("date") <= JULY_4)
    other_holidays = past_sums.filter(~pl.col("date").is_in([NEW_YEAR, JULY_4]))
    count = 7 + int(other_holidays["count"].sum())
    anything = (year + float(other_holidays["logs"].sum())) / (count + 10)
    of_chain = (2 * log(0.6) + log(1.5) + 6 * anything) / (3 + 6)
    of_region = {"north": (2 * log(0.6) + 4 * of_chain) / (2 + 4), "south": (log(1.5) + 4 * of_chain) / (1 + 4)}
    origin = date(2025, 1, 15)
    for region, own_ratio in (("north", None), ("north", 0.6), ("south", None), ("south", 0.9)):
        wider = of_region[region]
        expected = wider if own_ratio is None else (log(own_ratio) + 2 * wider) / 3
        assert effect(region, name, own_ratio, origin) == pytest.approx(exp(expected), rel=1e-5)
    assert effect("east", name, None, origin) == pytest.approx(exp(of_chain), rel=1e-5)
    assert effect("north", "A Holiday Never Seen", None, origin) == pytest.approx(exp(anything), rel=1e-5)


def test_no_holiday_has_no_effect_and_nothing_is_known_of_one_before_its_day() -> None:
    assert effect("north", None, 0.5, date(2025, 1, 1)) is None
    first = effect("north", "Independence Day", None, JULY_4)
    assert first != effect("north", "Independence Day", None, JULY_4 + timedelta(days=1))
    assert effect("north", "Independence Day", None, JULY_4 + timedelta(days=900)) == 1.0


def test_a_holiday_moves_the_smooth_base_of_a_store_that_was_closed_on_its_last_one() -> None:
    """Labor Day is new to the record; the fourth of July and New Year's Day lowered what most stores sold."""
    matrix_rows = matrix.build(chain(), matrix.View("orders"), [date(2024, 8, 30)])
    usual = matrix_rows.filter(pl.col("store_id") == "D", pl.col("history_holiday_effect").is_null())["smooth"]
    moved = matrix_rows.filter(pl.col("store_id") == "D", pl.col("date") == LABOR_DAY)
    assert usual.to_list() == pytest.approx([10.0] * len(usual))
    assert moved["smooth"].to_list() == pytest.approx((10 * moved["history_holiday_effect"]).to_list())
    assert moved["history_holiday_effect"].is_between(0.6, 0.99).all()
