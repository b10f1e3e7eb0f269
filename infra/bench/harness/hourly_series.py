"""A chain's orders as regular hourly series, the form that libraries of time series expect."""

from datetime import datetime, time
from pathlib import Path

import polars as pl

from infra.bench.harness.stored_chain import StoredChain


def stored_series(chain: StoredChain) -> Path:
    """Return a folder of Parquet files, each some stores: unique_id, ds (UTC), y, sorted, hourly from the first trade."""
    return chain.build_once("series", _write, chain.files() / "demand", datetime.combine(chain.today, time()))


def _write(out: Path, demand: Path, end: datetime) -> None:
    out.mkdir()
    for path in sorted(demand.iterdir()):
        orders_series(pl.read_parquet(path), end).write_parquet(out / path.name)


def orders_series(demand: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """Return orders of every hour, a store's first to before `end`, 0 without trade; stores as whole numbers."""
    series_rows = demand.select(
        unique_id=pl.col("store_id").str.strip_prefix("S").cast(pl.Int32), ds="hour_utc",
        y=pl.col("orders").cast(pl.Float32),
    )  # fmt: skip
    return gapless(series_rows, end)


def gapless(series_rows: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """Return every hour of each series of (unique_id, ds, y) from its first to before `end`, sorted; gaps are 0."""
    hours = pl.datetime_ranges(pl.col("ds").min(), end, "1h", closed="left").first()
    grid = series_rows.group_by("unique_id").agg(hours.alias("ds")).explode("ds").sort("unique_id", "ds")
    return grid.join(series_rows, on=["unique_id", "ds"], how="left", maintain_order="left").with_columns(
        pl.col("y").fill_null(0)
    )
