from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from daypart.features.simulator import Chain, ChainSpec, Drift, Fault, LateData, Outage, simulate

DRIFT = Drift(date(2024, 9, 1), share=0.34, factor=0.7)
OUTAGE = Outage("S0003", date(2024, 8, 1), date(2024, 8, 4))
LATE = LateData(days=3, share=0.5)
DAY = pl.col("hour_local").dt.date()


def _faulty(spec: ChainSpec, *faults: Fault) -> Chain:
    return simulate(replace(spec, faults=faults))


def _touched(chain: Chain, fault: str) -> pl.Expr:
    return pl.col("store_id").is_in(chain.planted.filter(pl.col("fault") == fault)["store_id"].implode())


def test_drift_scales_the_touched_stores_from_its_day_and_nothing_else(small: Chain, small_spec: ChainSpec) -> None:
    chain = _faulty(small_spec, DRIFT)
    touched = _touched(chain, "drift")
    assert chain.planted.height == 2
    changed = touched & DAY.ge(DRIFT.starts)
    for frame, plain in (
        (chain.truth, small.truth),
        *((chain.tables[n], small.tables[n]) for n in ("demand", "labor")),
    ):
        assert frame.filter(~changed).equals(plain.filter(~changed))
    assert small.tables["weather"].equals(chain.tables["weather"])
    ratio = chain.truth.filter(changed).select("orders_mean", "sales_mean") / small.truth.filter(changed).select(
        "orders_mean", "sales_mean"
    )
    for column in ratio:
        assert column.to_list() == pytest.approx([DRIFT.factor] * ratio.height)
    sold, would = (c.tables["demand"].filter(changed)["orders"].sum() for c in (chain, small))
    assert sold / would == pytest.approx(DRIFT.factor, abs=0.01)


def test_an_outage_takes_rows_away_though_trade_went_on(small: Chain, small_spec: ChainSpec) -> None:
    chain = _faulty(small_spec, OUTAGE)
    in_outage = (pl.col("store_id") == OUTAGE.store_id) & DAY.is_between(OUTAGE.first, OUTAGE.last)
    assert small.tables["demand"].filter(in_outage).height > 24
    assert chain.tables["demand"].equals(small.tables["demand"].filter(~in_outage))
    assert chain.truth.equals(small.truth)


def test_late_data_takes_the_last_days_of_some_stores(small: Chain, small_spec: ChainSpec) -> None:
    chain = _faulty(small_spec, LATE)
    is_late = _touched(chain, "late data") & DAY.ge(small_spec.end - timedelta(days=LATE.days))
    assert chain.planted.height == 3
    assert chain.tables["demand"].equals(small.tables["demand"].filter(~is_late))
    assert chain.tables["demand"].height < small.tables["demand"].height


def test_faults_do_not_disturb_each_other(small: Chain, small_spec: ChainSpec) -> None:
    alone, together = _faulty(small_spec, DRIFT), _faulty(small_spec, DRIFT, OUTAGE, LATE)
    assert together.truth.equals(alone.truth)
    shared_rows = together.tables["demand"].join(alone.tables["demand"], on=alone.tables["demand"].columns, how="semi")
    assert shared_rows.height == together.tables["demand"].height
    assert small.planted.is_empty()
