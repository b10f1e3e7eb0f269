"""Donor stores: the history that a young store borrows from established stores like it.

A store that just opened has no weeks of history. Its donors do: the nearest stores of its format. Their mean demand is
a history with every state of an old store. The store's own demand on the same days shows its level relative to them.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from daypart.features.business_day import business_date, local_time
from daypart.features.chain_data import ChainData, DataSource
from daypart.features.deterministic_sum import exact_sum, last_sum, rank
from daypart.features.grid import DAY_HOURS, Grid
from daypart.features.history import outliers
from daypart.features.history.demand_history import DemandHistory
from daypart.features.money import UNKNOWN_CURRENCY, Money, with_currency
from daypart.features.signals.covariates import Covariates

YOUNG_DAYS = 91
"""A store with fewer open days borrows."""
ESTABLISHED_DAYS = 28
"""Open days of a store before it lends. A store that begins this early in the chain's record is not young."""
DONOR_STORES = 6
STORES_AT_ONCE = 25
"""Young stores whose donors' demand is in memory together."""
DONOR_LEVEL_DAYS = 28
"""The level is that of the last weeks: the first weeks of a store often differ from later ones."""
LEVEL_KEPT_FOR = "56d"
"""A donor keeps its level for this long while it is closed."""
USUAL_SPREAD, USUAL_STORES = 0.25, 4
"""Levels of similar stores differ by about a quarter; that prior weighs as much as this many donors."""


@dataclass(frozen=True)
class DonorPool:
    """The stores that may lend: `chain` has their demand, `stores` their rows of its stores table, by default all."""

    chain: DataSource
    stores: pl.DataFrame | None = None


def with_donor_history(
    history: DemandHistory, data: ChainData, donors: DonorPool, last: date, since: date | None = None
) -> DemandHistory:
    """Return the history of a block of stores with `donor_history` for its young stores; the same if none is young.

    The totals of `donor_history` also have the `spread` of `donor_levels`, and `priced_on`: the date from whose end on
    the value of an order in the store's currency is known, null where no donor has another currency.

    A store is young if its demand begins ESTABLISHED_DAYS or more after the chain's, or has not begun. Stores that are
    no longer young at `since`, the first origin, are left out.
    """
    young = _young(history, data.stores, since)
    first = donors.chain.first_demand_on(history.target) if young.height else None
    if first is None:
        return history
    late = pl.col("first").is_null() | (pl.col("first") >= first + timedelta(days=ESTABLISHED_DAYS))
    young = young.filter(late).drop("first")
    if young.is_empty():
        return history
    lent = pl.concat(_lent(some, donors, history.target) for some in young.iter_slices(STORES_AT_ONCE))
    if lent.is_empty():
        return history
    hours = data.hours.join(young, on="store_id", how="semi", maintain_order="left")
    young_data = replace(data, stores=young, demand=lent, hours=hours)
    covariates = Covariates.from_data(young_data, history.covariates.weather, last)
    donor_history = DemandHistory.from_data(
        young_data, history.target, covariates, history.store_codes, history.holiday_sums
    )
    first_values = pl.col("spread", "priced_on").first()
    spread = lent.group_by("store_id", date=business_date(young)).agg(first_values)
    totals = donor_history.totals.join(spread, on=["store_id", "date"], how="left", maintain_order="left")
    return replace(history, donor_history=replace(donor_history, totals=totals))


def _lent(young: pl.DataFrame, donors: DonorPool, target: str) -> pl.DataFrame:
    """Return the demand lent to some stores, as `borrowed_demand` returns it, named as the target, and `priced_on`.

    Money of another currency is lent at the value of an order in the store's own (`Money.rates`): its level is one of
    orders, at the store's prices. Where nothing was sold in its currency yet, stores of others lend nothing.
    """
    chain = donors.chain
    nearest = nearest_stores(young, chain.stores if donors.stores is None else donors.stores)
    like, rates = _priced(nearest, chain, target)
    lends = pl.col("store_id").is_in(like["donor_id"].unique().implode())
    demand = chain.scan_demand().filter(lends).select("store_id", "hour_local", target).collect()
    hours = donor_hours(demand, chain.stores, target)
    days = donor_days(hours)
    lent = borrowed_demand(like, hours, days, donor_levels(like, days, rates), young).rename({"lent": target})
    priced = like.group_by("store_id").agg(pl.col("priced_on").max())
    return lent.join(priced, on="store_id", how="left", maintain_order="left")


