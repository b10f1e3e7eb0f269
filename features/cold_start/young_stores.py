"""Rows of young stores: the demand of their donors, at the level and in the shape of their own days so far.

Every share rests on days strictly before the origin. It starts at the donors' demand and moves to the store's own with
each day (empirical Bayes: own days weigh against a prior of a few days at which the store equals its donors).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np
import polars as pl

from daypart.features.business_day import business_date
from daypart.features.chain_data import ChainData
from daypart.features.cold_start.similar_stores import DONOR_LEVEL_DAYS, YOUNG_DAYS
from daypart.features.deterministic_sum import exact_sum, last_sum, rank
from daypart.features.grid import DAY_HOURS
from daypart.features.history import horizon
from daypart.features.history.demand_history import DemandHistory
from daypart.features.history.horizon import ORIGIN

TRUST_DAYS, TRUST_HOURS, TRUST_WEEKDAYS = 1, 3, 2
"""Own days that weigh as much as the store's donors: for the level, at an hour and on a weekday."""
EQUAL_WEIGHT_DAYS = 42
"""Own days at which a store's own states weigh as much as those of its donors."""
OWN_HOURS_DAYS = 7
"""From this many own days on a store's own trading hours count alone; before, those of its donors count too."""
AMOUNTS = ("incumbent", "last", "last_2", "last_8", "hour_mean_28", "plain_base", "plain_12", "plain_26")
BLENDED_LEVELS = ("hour_level_7", "hour_level_28", "day_level_3", "day_level_7", "day_level_14", "day_level_28",
                  "day_trend", "weekday_last")  # fmt: skip
ROW_KEY = [*ORIGIN, "hour_utc"]


def young_origins(
    data: ChainData, history: DemandHistory, rows: pl.DataFrame, origins: Sequence[date], horizon_days: int
) -> pl.DataFrame:
    """Return one row per origin and store that is young at it and opens in its horizon: its donors' day-level state.

    `rows` are the store's own states. Columns `own_days` and `own_on` are its open days so far and the last of them;
    `spread` is as in `similar_stores`. A store that records demand of another target alone does not borrow.
    """
    assert history.donor_history is not None
    stores = data.stores.join(history.donor_history.grid.store_ids.to_frame("store_id"), on="store_id", how="semi")
    recorded = data.demand.join(stores, on="store_id", how="semi").group_by("store_id")
    opens = pl.col("opened_on").is_null() | (
        pl.col("opened_on") < pl.col("origin_date") + pl.duration(days=horizon_days)
    )
    elsewhere = (pl.col("recorded_on") < pl.col("origin_date")).fill_null(value=False)
    return (
        horizon.store_origins(stores, history.donor_history, origins)
        .join(rows.select(*ORIGIN, own_days="open_days_known", own_on="last_on"), on=ORIGIN, how="left")
        .join(
            history.donor_history.totals.select("store_id", "spread", "priced_on", last_on="date"),
            on=["store_id", "last_on"], how="left",
        )
        .join(stores.select("store_id", "opened_on"), on="store_id")
        .join(recorded.agg(recorded_on=business_date(stores).min()), on="store_id", how="left")
        .with_columns(pl.col("own_days").fill_null(0))
        .filter(pl.col("own_days") < YOUNG_DAYS, (pl.col("own_days") > 0) | (opens & ~elsewhere))
        .filter(pl.col("priced_on").is_null() | (pl.col("priced_on") < pl.col("origin_date")))
        .drop("recorded_on", "priced_on")
    )  # fmt: skip


@dataclass(frozen=True)
class DemandShares:
    """Demand of young stores over that of their donors, one row per own open day: known from the day after.

    `level` of (store_id, date); `hour` of (store_id, date, hour) and `weekday` of (store_id, weekday, date) over the
    level of all days so far.
    """

    level: pl.DataFrame
    hour: pl.DataFrame
    weekday: pl.DataFrame

    @classmethod
    def from_history(cls, history: DemandHistory) -> Self:
        """Return the shares of the first days of the stores that borrow."""
        hours = _first_hours(history)
        sums = [exact_sum(pl.col(name)).alias(name) for name in ("own", "lent")]
        days = hours.group_by("store_id", "date", maintain_order=True).agg(*sums).with_columns(rank=rank("store_id"))
        level = _share(DONOR_LEVEL_DAYS, TRUST_DAYS)
        usual = days.select("store_id", "date", usual=_share(YOUNG_DAYS, 0))
        return cls(
            days.select("store_id", "date", level=level),
            _over_usual(hours, usual, "hour", TRUST_HOURS),
            _over_usual(days.with_columns(weekday=pl.col("date").dt.weekday()), usual, "weekday", TRUST_WEEKDAYS),
        )


