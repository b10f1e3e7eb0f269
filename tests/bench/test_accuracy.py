"""Peers forecast every hour that is scored, from nothing but what came before."""

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from features.errors import InputError
from features.records import Records
from features.simulator import ChainSpec, simulate
from forecasting.backtest import backtest
from tests.bench.accuracy import RECIPE, in_place, peer_score, scored
from tests.bench.accuracy_peers import PEERS, regular

SPEC = ChainSpec(stores=2, start=date(2023, 9, 11), days=60, seed=3, issues_days=1)
ORIGINS = [date(2023, 10, 23), date(2023, 10, 25)]
"""Clocks go back within both horizons."""


@pytest.fixture(scope="module")
def records() -> Records:
    tables = simulate(SPEC).tables
    return Records.of({name: tables[name] for name in ("stores", "demand")})


@pytest.fixture(scope="module")
def rows(records: Records) -> pl.DataFrame:
    return backtest(records, "orders", RECIPE, ORIGINS, 28)[0]


def _told(who: str, records: Records) -> pl.DataFrame:
    pytest.importorskip(who)
    return PEERS[who](records, "orders", ORIGINS, RECIPE.horizon_days).sort("store_id", "origin_date", "hour_utc")


@pytest.mark.parametrize("who", PEERS)
def test_a_peer_forecasts_every_hour_from_what_came_before(who: str, records: Records, rows: pl.DataFrame) -> None:
    told = _told(who, records)
    assert in_place(rows, told)["forecast"].null_count() == 0
    assert told.height == rows.height
    assert told["forecast"].min() == 0
    assert told["forecast"].is_finite().all()
    later = pl.col("hour_local") >= datetime.combine(ORIGINS[0], datetime.min.time())
    changed = records.demand.with_columns(orders=pl.when(later).then(pl.col("orders") * 3 + 7).otherwise("orders"))
    other = _told(who, Records.of({"stores": records.stores, "demand": changed}))
    first = pl.col("origin_date") == ORIGINS[0]
    assert_frame_equal(other.filter(first), told.filter(first), check_exact=True)
    assert other.filter(~first)["forecast"].sum() != pytest.approx(told.filter(~first)["forecast"].sum(), rel=0.01)


@pytest.mark.parametrize("who", PEERS)
def test_a_peer_errs_least_at_its_own_hours(who: str, records: Records, rows: pl.DataFrame) -> None:
    told, actual = in_place(rows, _told(who, records)), pl.col("actual")
    shifted = {hours: pl.col("forecast").shift(hours).over("store_id", "origin_date") for hours in (-1, 0, 1)}
    errors = told.select((shift - actual).abs().mean().alias(str(hours)) for hours, shift in shifted.items()).row(0)
    assert errors[1] < min(errors[0], errors[2])


def test_series_have_every_hour_of_the_stores_clock(records: Records) -> None:
    end = date(2023, 11, 8)
    for (store,), series in regular(records, "orders", end).group_by("unique_id", maintain_order=True):
        told: dict[datetime, list[float]] = {}
        for row in records.demand.filter(pl.col("store_id") == store).iter_rows(named=True):
            told.setdefault(row["hour_local"], []).append(row["orders"])
        assert series["ds"][0] == min(told)
        assert series["ds"][-1] == datetime(2023, 11, 7, 23)
        assert (series["ds"].diff().drop_nulls() == timedelta(hours=1)).all()
        wanted = [sum(told.get(at, [0])) / len(told.get(at, [0])) for at in series["ds"]]
        assert series["y"].to_list() == pytest.approx(wanted)


def test_a_row_without_a_forecast_is_refused(rows: pl.DataFrame) -> None:
    told = rows.select("store_id", "origin_date", "hour_utc", "forecast")
    whole = scored(rows, "chain", "same")
    assert scored(in_place(rows, told), "chain", "same") == whole
    open_hour = rows.filter(pl.col("actual") > 0)["hour_utc"][0]
    with pytest.raises(InputError, match="no forecast"):
        scored(in_place(rows, told.filter(pl.col("hour_utc") != open_hour)), "chain", "short")


def test_a_library_that_is_missing_is_named(records: Records, rows: pl.DataFrame) -> None:
    row = peer_score("nosuchlibrary", records, rows, "chain", ORIGINS)
    assert (row.note, row.hour_wape_bps) == ("nosuchlibrary is not installed", None)
