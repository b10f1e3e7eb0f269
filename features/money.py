"""Money: the currency of each store, and the unit that makes amounts in several currencies comparable.

Amounts are added up within a currency. Where stores of several currencies are compared or weighed together, money is
measured in orders: a currency's unit is the mean value of an order in it over that in the chain's main currency. Where
some currency has sales without orders, the unit is the mean value of a trading hour. No exchange rate is needed, and a
currency whose amounts have more digits does not weigh more. A chain of one currency has no units: its amounts stay as
recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self, TypeVar

import polars as pl

from daypart.features import places
from daypart.features.business_day import business_date
from daypart.features.chain_data import DataSource
from daypart.features.deterministic_sum import exact_sum

Rows = TypeVar("Rows", pl.DataFrame, pl.LazyFrame)

UNIT = "money_unit"
"""Column of the unit of a row's currency."""
UNIT_DAYS = 91
"""Days of sales from which a currency's unit is computed."""
UNIT_PREFIX = "money_unit_"
"""Prefix of a model's figures that hold its units, by currency."""
UNKNOWN_CURRENCY = "unknown"
"""The currency of stores that declare none and whose country has none."""


def with_currency(stores: pl.DataFrame) -> pl.DataFrame:
    """Return the stores with the ISO 4217 code of their `currency`: as declared, else their country's, else null."""
    declared = {text: places.currency_code(text) or text for text in stores["currency"].drop_nulls().unique()}
    if "country" not in stores.columns:
        return stores.with_columns(pl.col("currency").replace(declared))
    of_country = {text: places.currency_of(text) for text in stores["country"].drop_nulls().unique()}
    derived = pl.col("country").replace_strict(of_country, default=None, return_dtype=pl.String)
    return stores.with_columns(pl.coalesce(pl.col("currency").replace(declared), derived).alias("currency"))


def has_several_currencies(stores: pl.DataFrame) -> bool:
    """Return whether the stores sell in more than one currency."""
    return with_currency(stores)["currency"].n_unique() > 1


def currency_units(figures: Mapping[str, float]) -> dict[str, float]:
    """Return the units among a model's figures; empty for a model of one currency."""
    return {name.removeprefix(UNIT_PREFIX): value for name, value in figures.items() if name.startswith(UNIT_PREFIX)}


def with_unit(rows: Rows, stores: pl.DataFrame, units: Mapping[str, float]) -> Rows:
    """Add UNIT to the rows, in order; 1 for a currency without a unit. Without any units the rows stay as they are.

    Rows with a target other than sales have a unit of 1.
    """
    if not units:
        return rows
    unit = (
        pl.col("currency").fill_null(UNKNOWN_CURRENCY).replace_strict(dict(units), default=1.0, return_dtype=pl.Float64)
    )
    priced = with_currency(stores).select("store_id", unit.alias(UNIT))
    joined = rows.lazy().drop(UNIT, strict=False).join(priced.lazy(), on="store_id", how="left", maintain_order="left")
    is_money = pl.col("target") == "sales" if "target" in rows.collect_schema() else pl.lit(value=True)
    unit_rows = joined.with_columns(pl.when(is_money).then(UNIT).fill_null(1.0).alias(UNIT))
    return unit_rows if isinstance(rows, pl.LazyFrame) else unit_rows.collect()


def in_units(rows: Rows, stores: pl.DataFrame, units: Mapping[str, float], columns: Sequence[str]) -> Rows:
    """Return the rows with the given amounts of money in units. Without any units the rows stay as they are."""
    if not units:
        return rows
    names = [name for name in columns if name in rows.collect_schema()]
    if not names:
        return rows
    priced = with_unit(rows, stores, units)
    return priced.with_columns(pl.col(name) / pl.col(UNIT) for name in names).drop(UNIT)