def _first_hours(history: DemandHistory) -> pl.DataFrame:
    """Return one row per store, own open day and clock hour: `own` demand, and `lent` by its donors.

    Days on which the donors lent nothing are left out.
    """
    assert history.donor_history is not None
    young = history.totals.filter(pl.col("open_days_known") < YOUNG_DAYS)
    days = young.with_columns(lent_day=history.donor_history.grid.day()).drop_nulls("lent_day")
    own_sold = history.sold.reshape(-1, DAY_HOURS)[days["day"].to_numpy()]
    lent = history.donor_history.sold.reshape(-1, DAY_HOURS)[days["lent_day"].to_numpy()]
    traded = lent.sum(axis=1) > 0
    days = days.filter(pl.Series(traded)).select("store_id", "date")
    return days.select(pl.all().repeat_by(DAY_HOURS).explode()).with_columns(
        hour=pl.Series(np.tile(np.arange(DAY_HOURS, dtype=np.int8), len(days))),
        own=pl.Series(own_sold[traded].ravel()),
        lent=pl.Series(lent[traded].ravel()),
    )


def _share(days: int, trust: int, usual: float | pl.Expr = 1.0) -> pl.Expr:
    """Return own demand over `usual` times lent demand of the last `days`; null where that is 0. Needs `rank`."""
    count = pl.min_horizontal(pl.col("rank") + 1, days)
    sold, lent = last_sum(pl.col("own"), days), last_sum(pl.col("lent"), days) * usual
    return pl.when(lent > 0).then((sold / lent * count + trust) / (count + trust))


def _over_usual(rows: pl.DataFrame, usual: pl.DataFrame, by: str, trust: int) -> pl.DataFrame:
    """Return the share at each value of `by`, over that of all days."""
    joined = rows.join(usual, on=["store_id", "date"]).sort("store_id", by, "date").drop("rank", strict=False)
    share = _share(YOUNG_DAYS, trust, pl.col("usual")).alias(f"{by}_share")
    return joined.with_columns(rank=rank("store_id", by)).select("store_id", by, "date", share)


def blend(lent: pl.DataFrame, own_rows: pl.DataFrame, at: pl.DataFrame, shares: DemandShares) -> pl.DataFrame:
    """Return rows of `horizon.open_hours` of young stores, from those of their donors and their own.

    `at` are the `young_origins`. A store without a day of its own has no hour before it opens. `youth` is the standard
    deviation of the log of the store's level, given its donors and its own days.
    """
    both = _scaled(lent, at, shares).join(own_rows, on=ROW_KEY, how="full", coalesce=True, suffix="_own")
    both = both.join(at.select(*ORIGIN, "own_days", "own_on", "opened_on", "spread"), on=ORIGIN)
    weight = pl.col("own_days") / (pl.col("own_days") + EQUAL_WEIGHT_DAYS)

    def mixed(name: str) -> pl.Expr:
        own_value, donor_value = pl.col(f"{name}_own"), pl.col(name)
        return pl.coalesce(own_value * weight + donor_value * (1 - weight), own_value, donor_value).alias(name)

    measured = (*AMOUNTS, "scale", *BLENDED_LEVELS)
    other_columns = [name for name in own_rows.columns if name not in (*ROW_KEY, *measured)]
    opened = (pl.col("own_days") > 0) | pl.col("opened_on").is_null() | (pl.col("date") >= pl.col("opened_on"))
    return (
        both.filter(pl.col("date_own").is_not_null() | (pl.col("own_days") < OWN_HOURS_DAYS))
        .with_columns(*map(mixed, measured), *(pl.coalesce(f"{name}_own", name).alias(name) for name in other_columns))
        .filter(opened)
        .with_columns(
            open_days_known=pl.col("own_days"),
            last_on=pl.coalesce("own_on", "last_on"),
            youth=pl.col("spread") * (TRUST_DAYS / (pl.col("own_days") + TRUST_DAYS)).sqrt(),
        )
        .select(own_rows.columns)
    )


def _scaled(lent: pl.DataFrame, at: pl.DataFrame, shares: DemandShares) -> pl.DataFrame:
    """Return the donors' rows at the level of the store, and in its shape as far as that is known."""
    stores = at.select(ORIGIN)
    level = horizon.last_before(stores, shares.level, ["store_id"], "shares_on")
    pairs = lent.select(*ORIGIN, "weekday").unique()
    weekday = horizon.last_before(pairs, shares.weekday, ["store_id", "weekday"], "weekday_shares_on")
    rows = (
        lent.join(level, on=ORIGIN, how="left")
        .join(weekday.drop("weekday_shares_on"), on=[*ORIGIN, "weekday"], how="left")
        .join(shares.hour, left_on=["store_id", "shares_on", "hour"], right_on=["store_id", "date", "hour"], how="left")
    )
    level_now = pl.col("level").fill_null(1.0)
    there = level_now * pl.col("hour_share").fill_null(1.0) * pl.col("weekday_share").fill_null(1.0)
    return rows.with_columns(
        *((pl.col(name) * there).alias(name) for name in AMOUNTS), (pl.col("scale") * level_now).alias("scale")
    ).select(lent.columns)
