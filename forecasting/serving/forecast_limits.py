"""What a forecast rests on, in words, and how far it may go beyond what is known of its store."""

from datetime import date, timedelta

import polars as pl

from daypart.features.business_day import business_date
from daypart.features.chain_data import ChainData
from daypart.features.cold_start.similar_stores import YOUNG_DAYS
from daypart.features.history import trading_hours
from daypart.features.history.demand_history import DemandHistory

OWN_DAYS = 28
"""A store with fewer known open days says so, whether or not it borrows."""
USUAL_DAYS = 28
"""The weekdays of so many last days are those on which a store usually trades."""
HELD = 3
"""No hour is forecast at more than so many times the busiest one known."""
TAIL = 1.2816
"""Standard deviations from the middle of a normal distribution to its 10% and 90%."""
VALUES = ("forecast", "q10", "q50", "q90")


def open_stores(block: ChainData, past: DemandHistory, target: str, origin: date, horizon_days: int) -> pl.DataFrame:
    """The stores open in the horizon, with `open_days`, those known before the origin, and whether it `borrows`.

    `stale_on` is the last of these days where the store's demand of a later one is missing, else null.
    A store without history is open unless it opens later; one that records another target alone has no forecast.
    """
    before = past.totals.filter(pl.col("date") < origin)
    history = before.group_by("store_id").agg(open_days=pl.len())
    history = history.join(_stale(before, past, block, origin), on="store_id", how="left")
    stores = block.stores.join(history, on="store_id", how="left").with_columns(pl.col("open_days").fill_null(0))
    closes, opens, begun = pl.col("closed_on"), pl.col("opened_on"), pl.col("open_days") > 0
    last = origin + timedelta(days=horizon_days - 1)
    stores = stores.filter(closes.is_null() | (closes > origin), begun | opens.is_null() | (opens <= last))
    stores = stores.join(_recorded(block, stores, target, origin), on="store_id", how="left")
    stores = stores.filter(~(pl.col("recorded") == "another").fill_null(value=False))
    like = pl.Series([], dtype=pl.String) if past.donor_history is None else past.donor_history.grid.store_ids
    lends = pl.col("store_id").is_in(like.implode()) & pl.col("recorded").is_null()
    return stores.with_columns(borrows=(pl.col("open_days") < YOUNG_DAYS) & lends).drop("recorded")


def _stale(days: pl.DataFrame, past: DemandHistory, block: ChainData, origin: date) -> pl.DataFrame:
    """One row per store without demand on a later day on which it usually trades: store_id, `stale_on`, its last day.

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
    closed = trading_hours.closed_days(trading_hours.known_closures(block.closures, origin))
    for explained in (closed, past.covariates.holidays):
        missing = missing.join(explained, on=["store_id", "date"], how="anti")
    return missing.select("store_id", "stale_on").unique()


def _recorded(block: ChainData, stores: pl.DataFrame, target: str, origin: date) -> pl.DataFrame:
    """One row per store without an open day that has demand before the origin: this kind, of 0, or another alone."""
    silent = stores.filter(pl.col("open_days") == 0)
    before = block.demand.filter(pl.col("store_id").is_in(silent["store_id"].implode()), business_date(stores) < origin)
    recorded = pl.when(pl.col(target).is_null().all()).then(pl.lit("another")).otherwise(pl.lit("this"))
    return before.group_by("store_id").agg(recorded=recorded)


def held(predictions: pl.DataFrame, past: DemandHistory, origin: date) -> pl.DataFrame:
    """What was told of rows, with no hour above HELD times the busiest known of the store; `held` says where.

    Known is what was sold in the year before the origin, and what the row's usual days lead to expect.
    """
    busiest = (
        predictions.group_by("store_id")
        .agg(usual=pl.col("smooth").max())
        .join(past.busiest(origin), on="store_id", how="left")
    )
    rows = predictions.join(busiest, on="store_id", how="left", maintain_order="left")
    most = HELD * pl.max_horizontal("busiest", pl.when(pl.col("borrows")).then("usual"))
    return rows.with_columns(
        *(pl.min_horizontal(name, most).alias(name) for name in VALUES), held=pl.col("forecast") > most
    ).drop("usual", "busiest")


def widened(predictions: pl.DataFrame) -> pl.DataFrame:
    """The bands of young stores, wider by what is not known of their level: `youth`, in squares beside the rest."""
    level = TAIL * pl.col("youth") * pl.col("forecast")
    below, above = (pl.col("forecast") - pl.col("q10"), pl.col("q90") - pl.col("forecast"))
    young = pl.col("youth") > 0
    return predictions.with_columns(
        q10=pl.when(young).then((pl.col("forecast") - (below**2 + level**2).sqrt()).clip(0)).otherwise("q10"),
        q90=pl.when(young).then(pl.col("forecast") + (above**2 + level**2).sqrt()).otherwise("q90"),
    )


def in_words() -> pl.Expr:
    """The `basis` of rows with open_days, borrows, stale_on and held: null where nothing is to be said."""
    days, borrows = pl.col("open_days"), pl.col("borrows")
    opening = pl.when(days > 0).then(pl.format("rests on {} open days of its own, ", days)).otherwise(pl.lit("rests "))
    like = pl.format("{}on stores like it and on the model of all stores", opening)
    alone = pl.format("rests on {} open days of its own and on the model of all stores", days)
    nothing = pl.lit("rests on nothing: it has sold nothing yet, and no store like it says what it may")
    rest = (
        pl.when(borrows).then(like)
        .when(days == 0).then(nothing)
        .when(days < OWN_DAYS).then(alone)
    )  # fmt: skip
    bound = pl.when(pl.col("held")).then(pl.lit(f"held to {HELD} times its busiest hour"))
    stale = pl.format("stale: its demand ends on {}", "stale_on")
    return pl.concat_str(rest, stale, bound, separator="; ", ignore_nulls=True).replace("", None)
