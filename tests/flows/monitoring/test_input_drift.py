"""Tests of input drift: the same figures to the last bit, however the rows came in."""

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring.input_drift import read_drifts

ON = date(2025, 6, 1)
STORES, DAYS = 8, 420


def demand() -> pl.DataFrame:
    """Hourly sales with cents of three stores, some 14 months up to the day before ON."""
    draw = np.random.default_rng(5)
    first = datetime.combine(ON, datetime.min.time()) - timedelta(days=DAYS)
    hours = [first + timedelta(days=day, hours=hour) for day in range(DAYS) for hour in range(8, 14)]
    rows = pl.DataFrame({"store_id": [f"S{n}" for n in range(STORES)]}).join(
        pl.DataFrame({"hour_local": hours}), how="cross"
    )
    rows = rows.with_columns(
        pl.col("hour_local").cast(pl.Datetime("us")), hour_utc=pl.col("hour_local").cast(pl.Datetime("us"))
    )
    return rows.with_columns(sales=pl.Series(draw.uniform(0.1, 900, rows.height).round(2) / 3), orders=1.0)


def test_figures_are_the_same_to_the_last_bit_for_any_order_of_rows_and_files(tmp_path: Path) -> None:
    rows = demand()
    once, often = Lake(tmp_path / "once"), Lake(tmp_path / "often")
    once.upsert("demand", rows)
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=3)
    for part in range(4):
        often.upsert("demand", shuffled.gather_every(4, part))
    figures = read_drifts(once, ON, "sales")
    assert [drift.name for drift in figures] == ["demand"]
    assert read_drifts(often, ON, "sales") == figures
    assert all(read_drifts(once, ON, "sales") == figures for _ in range(5))


def test_a_mean_is_that_of_the_known_values(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.upsert("demand", demand())
    (drift,) = read_drifts(lake, ON, "sales")
    daily = demand().group_by("store_id", pl.col("hour_local").dt.date().alias("date")).agg(pl.col("sales").sum())
    recent = daily.filter(pl.col("date") >= ON - timedelta(days=364 + 28), pl.col("date") < ON)
    ratio = recent.with_columns(pl.col("sales") / pl.col("sales").mean().over("store_id"))
    expected = ratio.filter(pl.col("date") >= ON - timedelta(days=28))["sales"].mean()
    assert abs(drift.now - expected) < 1e-6
