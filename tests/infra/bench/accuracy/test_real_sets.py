from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from daypart.features.chain_data import ChainData
from infra.bench.accuracy.real_sets import SETS, RealSet


@pytest.mark.parametrize("data", SETS, ids=[data.name for data in SETS])
def test_a_set_covers_the_span_that_is_scored(data: RealSet, real_data: Path) -> None:
    records = data.load(real_data)
    for target in data.targets:
        first, last = records.first_demand_on(target), records.last_demand_on(target)
        assert first is not None
        assert last is not None
        assert (data.start - first).days >= 90
        assert abs((last - data.end).days) <= 1


def test_auckland_s_clock_runs_from_six(real_data: Path) -> None:
    auckland = next(data for data in SETS if data.name == "auckland").load(real_data)
    assert auckland.stores.height == 20
    shape = auckland.demand.group_by(pl.col("hour_local").dt.hour().alias("hour")).agg(pl.col("orders").sum())
    busiest, quietest = shape.sort("orders")["hour"][-1], shape.sort("orders")["hour"][0]
    assert busiest in range(12, 19)
    assert quietest in range(2, 6)


def _load_set(name: str, folder: Path) -> ChainData:
    return next(data for data in SETS if data.name == name).load(folder)


def test_the_town_s_weather_does_not_tell_when_cafes_traded(real_data: Path) -> None:
    aarhus = _load_set("aarhus", real_data)
    for (_,), hours in aarhus.weather.group_by("store_id"):
        assert (hours["valid_utc"].sort().diff().drop_nulls() == timedelta(hours=1)).all()
        assert hours["temperature_c"].null_count() == 0
    open_hours = aarhus.demand.join(
        aarhus.weather, left_on=["store_id", "hour_utc"], right_on=["store_id", "valid_utc"]
    )
    assert open_hours.height == aarhus.demand.height


def test_citibike_s_issues_are_forecasts_in_our_units(real_data: Path) -> None:
    citibike = _load_set("citibike", real_data)
    issued = citibike.weather.drop_nulls("issued_utc")
    assert issued.select((pl.col("valid_utc") >= pl.col("issued_utc")).all()).item()
    # The issue of 05:00 on the clock, 09:00 UTC, for noon of the next day.
    at = (datetime(2024, 7, 4, 9), datetime(2024, 7, 5, 12))
    row = issued.filter(pl.col("issued_utc") == at[0], pl.col("valid_local") == at[1])
    theirs = pl.read_parquet(real_data / "nyc_citibike" / "issued_forecasts_14d.parquet").filter(
        pl.col("issue_file") == "2024-07-04_0500", pl.col("time") == "2024-07-05T12:00"
    )
    assert row["temperature_c"].item() == pytest.approx((theirs["temperature_2m"].item() - 32) * 5 / 9)
    assert row["wind_speed_kmh"].item() == pytest.approx(theirs["windspeed_10m"].item() * 1.609344)
    days = issued.filter(pl.col("valid_utc") < pl.col("issued_utc") + timedelta(days=1))
    both = days.join(citibike.weather.filter(pl.col("issued_utc").is_null()), on="valid_utc", suffix="_came")
    error = pl.col("temperature_c") - pl.col("temperature_c_came")
    assert abs(both.select(error.mean()).item()) < 2
    assert both.select(pl.corr("temperature_c", "temperature_c_came")).item() > 0.95


def test_citibike_has_each_hour_once(real_data: Path) -> None:
    citibike = _load_set("citibike", real_data)
    assert citibike.demand["hour_utc"].is_unique().all()
    new_year = citibike.demand.filter(pl.col("hour_local").dt.date() == date(2024, 1, 1))
    assert new_year.sort("hour_local")["orders"][0] == 1901
    assert citibike.demand.filter(pl.col("hour_local") == datetime(2024, 11, 3, 1))["orders"].to_list() == [3534]
