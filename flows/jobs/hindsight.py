"""How much of what a backtest scored rests on rows that do not say since when they were known."""

from collections.abc import Mapping

import polars as pl

from daypart.features.business_day import business_date
from daypart.features.signals import events
from daypart.features.signals.labor import SCHEDULED
from daypart.features.tables.schemas import TABLES
from daypart.flows.lake.lake import Lake

OBSERVED_WEATHER = "Weather as observed: these figures are hindsight, no forecast could have reached them."
STORE_DAY = ["store_id", "date"]


def undated_notice(lake: Lake, versions: Mapping[str, int], scored: pl.DataFrame) -> str | None:
    """Return a sentence with the share of scored store-days that undated rows touch, by table; null where none does.

    `scored` are the rows of a backtest, of which those with an actual count. A store-day counts once an origin and
    target. Rows without `known_on` are taken as known ahead, so that an origin of the past may see what was only
    written down later.
    """
    days = scored.filter(pl.col("actual").is_not_null()).select(
        "target", "origin_date", "store_id", date="business_date"
    )
    days = days.unique()
    if days.is_empty():
        return None
    shares = {
        table: days.join(touched, on=STORE_DAY, how="semi").height / days.height
        for table, touched in _undated_days(lake, versions, days).items()
    }
    parts = [f"{share:.1%} have undated {table}" for table, share in shares.items() if share > 0]
    if not parts:
        return None
    return f"Of the store-days scored, {', '.join(parts)}: give known_on to rule out hindsight there."


def _undated_days(lake: Lake, versions: Mapping[str, int], days: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """By table, one row per store and date that a row without `known_on` touches."""

    def undated(table: str) -> pl.LazyFrame:
        has_version = table in versions
        rows = lake.scan(table, versions[table]) if has_version else pl.LazyFrame(schema=TABLES[table].schema)
        return rows.filter(pl.col("known_on").is_null())

    schedule = undated("labor").filter(pl.col(SCHEDULED).is_not_null())
    stores = lake.scan("stores", versions["stores"]).collect()
    labor = schedule.select("store_id", date=business_date(stores)).unique().collect()
    closures = undated("closures").select(STORE_DAY).unique().collect()
    first, last = days.select(first=pl.col("date").min(), last=pl.col("date").max()).row(0)
    passing = events.event_days(undated("events").collect(), stores, first, last)
    return {"labor": labor, "closures": closures, "events": events.busy_days(passing)}
