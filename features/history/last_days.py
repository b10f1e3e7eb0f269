"""Where a chain's demand ends: the last day of its bulk, rows dated ahead of it, and last days that are incomplete."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

import polars as pl

from daypart.features.business_day import business_clock, business_date
from daypart.features.errors import some_stores

END_WINDOW_DAYS = 70
"""Number of last days that are examined."""
GAP_DAYS = 3
"""Days after a longer gap without any demand count only where more than half of the chain's stores trade on them."""
COMPARED_DAYS = 4
"""Number of earlier days, of the same weekday where there are enough, with which a last day is compared."""
MIN_COMPARED_DAYS = 3
REST_SHARE = 0.2
"""A last day is incomplete if at least this share of each earlier day's demand came after its own last hour."""


@dataclass(frozen=True)
class LastDays:
    """The end of a chain's demand.

    `chain_on` is the last business date of the chain's bulk, null without demand. `stores` has one row per store with
    recent demand, sorted: store_id, `last_on` (its last business date that counts), `cut_on` (an incomplete date after
    it, which does not count, else null) and `ahead_on` (its last date beyond the chain's, else null).
    """

    chain_on: date | None
    stores: pl.DataFrame

    @classmethod
    def from_demand(cls, demand: pl.DataFrame, stores: pl.DataFrame) -> Self:
        """Return the end of recent demand, the rows of END_WINDOW_DAYS or more, of all stores.

        Rows have store_id, hour_local, orders and sales; `stores` says when business days start. An open store's last
        day is compared with days before it, so nothing that comes later changes what an earlier day is.
        """
        days = _store_days(demand, stores)
        chain_on = chain_end(days.group_by("date").agg(stores=pl.len()))
        latest = days.group_by("store_id").agg(ahead_on=pl.col("date").max())
        ahead = latest.filter(pl.col("ahead_on") > pl.lit(chain_on, pl.Date))
        counted = days.filter(pl.col("date") <= pl.lit(chain_on, pl.Date))
        cut = _incomplete(counted)
        last = (
            counted.join(cut, on=["store_id", "date"], how="anti")
            .group_by("store_id")
            .agg(last_on=pl.col("date").max())
        )
        by_store = counted.select("store_id").unique().join(last, on="store_id", how="left")
        by_store = by_store.join(cut.select("store_id", cut_on="date"), on="store_id", how="left")
        return cls(chain_on, by_store.join(ahead, on="store_id", how="left").sort("store_id"))

    def counts(self, stores: pl.DataFrame) -> pl.Expr:
        """Return whether a row of demand counts: its date is not cut and not ahead of the chain's."""
        limits = self.stores.filter(pl.col("cut_on").is_not_null() | pl.col("ahead_on").is_not_null())
        if limits.is_empty():
            return pl.lit(value=True)
        last = pl.coalesce(pl.col("cut_on") - pl.duration(days=1), pl.lit(self.chain_on, pl.Date))
        by_store = dict(limits.select("store_id", last).iter_rows())
        limit = pl.col("store_id").replace_strict(by_store, default=None, return_dtype=pl.Date)
        return limit.is_null() | (business_date(stores) <= limit)

    def notices(self) -> list[str]:
        """Return a line for each kind of last day that does not count, with the stores and what to do."""
        cut = self.stores.drop_nulls("cut_on").sort("cut_on", "store_id")
        lines = [
            f"{named_stores(ids)}: the demand of {day} stops long before its usual end, so the day is left out: "
            "ingest the rest of it"
            for (day,), ids in _by_date(cut, "cut_on")
        ]
        for (day,), ids in _by_date(self.stores.drop_nulls("ahead_on"), "ahead_on"):
            lines.append(
                f"{named_stores(ids)}: demand is dated up to {day}, the chain's ends on {self.chain_on}: "
                "what is dated later is left out; check the clock of the till and ingest the hours again"
            )
        return lines


def _by_date(rows: pl.DataFrame, name: str) -> list[tuple[tuple[object, ...], list[str]]]:
    parts = rows.partition_by(name, as_dict=True, maintain_order=True)
    return [(key, part["store_id"].to_list()) for key, part in parts.items()]


def named_stores(ids: Sequence[str], most: int = 3) -> str:
    """Return the first names of stores as the subject of a message: `store A`, or `stores A, B and 2 more stores`."""
    return f"{'store' if len(ids) == 1 else 'stores'} {some_stores(ids, most)}"


def _store_days(demand: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store and business date with demand: the amounts of its hours, in order."""
    amount = pl.coalesce(pl.when(pl.col("orders") > 0).then("orders"), "sales")
    clock = business_clock(stores)
    hours = demand.select("store_id", date=clock.dt.date(), hour=clock.dt.hour(), amount=amount)
    by = ["store_id", "date"]
    return hours.filter(pl.col("amount") > 0).group_by(by).agg(pl.col("hour", "amount")).sort(by)


def chain_end(support: pl.DataFrame) -> date | None:
    """Return the last date of the last stretch of days that belongs to the chain (see GAP_DAYS); null without rows.

    `support` has one row per date with demand: date, and `stores`, how many stores trade on it.
    """
    if support.is_empty():
        return None
    support = support.sort("date")
    new = (pl.col("date").diff() > timedelta(days=GAP_DAYS)).fill_null(value=False)
    stretches = support.with_columns(usual=pl.col("stores").median(), stretch=new.cum_sum())
    most = stretches.group_by("stretch").agg(pl.col("date").max(), most=pl.col("stores").max(), usual=pl.first("usual"))
    accepted = most.filter((pl.col("most") * 2 > pl.col("usual")) | (pl.col("stretch") == 0))
    last = accepted["date"].max()
    return last if isinstance(last, date) else None


def _incomplete(days: pl.DataFrame) -> pl.DataFrame:
    """Return the store_id and date of each store's last date, where that is incomplete: see REST_SHARE."""
    last = days.filter(pl.col("date") == pl.col("date").max().over("store_id"))
    ends = last.select("store_id", last_date="date", last_hour=pl.col("hour").list.max())
    before = days.join(ends, on="store_id").filter(pl.col("date") < pl.col("last_date"))
    same = pl.col("date").dt.weekday() == pl.col("last_date").dt.weekday()
    similar = before.filter(
        pl.when((same.sum() >= MIN_COMPARED_DAYS).over("store_id")).then(same).otherwise(pl.lit(value=True))
    )
    similar = similar.sort("date", descending=True).group_by("store_id", maintain_order=True).head(COMPARED_DAYS)
    hours = similar.explode("hour", "amount")
    after = pl.col("amount").filter(pl.col("hour") > pl.col("last_hour")).sum()
    shares = hours.group_by("store_id", "date", "last_date").agg(rest=after / pl.col("amount").sum())
    least = shares.group_by("store_id", "last_date").agg(pl.col("rest").min(), days=pl.len())
    cut = least.filter(pl.col("rest") >= REST_SHARE, pl.col("days") >= MIN_COMPARED_DAYS)
    return cut.select("store_id", date="last_date")
