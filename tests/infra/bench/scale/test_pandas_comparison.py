"""The work that the benchmark compares is the same work: values, not times."""

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from daypart.features.chain_data import Records, days
from daypart.features.simulator import ChainSpec, simulate
from infra.bench.harness.hourly_series import regular
from infra.bench.harness.isolated_job import Took, Work, measured
from infra.bench.scale import lag_matrix, mlforecast_peer, pandas_matrix
from infra.bench.scale.comparison_row import Limit, beside
from infra.bench.scale.nightly_job import slope
from infra.bench.scale.pandas_comparison import VIEW, assert_same, ours

SPEC = ChainSpec(stores=6, start=date(2023, 11, 6), days=486, seed=5, issues_days=1)
"""Clocks go forward within the last horizon, and a year of holidays is remembered."""


@pytest.fixture(scope="module")
def records() -> Records:
    tables = simulate(SPEC).tables
    return Records.of({name: tables[name] for name in ("stores", "demand")})


@pytest.mark.parametrize("origins", [[SPEC.end], days(SPEC.end - timedelta(days=70), SPEC.end, 14)], ids=len)
def test_the_matrix_is_the_one_of_pandas(records: Records, origins: list[date]) -> None:
    past_records = records.until(max(origins) - timedelta(days=1))
    theirs = pandas_matrix.build(*pandas_matrix.frames(past_records), VIEW.target, origins)
    assert_same(ours(past_records, origins), theirs)


def test_a_difference_in_one_value_is_seen(records: Records) -> None:
    theirs = pandas_matrix.build(*pandas_matrix.frames(records), VIEW.target, [SPEC.end])
    theirs.loc[5, "history_day_level_7"] *= 1.000001
    with pytest.raises(AssertionError, match="history_day_level_7"):
        assert_same(ours(records, [SPEC.end]), theirs)


@pytest.fixture(scope="module")
def hourly(records: Records) -> pl.DataFrame:
    end = datetime.combine(SPEC.end, datetime.min.time())
    return regular(records.demand.filter(pl.col("store_id") <= "S0003"), end)


def test_series_have_every_hour_once_and_all_orders(records: Records, hourly: pl.DataFrame) -> None:
    for (store,), rows in hourly.group_by("unique_id"):
        store_demand = records.demand.filter(pl.col("store_id") == f"S{store:04d}", pl.col("hour_utc") < SPEC.end)
        assert (rows["ds"].diff().drop_nulls() == timedelta(hours=1)).all()
        assert rows["y"].sum() == store_demand["orders"].sum()


def test_lags_are_those_of_a_plain_loop(hourly: pl.DataFrame) -> None:
    rows = lag_matrix.lag_matrix(hourly.cast({"y": pl.Float64}))
    assert rows.height == sum(max(0, series.height - lag_matrix.DEPTH) for _, series in hourly.group_by("unique_id"))
    of = {store: series["y"].to_numpy() for (store,), series in hourly.group_by("unique_id", maintain_order=True)}
    first = dict(hourly.group_by("unique_id").agg(pl.col("ds").first()).iter_rows())
    for row in rows.sample(300, seed=1).iter_rows(named=True):
        y, at = of[row["unique_id"]], (row["ds"] - first[row["unique_id"]]) // timedelta(hours=1)
        week = at - lag_matrix.WEEK
        expected = {
            "y": y[at],
            **{f"lag{lag}": y[at - lag] for lag in lag_matrix.LAGS},
            **{f"mean_{hours}": np.mean(y[week - hours + 1 : week + 1]) for hours in lag_matrix.WINDOWS},
            **{f"same_{weeks}": np.mean([y[at - lag_matrix.WEEK * (k + 1)] for k in range(weeks)]) for weeks in (4, 8)},
            **{"hour": row["ds"].hour, "weekday": row["ds"].isoweekday(), "month": row["ds"].month},
            "ordinal_day": row["ds"].timetuple().tm_yday,
        }
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_lags_are_those_of_the_peer(hourly: pl.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip(mlforecast_peer.NAME)
    hourly.write_parquet(tmp_path / "part.parquet")
    theirs, ours = mlforecast_peer.sample(tmp_path)
    assert theirs.height == ours.height > 0
    mlforecast_peer.assert_same(theirs, ours)
    with pytest.raises(AssertionError, match="lag168"):
        mlforecast_peer.assert_same(theirs, ours.with_columns(pl.col("lag168") + 1e-6))


def _holding(mebibytes: int) -> Work:
    buffer = np.ones(mebibytes * 2**17)
    return lambda: {"sum": float(buffer.sum())}


def test_a_job_has_memory_of_its_own() -> None:
    here = np.ones(600 * 2**17)
    small, big = measured(_holding, 1), measured(_holding, 300)
    assert big.told == {"sum": 300 * 2**17}
    assert 0.25 < big.peak_gib - small.peak_gib < 0.35
    assert small.peak_gib < here.nbytes / 2**30


def test_a_limit_bounds_ours_and_asks_of_theirs() -> None:
    ours, theirs = Took(10, 10, 1.0), Took(20, 20, 4.0)
    assert beside("", "", Limit(seconds=10, gib=1), ours).reached == "yes"
    assert beside("", "", Limit(seconds=9.9), ours).reached == "no"
    assert beside("", "", Limit(seconds=20, gib=0.9), ours).reached == "no"
    row = beside("", "", Limit(times=2, lean=4), ours, "other", theirs)
    assert (row.reached, row.ratio, row.memory_ratio) == ("yes", 2.0, 4.0)
    assert beside("", "", Limit(times=2.1), ours, "other", theirs).reached == "no"
    assert beside("", "", Limit(lean=4.1), ours, "other", theirs).reached == "no"
    assert beside("", "", Limit(times=2), ours, "other").reached == "other is not installed"


def test_the_exponent_of_a_power_is_found() -> None:
    assert slope([(size, 3.0 * size**1.2) for size in (2, 5, 11)]) == pytest.approx(1.2)
