"""Limits of a forecast: its basis in words, and the cap relative to the busiest hour known of its store."""

from datetime import date, timedelta

import polars as pl

from daypart.features.business_day import business_date
from daypart.features.chain_data import ChainData
from daypart.features.cold_start.similar_stores import YOUNG_DAYS
from daypart.features.history import trading_hours
from daypart.features.history.demand_history import DemandHistory
from daypart.forecasting.models.training_data import StoreBlock

OWN_HISTORY_DAYS = 28
"""A store with fewer known open days says so, whether or not it borrows."""
USUAL_DAYS = 28
"""The weekdays of so many last days are those on which a store usually trades."""
MAX_BUSIEST_RATIO = 3
"""No hour is forecast at more than so many times the busiest one known."""
NORMAL_P90 = 1.2816
"""Standard deviations from the middle of a normal distribution to its 10% and 90%."""
FORECAST_VALUES = ("forecast", "q10", "q50", "q90")
LIMIT = "limit"
"""The column with the most that an hour of the store may be forecast at."""


def open_stores(block: StoreBlock, target: str, origin: date, horizon_days: int) -> pl.DataFrame:
    """Return the stores open in the horizon, with `open_days`, those known before the origin, and whether it `borrows`.

    `stale_on` is the last of these days where the store's demand of a later one is missing, else null.
    A store without history is open unless it opens later; one that records another target alone has no forecast.
    """
    records, past = block.records, block.history
    before = past.totals.filter(pl.col("date") < origin)
    history = before.group_by("store_id").agg(open_days=pl.len())
    history = history.join(_stale(before, past, records, origin), on="store_id", how="left")
    stores = records.stores.join(history, on="store_id", how="left").with_columns(pl.col("open_days").fill_null(0))
    closes, opens, begun = pl.col("closed_on"), pl.col("opened_on"), pl.col("open_days") > 0
    last = origin + timedelta(days=horizon_days - 1)
    stores = stores.filter(closes.is_null() | (closes > origin), begun | opens.is_null() | (opens <= last))
    stores = stores.join(_recorded(records, stores, target, origin), on="store_id", how="left")
    stores = stores.filter(~(pl.col("recorded") == "another").fill_null(value=False))
    like = pl.Series([], dtype=pl.String) if past.donor_history is None else past.donor_history.grid.store_ids
    lends = pl.col("store_id").is_in(like.implode()) & pl.col("recorded").is_null()
    return stores.with_columns(borrows=(pl.col("open_days") < YOUNG_DAYS) & lends).drop("recorded")


def _stale(days: pl.DataFrame, past: DemandHistory, records: ChainData, origin: date) -> pl.DataFrame:
    """Return the stores without demand on a later day on which they usually trade: store_id, `stale_on`, the last day.

    Usual are weekdays with trade in two of the last four weeks; holidays and known closures do not count.
    """
    weekday, day = pl.col("date").dt.weekday().alias("weekday"), timedelta(days=1)
    last = days.group_by("store_id").agg(stale_on=pl.col("date").max())
    late = days.join(last, on="store_id").filter(pl.col("date") > pl.col("stale_on") - timedelta(days=USUAL_DAYS))
    usual = late.group_by("store_id", weekday).agg(traded=pl.len()).filter(pl.col("traded") >= 2)
    silent = last.filter(pl.col("stale_on") < origin - day).with_columns(
        date=pl.date_ranges(pl.col("stale_on") + day, pl.lit(origin - day))
    )
    missing = silent.explode("date").with_columns(weekday).join(usual, on=["store_id", "weekday"], how="semi")
    closed = trading_hours.closed_days(trading_hours.known_closures(records.closures, origin))
    for explained in (closed, past.covariates.holidays):
        missing = missing.join(explained, on=["store_id", "date"], how="anti")
    return missing.select("store_id", "stale_on").unique()


def _recorded(records: ChainData, stores: pl.DataFrame, target: str, origin: date) -> pl.DataFrame:
    """Return which target a store without open days recorded before the origin: `this`, as 0, or `another` alone."""
    silent = stores.filter(pl.col("open_days") == 0)
    in_stores = pl.col("store_id").is_in(silent["store_id"].implode())
    before = records.demand.filter(in_stores, business_date(stores) < origin)
    recorded = pl.when(pl.col(target).is_null().all()).then(pl.lit("another")).otherwise(pl.lit("this"))
    return before.group_by("store_id").agg(recorded=recorded)


def with_limit(predictions: pl.DataFrame, past: DemandHistory, origin: date) -> pl.DataFrame:
    """Return the rows with LIMIT: MAX_BUSIEST_RATIO times the busiest hour known of the store; null where none is.

    Known is what was sold in the year before the origin, and what the usual days of a store that `borrows` lead to
    expect.
    """
    busiest = (
        predictions.group_by("store_id")
        .agg(usual=pl.col("smooth").max())
        .join(past.busiest(origin), on="store_id", how="left")
    )
    rows = predictions.join(busiest, on="store_id", how="left", maintain_order="left")
    known = pl.max_horizontal("busiest", pl.when(pl.col("borrows")).then("usual"))
    return rows.with_columns((MAX_BUSIEST_RATIO * known).alias(LIMIT)).drop("usual", "busiest")


def cap(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return the predictions with no hour above LIMIT. The column `capped` says where that lowered the forecast."""
    return predictions.with_columns(
        *(pl.min_horizontal(name, LIMIT).alias(name) for name in FORECAST_VALUES),
        capped=pl.col("forecast") > pl.col(LIMIT),
    )


def widen_young(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return the predictions with wider bands for young stores, whose level is uncertain.

    `youth` is the standard deviation of the level's log; its square adds to that of the band.
    """
    level = NORMAL_P90 * pl.col("youth") * pl.col("forecast")
    below, above = (pl.col("forecast") - pl.col("q10"), pl.col("q90") - pl.col("forecast"))
    young = pl.col("youth") > 0
    return predictions.with_columns(
        q10=pl.when(young).then((pl.col("forecast") - (below**2 + level**2).sqrt()).clip(0)).otherwise("q10"),
        q90=pl.when(young).then(pl.col("forecast") + (above**2 + level**2).sqrt()).otherwise("q90"),
    )


def basis_text() -> pl.Expr:
    """Return the `basis` of rows with open_days, borrows, stale_on and capped: null where nothing is to be said."""
    days, borrows = pl.col("open_days"), pl.col("borrows")
    opening = pl.when(days > 0).then(pl.format("rests on {} open days of its own, ", days)).otherwise(pl.lit("rests "))
    like = pl.format("{}on stores like it and on the model of all stores", opening)
    alone = pl.format("rests on {} open days of its own and on the model of all stores", days)
    nothing = pl.lit("rests on nothing: it has sold nothing yet, and no store like it says what it may")
    rest = (
        pl.when(borrows).then(like)
        .when(days == 0).then(nothing)
        .when(days < OWN_HISTORY_DAYS).then(alone)
    )  # fmt: skip
    bound = pl.when(pl.col("capped")).then(pl.lit(f"held to {MAX_BUSIEST_RATIO} times its busiest hour"))
    stale = pl.format("stale: its demand ends on {}", "stale_on")
    return pl.concat_str(rest, stale, bound, separator="; ", ignore_nulls=True).replace("", None)
