"""What a young store borrows from its like: the past of established stores, at the level of what it sold itself so far.

A store that just opened has no weeks behind it. Its like have: the nearest of its format. Their mean is a past with
every state that a store of years has; what the store sold on the same days says how much of it is its own.
"""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl

from daypart.features.business_day import business_date, local_time
from daypart.features.chain_data import Records, Source
from daypart.features.deterministic_sum import exact_sum, last_sum, rank
from daypart.features.grid import DAY_HOURS, Grid
from daypart.features.history import demand_history, outliers, trading_hours
from daypart.features.money import UNKNOWN_CURRENCY, Money, with_currency
from daypart.features.signals.covariates import Outside
from daypart.features.signals.weather import WeatherView

YOUNG_DAYS = 91
"""A store with fewer open days behind it borrows."""
ESTABLISHED_DAYS = 28
"""So many open days a store has before it lends; what begins so early in the chain's record is as old as the record."""
LIKE_STORES = 6
STORES_AT_ONCE = 25
"""Young stores for which the demand of their like is in memory together."""
LEVEL_DAYS = 28
"""The level is that of the last weeks: a store's first ones are often unlike what follows."""
SILENT = "56d"
"""A store that lends keeps its level so long while it is closed."""
USUAL_SPREAD, USUAL_STORES = 0.25, 4
"""Levels of stores of a kind differ by about a quarter; so many like stores say as much of their own spread."""


def with_like(
    block_past: demand_history.Past, records: Records, chain: Source, target: str, weather: WeatherView, last: date,
    since: date | None = None, lenders: pl.DataFrame | None = None,
) -> demand_history.Past:  # fmt: skip
    """The past of a block of stores with that of the like of its young ones; the same past where none is young.

    Its totals have the `spread` of `like_levels` too, and `priced_on`: the date by whose end it is known what an order
    comes to in a store's currency, null where nothing that it borrows was in another.

    Young are those whose demand begins ESTABLISHED_DAYS or more after the chain's, or has not begun.
    `since` leaves out those that are not young any more at the first origin asked for. `lenders` are the rows of the
    stores table that may lend, by default all.
    """
    young = _young(block_past, records.stores, since)
    first = chain.first_demand_on(target) if young.height else None
    if first is None:
        return block_past
    late = pl.col("first").is_null() | (pl.col("first") >= first + timedelta(days=ESTABLISHED_DAYS))
    young = young.filter(late).drop("first")
    if young.is_empty():
        return block_past
    lenders = chain.stores if lenders is None else lenders
    lent = pl.concat(_lent(some, lenders, chain, target) for some in young.iter_slices(STORES_AT_ONCE))
    if lent.is_empty():
        return block_past
    declared = trading_hours.declared_clock_hours(records.hours).join(young, on="store_id", how="semi")
    outside = Outside.from_data(replace(records, stores=young, demand=lent), weather, last)
    past = demand_history.Past.of(lent, target, outside, declared, block_past.store_codes, block_past.holiday_sums)
    first_values = pl.col("spread", "priced_on").first()
    spread = lent.group_by("store_id", date=business_date(young)).agg(first_values)
    totals = past.totals.join(spread, on=["store_id", "date"], how="left", maintain_order="left")
    return replace(block_past, like=replace(past, totals=totals))


def _lent(young: pl.DataFrame, lenders: pl.DataFrame, chain: Source, target: str) -> pl.DataFrame:
    """What the like of some stores lend them, as `borrowed` has it, with the target's own name, and `priced_on`.

    Money of another currency is lent at what an order comes to in the store's own (`Money.rates`): the level is one of
    orders, at the store's prices. Where nothing was sold in its currency yet, stores of others lend nothing.
    """
    like, rates = _priced(like_stores(young, lenders), chain, target)
    lends = pl.col("store_id").is_in(like["donor_id"].unique().implode())
    demand = chain.scan_demand().filter(lends).select("store_id", "hour_local", target).collect()
    hours = sold_hours(demand, chain.stores, target)
    days = lending_days(hours)
    lent = borrowed(like, hours, days, like_levels(like, days, rates), young).rename({"lent": target})
    priced = like.group_by("store_id").agg(pl.col("priced_on").max())
    return lent.join(priced, on="store_id", how="left", maintain_order="left")


def _priced(like: pl.DataFrame, chain: Source, target: str) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The pairs of which one can lend to the other, with `priced_on`; and by pair and date the rate, if one needs any.

    Without rates all amounts are of one kind.
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


def _young(past: demand_history.Past, stores: pl.DataFrame, since: date | None) -> pl.DataFrame:
    """Those of the stores that may be young from `since` on, with the date on which their demand began as `first`."""
    before = pl.lit(value=False) if since is None else pl.col("date") < since
    begun = past.totals.group_by("store_id").agg(first=pl.col("date").min(), days=before.sum())
    grown = pl.col("days") >= YOUNG_DAYS
    return stores.join(begun, on="store_id", how="left").filter(~grown.fill_null(value=False)).drop("days")