@dataclass(frozen=True)
class Money:
    """A chain's sales by currency, from which units and rates are computed.

    `days` has one row per currency and business date with sales, sorted: `sales` and `hours` with sales, and of those
    with orders too `paid` and `orders`. It is empty where there is one currency, or the target is not money.
    """

    days: pl.DataFrame

    @classmethod
    def from_demand(cls, chain: DataSource, target: str, since: date | None = None) -> Self:
        """Return the sales of all stores of a chain, from a business date on."""
        if target != "sales" or not has_several_currencies(chain.stores):
            return cls(pl.DataFrame())
        day, sold = business_date(chain.stores).alias("date"), pl.col("sales") > 0
        rows = chain.scan_demand().filter(sold)
        if since is not None:
            # Clocks differ by less than a day: the moment in UTC lets files of other months be skipped.
            rows = rows.filter(pl.col("hour_utc") >= since - timedelta(days=1), day >= since)
        both = pl.col("orders") > 0
        priced = with_currency(chain.stores).select("store_id", pl.col("currency").fill_null(UNKNOWN_CURRENCY))
        sums = {"sales": pl.col("sales"), "hours": pl.lit(1.0), "paid": pl.when(both).then("sales"),
                "orders": pl.when(both).then("orders")}  # fmt: skip
        by_store = rows.group_by("store_id", day).agg(exact_sum(value).alias(name) for name, value in sums.items())
        joined = by_store.collect().join(priced, on="store_id")
        totals = joined.group_by("currency", "date").agg(exact_sum(pl.col(name)).alias(name) for name in sums)
        return cls(totals.sort("currency", "date"))

    def units(self, before: date) -> dict[str, float]:
        """Return by currency its unit as known before a date; currencies without sales by then are left out.

        The unit of the main currency, which has the most hours with sales, is 1.
        """
        if self.days.is_empty():
            return {}
        past_days = self.days.filter(pl.col("date") < before)
        late = pl.col("date") > pl.col("date").max().over("currency") - timedelta(days=UNIT_DAYS)
        sums = past_days.filter(late).group_by("currency").agg(pl.col("sales", "hours", "paid", "orders").sort().sum())
        worth = dict(sums.select("currency", self._worth()).sort("currency").iter_rows())
        hours = dict(sums.select("currency", "hours").iter_rows())
        main = max(worth, key=lambda name: (hours[name], name), default=None)
        return {name: value / worth[main] for name, value in worth.items()} if main else {}

    def rates(self, pairs: pl.DataFrame, last: date) -> pl.DataFrame:
        """Return by date to `last` the value of one currency in another: `rate`.

        `pairs` has `currency` and `donor_currency`. A rate is known from the day after its date. Dates before the
        first sales in `currency` have its first rate, known from the day after `since`. A pair has no rows if one of
        its currencies has no sales.
        """
        worth = self._worth_by_day(last)
        theirs = worth.rename({"currency": "donor_currency", "worth": "donor_worth"}).drop("since")
        both = pairs.join(theirs, on="donor_currency").join(worth, on=["currency", "date"])
        return both.select("currency", "donor_currency", "date", "since", rate=pl.col("worth") / pl.col("donor_worth"))

    def _worth_by_day(self, last: date) -> pl.DataFrame:
        """Return the value of an order by currency and date, over UNIT_DAYS: currency, date, since, worth."""
        names = ("sales", "hours", "paid", "orders")
        rolling = [pl.col(name).rolling_sum_by("date", f"{UNIT_DAYS}d").over("currency") for name in names]
        worth = self.days.with_columns(rolling).select("currency", "date", worth=self._worth())
        since = worth.group_by("currency").agg(since=pl.col("date").min())
        dates = self.days.select(date=pl.date_range(pl.col("date").min(), pl.lit(last)))
        grid = since.join(dates, how="cross").join(worth, on=["currency", "date"], how="left").sort("currency", "date")
        return grid.with_columns(pl.col("worth").forward_fill().backward_fill().over("currency"))

    def _worth(self) -> pl.Expr:
        """Return the value of an order, or of a trading hour where a currency has sales without orders."""
        orders = self.days.group_by("currency").agg(pl.col("orders").sum())["orders"]
        by_orders = bool((orders > 0).all())
        part, divisor = ("paid", "orders") if by_orders else ("sales", "hours")
        return pl.when(pl.col(divisor) > 0).then(pl.col(part) / pl.col(divisor)).alias("worth")
