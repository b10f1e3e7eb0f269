"""Accuracy on stores that just opened: a simulated chain in which every fourth store opens late.

python -m infra.bench.accuracy.cold_start [--stores N] [--days N] [--seed N]
"""

import sys
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest, rolling_origins
from infra.bench.harness.chain_options import parse_chain_spec

FIRST_DAY = date(2024, 9, 1)
LATE_FROM_DAY = 150
COLD_START_RECIPE = Recipe(weather="none", rounds=100, max_rows=60_000, folds=2, history_days=365)
AGE_WEEKS = ("0", "1", "2-3", "4-7", "8-13")
"""Weeks of history that have begun at the origin; 0 is a store without any day of history."""
AGE_EDGES_DAYS = (0, 7, 21, 49, 91)


def late_opening_chain(spec: ChainSpec) -> ChainData:
    """Return the simulated chain, where every fourth store opens late and has no demand or labor before it opens.

    The day is drawn from LATE_FROM_DAY to two months before the end.
    """
    records = ChainData.from_tables(simulate(spec).tables).without("weather")
    opening_days = np.random.default_rng(spec.seed).integers(LATE_FROM_DAY, spec.days - 60, spec.stores)
    opens = pl.DataFrame({"store_id": spec.store_ids, "day": opening_days}).gather_every(4, 2)
    late = opens.select("store_id", late_on=pl.lit(spec.start) + pl.duration(days=1) * pl.col("day"))
    stores = records.stores.join(late, on="store_id", how="left", maintain_order="left")
    stores = stores.with_columns(opened_on=pl.max_horizontal("opened_on", "late_on")).drop("late_on")

    def since_opening(rows: pl.DataFrame) -> pl.DataFrame:
        opened = rows.join(stores.select("store_id", "opened_on"), on="store_id", maintain_order="left")
        return opened.filter(pl.col("hour_local") >= pl.col("opened_on")).drop("opened_on")

    return replace(records, stores=stores, demand=since_opening(records.demand), labor=since_opening(records.labor))


def with_format_mean(rows: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Add `like_mean` to published rows: the mean incumbent of stores of the format, open for 91 days, at that hour."""
    formats = rows.join(stores.select("store_id", "format", "opened_on"), on="store_id", maintain_order="left")
    old = formats.filter(pl.col("opened_on") + timedelta(days=91) <= pl.col("origin_date"))
    at = ["format", "origin_date", "hour_local"]
    return formats.join(old.group_by(at).agg(like_mean=pl.col("incumbent").mean()), on=at, how="left")


def accuracy_by_age(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row per age: WAPE in bps of ours, the incumbent and the format's mean; coverage and width of bands."""
    days = (pl.col("origin_date") - pl.col("opened_on")).dt.total_days().clip(0)
    scored = rows.filter(pl.col("actual").is_not_null(), days <= AGE_EDGES_DAYS[-1])
    age = pl.lit(AGE_WEEKS[-1])
    for edge, name in reversed(list(zip(AGE_EDGES_DAYS, AGE_WEEKS, strict=True))):
        age = pl.when(days <= edge).then(pl.lit(name)).otherwise(age)
    total_actual = pl.col("actual").sum()

    def wape(name: str) -> pl.Expr:
        return ((pl.col(name).fill_null(0) - pl.col("actual")).abs().sum() / total_actual * 1e4).round().cast(pl.Int64)

    busy = pl.col("forecast") > 0
    return (
        scored.group_by(weeks=age)
        .agg(hours=pl.len(), ours=wape("forecast"), incumbent=wape("incumbent"), like_mean=wape("like_mean"),
             bias=((pl.col("forecast").sum() / total_actual - 1) * 1e4).round(),
             coverage=pl.col("actual").is_between("q10", "q90").filter(busy).mean().round(3),
             width=((pl.col("q90") - pl.col("q10")).sum() / total_actual).round(3))
        .sort("weeks")
    )  # fmt: skip


def main() -> int:
    """Backtest the chain and print the table by age."""
    spec = parse_chain_spec(__doc__, ChainSpec(stores=60, days=430, seed=11, start=FIRST_DAY))
    records = late_opening_chain(spec)
    origins = rolling_origins(FIRST_DAY + timedelta(days=180), spec.end - timedelta(days=1), 6, 14)
    trainer = ModelTrainer(TrainingData(records, "orders", origins[-1]), COLD_START_RECIPE)
    rows, _ = backtest(trainer, origins, 84)
    scored = with_format_mean(rows, records.stores).filter(pl.col("opened_on") > FIRST_DAY)
    with pl.Config(tbl_rows=-1, tbl_cols=-1):
        print(accuracy_by_age(scored))
    return 0


if __name__ == "__main__":
    sys.exit(main())