def like_stores(young: pl.DataFrame, chain: pl.DataFrame) -> pl.DataFrame:
    """One row per store of `young` and store like it, of `chain`: store_id, donor_id.

    Those of its format come first, then of its country, of its region, then the nearest. The stores table alone
    decides, so that no demand does; those not yet established when the store opens, or closed by then, come last.
    """
    columns = ("store_id", "format", "country", "region", "latitude", "longitude", "opened_on", "closed_on")
    other = chain.select(pl.col(name).alias(f"like_{name}" if name != "store_id" else "donor_id") for name in columns)
    pairs = young.select(columns).join(other, how="cross").filter(pl.col("store_id") != pl.col("donor_id"))
    age = pl.col("opened_on") - pl.col("like_opened_on")
    unfit = (age < pl.duration(days=YOUNG_DAYS)) | (pl.col("like_closed_on") <= pl.col("opened_on"))
    differs = [pl.col(name).ne_missing(pl.col(f"like_{name}")) for name in ("format", "country", "region")]
    return (
        pairs.sort("store_id", unfit.fill_null(value=False), *differs, _distance().fill_null(1e9), "donor_id")
        .group_by("store_id", maintain_order=True)
        .head(LIKE_STORES)
        .select("store_id", "donor_id")
    )


def _distance() -> pl.Expr:
    """About that between a store and one like it, in degrees of latitude; null where a place is unknown."""
    north = pl.col("latitude") - pl.col("like_latitude")
    east = (pl.col("longitude") - pl.col("like_longitude")) * pl.col("latitude").radians().cos()
    return (north**2 + east**2).sqrt()


def borrowed(
    like: pl.DataFrame, hours: pl.DataFrame, days: pl.DataFrame, levels: pl.DataFrame, stores: pl.DataFrame
) -> pl.DataFrame:
    """The mean demand of each store's like, as if it were its own: store_id, hour_local, lent, spread.

    Takes what the functions below make; `stores` says when the business days of the borrowing stores start. Each
    lends the shape of its days at the mean level of all, so that one that closes for a week, or joins, moves no level.
    An hour counts where at least half of those open traded in it.
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


def sold_hours(demand: pl.DataFrame, stores: pl.DataFrame, target: str) -> pl.DataFrame:
    """One row per store that may lend, business date and clock hour in which it sold: donor_id, hour, sold, date."""
    last = demand.select(business_date(stores).max()).item() or date.min
    lenders = stores.join(demand.select("store_id").unique(), on="store_id", how="semi")
    grid = Grid.from_demand(lenders, demand, last)
    sold = outliers.tamed(grid, grid.columns(demand, "hour_local", [target], absent=0.0)[target])
    place = np.flatnonzero(sold > 0)
    day, hour = np.divmod(place, DAY_HOURS)
    store, step = np.divmod(day, max(grid.dates, 1))
    hours = pl.DataFrame({"donor_id": grid.store_ids.gather(store), "step": step, "hour": hour, "sold": sold[place]})
    return hours.with_columns(date=pl.lit(grid.first) + pl.duration(days=1) * pl.col("step")).drop("step")


def lending_days(hours: pl.DataFrame) -> pl.DataFrame:
    """One row per store and open day from its 28th on: donor_id, date, level, its mean trading hour of late."""
    days = hours.group_by("donor_id", "date").agg(total=exact_sum(pl.col("sold")), traded=pl.len().cast(pl.Float64))
    ranked = days.sort("donor_id", "date").with_columns(rank=rank("donor_id"))
    level = last_sum(pl.col("total"), LEVEL_DAYS) / last_sum(pl.col("traded"), LEVEL_DAYS)
    established = ranked.with_columns(level=level).filter(pl.col("rank") + 1 >= ESTABLISHED_DAYS)
    return established.select("donor_id", "date", "level")


def like_levels(like: pl.DataFrame, days: pl.DataFrame, rates: pl.DataFrame | None = None) -> pl.DataFrame:
    """One row per store and date on which its like lend: the mean of their levels, and how far one lies from it.

    `mean_level`; `spread`: standard deviation of a like store's log level about that mean, where a usual one counts
    as much as USUAL_STORES. A store keeps its level for SILENT while it is closed. `rates` has what levels are
    multiplied by, one row per store_id, donor_id and date; pairs without any are of one currency.
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
    """One row per store and date from its first level to the last of any: the latest level, for SILENT."""
    last = pl.lit(days["date"].max(), pl.Date)
    spans = days.group_by("donor_id").agg(first=pl.col("date").min()).with_columns(last=last)
    dates = spans.select("donor_id", date=pl.date_ranges("first", "last")).explode("date")
    levels = days.sort("date").rename({"level": "carried"})
    joined = dates.sort("date").join_asof(levels, on="date", by="donor_id", tolerance=SILENT, check_sortedness=False)
    return joined.drop_nulls("carried")
