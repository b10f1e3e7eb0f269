"""A forecast as users get it: every hour of every open store's horizon, closed hours exactly 0."""

from datetime import date, timedelta

import polars as pl

from features import clock
from features.dayparts import daypart
from features.records import Records
from forecasting.model import Model
from forecasting.workshop import Workshop

COLUMNS = (
    "store_id", "target", "origin_date", "lead_days", "hour_local", "hour_utc", "business_date", "daypart",
    "forecast", "q10", "q50", "q90", "incumbent", "model_version", "tier", "basis",
)  # fmt: skip
ORDER = ("store_id", "target", "origin_date", "hour_utc")
VALUES = ("forecast", "q10", "q50", "q90", "incumbent")
YOUNG_DAYS = 28
"""A store with fewer known open days says in `basis` what its forecast rests on."""


def as_published(
    workshop: Workshop, records: Records, model: Model, origin: date, version: str, tier: str = "standard"
) -> pl.DataFrame:
    """One row per store, target and real clock hour of the horizon, sorted; the contract's columns and `basis`.

    Every store with history before the origin has all its hours (23 or 25 on the days when clocks change).
    """
    told = model.predict(workshop.rows([origin]), workshop.totals)
    known = workshop.totals.filter(pl.col("date") < origin).group_by("store_id").agg(open_days=pl.len())
    stores = records.stores.join(known, on="store_id").filter(
        pl.col("closed_on").is_null() | (pl.col("closed_on") > origin)
    )
    last = origin + timedelta(days=model.recipe.horizon_days - 1)
    grid = clock.hour_grid(stores, origin, last).collect()
    rows = grid.join(
        told.select("store_id", "hour_utc", "business_date", *VALUES), on=["store_id", "hour_utc"], how="left"
    )
    return (
        rows.join(known, on="store_id")
        .with_columns(
            target=pl.lit(model.target),
            origin_date=pl.lit(origin),
            lead_days=(pl.col("date") - pl.lit(origin)).dt.total_days().cast(pl.Int16),
            business_date=pl.coalesce("business_date", "date"),
            daypart=daypart(pl.col("hour_local").dt.hour()),
            model_version=pl.lit(version),
            tier=pl.lit(tier),
            basis=_basis(),
        )
        .with_columns(pl.col(VALUES).fill_null(0.0))
        .select(COLUMNS)
        .sort(ORDER)
    )


def _basis() -> pl.Expr:
    days = pl.col("open_days")
    text = pl.format("rests on {} open days of its own and on the model of all stores", days)
    return pl.when(days < YOUNG_DAYS).then(text)