def _priced(like: pl.DataFrame, chain: DataSource, target: str) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Return the pairs that can lend, with `priced_on`, and the rate by pair and date where currencies differ.

    Without rates all amounts are in one currency.
    """
    unpriced = like.with_columns(priced_on=pl.lit(None, pl.Date))
    store_currency = with_currency(chain.stores).select("store_id", pl.col("currency").fill_null(UNKNOWN_CURRENCY))
    lent = store_currency.rename({"store_id": "donor_id", "currency": "donor_currency"})
    pairs = like.join(store_currency, on="store_id", how="left").join(lent, on="donor_id", how="left")
    foreign = pairs.filter(pl.col("currency") != pl.col("donor_currency"))
    last = chain.last_demand_on(target)
    if target != "sales" or foreign.is_empty() or last is None:
        return unpriced, None
    by = ["currency", "donor_currency"]
    rates = Money.from_demand(chain, target).rates(foreign.select(by).unique(), last)
    priced = foreign.join(rates.group_by(by).agg(priced_on=pl.col("since").first()), on=by)
    native = unpriced.join(foreign, on=["store_id", "donor_id"], how="anti")
    lending_pairs = pl.concat([native, priced.select(native.columns)]).sort("store_id", "donor_id")
    return lending_pairs, priced.select("store_id", "donor_id", *by).join(rates.drop("since"), on=by).drop(by)


def _young(history: DemandHistory, stores: pl.DataFrame, since: date | None) -> pl.DataFrame:
    """Return the stores that may be young from `since` on, with `first`, the date on which their demand begins."""
    before = pl.lit(value=False) if since is None else pl.col("date") < since
    begun = history.totals.group_by("store_id").agg(first=pl.col("date").min(), days=before.sum())
    grown = pl.col("days") >= YOUNG_DAYS
    return stores.join(begun, on="store_id", how="left").filter(~grown.fill_null(value=False)).drop("days")


def nearest_stores(young: pl.DataFrame, lenders: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store of `young` and each of its donors among `lenders`: store_id, donor_id.

    Stores of its format come first, then of its country, of its region, then the nearest. Stores that are not yet
    established when it opens, or closed by then, come last. The stores table alone decides, never demand.
    """
    columns = ("store_id", "format", "country", "region", "latitude", "longitude", "opened_on", "closed_on")
    other = lenders.select(pl.col(name).alias(f"like_{name}" if name != "store_id" else "donor_id") for name in columns)
    pairs = young.select(columns).join(other, how="cross").filter(pl.col("store_id") != pl.col("donor_id"))
    age = pl.col("opened_on") - pl.col("like_opened_on")
    unfit = (age < pl.duration(days=YOUNG_DAYS)) | (pl.col("like_closed_on") <= pl.col("opened_on"))
    differs = [pl.col(name).ne_missing(pl.col(f"like_{name}")) for name in ("format", "country", "region")]
    return (
        pairs.sort("store_id", unfit.fill_null(value=False), *differs, _distance().fill_null(1e9), "donor_id")
        .group_by("store_id", maintain_order=True)
        .head(DONOR_STORES)
        .select("store_id", "donor_id")
    )


def _distance() -> pl.Expr:
    """Return the approximate distance of a pair, in degrees of latitude; null where a place is unknown."""
    north = pl.col("latitude") - pl.col("like_latitude")
    east = (pl.col("longitude") - pl.col("like_longitude")) * pl.col("latitude").radians().cos()
    return (north**2 + east**2).sqrt()


