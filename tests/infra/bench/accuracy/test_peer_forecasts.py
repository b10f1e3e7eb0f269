"""Peers forecast every hour that is scored, from nothing but earlier demand."""

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.chain_data import ChainData
from infra.bench.accuracy.peer_forecasts import PEERS, local_series
from infra.bench.accuracy.real_backtests import DEFAULT_HORIZON_DAYS, SetBacktest, with_forecasts


def _forecasts(peer: str, records: ChainData, origins: list[date]) -> pl.DataFrame:
    pytest.importorskip(peer)
    return PEERS[peer](records, "orders", origins, DEFAULT_HORIZON_DAYS).sort("store_id", "origin_date", "hour_utc")


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_forecasts_every_hour_from_what_came_before(peer: str, case: SetBacktest, rows: pl.DataFrame) -> None:
    peer_rows = _forecasts(peer, case.records, case.origins)
    assert with_forecasts(rows, peer_rows)["forecast"].null_count() == 0
    assert peer_rows.height == rows.height
    assert peer_rows["forecast"].min() == 0
    assert peer_rows["forecast"].is_finite().all()
    later = pl.col("hour_local") >= datetime.combine(case.origins[0], datetime.min.time())
    changed = case.records.demand.with_columns(orders=pl.when(later).then(pl.col("orders") * 3 + 7).otherwise("orders"))
    other = _forecasts(peer, ChainData.from_tables({"stores": case.records.stores, "demand": changed}), case.origins)
    first = pl.col("origin_date") == case.origins[0]
    assert_frame_equal(other.filter(first), peer_rows.filter(first), check_exact=True)
    assert other.filter(~first)["forecast"].sum() != pytest.approx(peer_rows.filter(~first)["forecast"].sum(), rel=0.01)


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_errs_least_at_its_own_hours(peer: str, case: SetBacktest, rows: pl.DataFrame) -> None:
    joined, actual = with_forecasts(rows, _forecasts(peer, case.records, case.origins)), pl.col("actual")
    shifted = {hours: pl.col("forecast").shift(hours).over("store_id", "origin_date") for hours in (-1, 0, 1)}
    errors = joined.select((shift - actual).abs().mean().alias(str(hours)) for hours, shift in shifted.items()).row(0)
    assert errors[1] < min(errors[0], errors[2])


def test_series_have_every_hour_of_the_stores_clock(case: SetBacktest) -> None:
    end = date(2023, 11, 8)
    for (store,), series in local_series(case.records, "orders", end).group_by("unique_id", maintain_order=True):
        hourly_orders: dict[datetime, list[float]] = {}
        for row in case.records.demand.filter(pl.col("store_id") == store).iter_rows(named=True):
            hourly_orders.setdefault(row["hour_local"], []).append(row["orders"])
        assert series["ds"][0] == min(hourly_orders)
        assert series["ds"][-1] == datetime(2023, 11, 7, 23)
        assert (series["ds"].diff().drop_nulls() == timedelta(hours=1)).all()
        expected = [sum(hourly_orders.get(at, [0])) / len(hourly_orders.get(at, [0])) for at in series["ds"]]
        assert series["y"].to_list() == pytest.approx(expected)
