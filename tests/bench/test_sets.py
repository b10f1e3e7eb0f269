from pathlib import Path

import polars as pl
import pytest

from tests.bench.sets import SETS, RealSet


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