def borrowed_demand(
    like: pl.DataFrame, hours: pl.DataFrame, days: pl.DataFrame, levels: pl.DataFrame, stores: pl.DataFrame
) -> pl.DataFrame:
    """Return the mean demand of each store's donors: store_id, hour_local, lent, spread.

    Takes the results of the functions below; `stores` says when the business days of the borrowing stores start. Each
    donor lends the shape of its days at the mean level of all donors, so that a donor that closes for a week, or joins,
    changes no level. An hour counts where at least half of the open donors traded in it.
    """
    opened = like.join(days, on="donor_id").group_by("store_id", "date").agg(opened=pl.len())
    share = exact_sum(pl.col("sold") / pl.col("level"))
    lent = (
        like.join(hours.join(days, on=["donor_id", "date"]), on="donor_id")
        .group_by("store_id", "date", "hour").agg(share=share, traded=pl.len())
        .join(opened, on=["store_id", "date"]).join(levels, on=["store_id", "date"])
        .filter(pl.col("traded") * 2 >= pl.col("opened"))
    )  # fmt: skip
    return lent.select(
        "store_id",
        hour_local=local_time(stores, "date", "hour"),
        lent=pl.col("share") / pl.col("opened") * pl.col("mean_level"),
        spread="spread",
    )


def donor_hours(demand: pl.DataFrame, stores: pl.DataFrame, target: str) -> pl.DataFrame:
    """Return one row per donor, business date and clock hour in which it sold: donor_id, hour, sold, date."""
    last = demand.select(business_date(stores).max()).item() or date.min
    with_demand = stores.join(demand.select("store_id").unique(), on="store_id", how="semi")
    grid = Grid.from_demand(with_demand, demand, last)
    sold = outliers.cap_outliers(grid, grid.columns(demand, "hour_local", [target], absent=0.0)[target])
    place = np.flatnonzero(sold > 0)
    day, hour = np.divmod(place, DAY_HOURS)
    store, step = np.divmod(day, max(grid.dates, 1))
    hours = pl.DataFrame({"donor_id": grid.store_ids.gather(store), "step": step, "hour": hour, "sold": sold[place]})
    return hours.with_columns(date=pl.lit(grid.first) + pl.duration(days=1) * pl.col("step")).drop("step")


def donor_days(hours: pl.DataFrame) -> pl.DataFrame:
    """Return one row per donor and open day from its 28th on: donor_id, date, level (its recent mean trading hour)."""
    days = hours.group_by("donor_id", "date").agg(total=exact_sum(pl.col("sold")), traded=pl.len().cast(pl.Float64))
    ranked = days.sort("donor_id", "date").with_columns(rank=rank("donor_id"))
    level = last_sum(pl.col("total"), DONOR_LEVEL_DAYS) / last_sum(pl.col("traded"), DONOR_LEVEL_DAYS)
    established = ranked.with_columns(level=level).filter(pl.col("rank") + 1 >= ESTABLISHED_DAYS)
    return established.select("donor_id", "date", "level")


def donor_levels(like: pl.DataFrame, days: pl.DataFrame, rates: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return one row per store and date on which its donors lend: the mean of their levels, and its uncertainty.

    `mean_level`; `spread`: standard deviation of a similar store's log level about that mean, where the usual spread
    weighs as much as USUAL_STORES. A donor keeps its level for LEVEL_KEPT_FOR while it is closed. `rates` multiply
    levels, one row per store_id, donor_id and date; pairs without a rate have one currency.
    """
    log, count = pl.col("carried").log(), pl.len()
    mean, square = (exact_sum(value) / count for value in (log, log**2))
    scatter = (square - mean**2).clip(0) * count + USUAL_STORES * USUAL_SPREAD**2
    about_mean = (scatter / (count - 1 + USUAL_STORES) * (1 + 1 / count)).sqrt()
    carried = like.join(_carried(days), on="donor_id")
    if rates is not None:
        rated = carried.join(rates, on=["store_id", "donor_id", "date"], how="left")
        carried = rated.with_columns(pl.col("carried") * pl.col("rate").fill_null(1.0))
    levels = carried.group_by("store_id", "date")
    return levels.agg(mean_level=exact_sum(pl.col("carried")) / count, spread=about_mean)


def _carried(days: pl.DataFrame) -> pl.DataFrame:
    """Return one row per donor and date from its first level to the last of any: its latest level, if not too old."""
    last = pl.lit(days["date"].max(), pl.Date)
    spans = days.group_by("donor_id").agg(first=pl.col("date").min()).with_columns(last=last)
    dates = spans.select("donor_id", date=pl.date_ranges("first", "last")).explode("date")
    levels = days.sort("date").rename({"level": "carried"})
    joined = dates.sort("date").join_asof(
        levels, on="date", by="donor_id", tolerance=LEVEL_KEPT_FOR, check_sortedness=False
    )
    return joined.drop_nulls("carried")
