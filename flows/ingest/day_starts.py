"""When the business day of each store starts: learned from its hours and demand, and kept in the stores table."""

from datetime import timedelta
from typing import Any

import polars as pl

from daypart.features.history.last_days import named_stores
from daypart.features.history.trading_hours import EVIDENCE_DAYS, learned_day_starts
from daypart.features.tables.schemas import TABLES
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake

MAX_LISTED_STORES = 5
"""How many stores a line names."""


def settle(lake: Lake, default: int | None = None) -> list[str]:
    """Give every store that trades past midnight a `day_starts`; return lines that say what changed.

    A value in the stores table stays; other stores get `default` (the chain's setting) or, without one, what their
    hours and demand say. A store that starts its day at midnight keeps an empty cell, so that it is looked at again
    when more comes in. Repeating it changes nothing. A store that trades across the start of its day is named.
    """
    if not lake.exists("stores") or not (lake.exists("demand") or lake.exists("hours")):
        return []
    stores = lake.scan("stores").collect()
    if "day_starts" not in stores.columns:
        stores = stores.with_columns(day_starts=pl.lit(None, TABLES["stores"]["day_starts"].dtype))
    learned = learned_day_starts(lake.scan_or_empty("hours").collect(), _recent(lake)).rename({"day_starts": "learned"})
    rows = stores.join(learned, on="store_id", how="left")
    start = pl.col("learned") if default is None else pl.lit(default, pl.Int8)
    new = rows.filter(pl.col("day_starts").is_null(), start > 0).with_columns(day_starts=start.cast(pl.Int8))
    if new.height:
        lake.upsert("stores", new.select(stores.columns))
    late = rows.filter(pl.col("day_starts") > 0, pl.col("learned") > pl.col("day_starts"))
    return [*_started(new), *_crossed(late)]


def _recent(lake: Lake) -> pl.DataFrame:
    """Return the demand of the last weeks of all stores: store_id, hour_local, amount."""
    if not lake.exists("demand"):
        return pl.DataFrame(schema={"store_id": pl.String, "hour_local": pl.Datetime("us"), "amount": pl.Float64})
    chain = Chain.newest(lake)
    rows, end = chain.scan_demand(), chain.last_days.chain_on
    if end is not None:
        rows = rows.filter(pl.col("hour_local") >= pl.lit(end, pl.Datetime("us")) - timedelta(days=EVIDENCE_DAYS + 14))
    return rows.select("store_id", "hour_local", amount=pl.coalesce("orders", "sales").cast(pl.Float64)).collect()


def _started(stores: pl.DataFrame) -> list[str]:
    lines = []
    for hour, ids in _by(stores, "day_starts"):
        verb = "trades" if len(ids) == 1 else "trade"
        start = f"the business day starts at {hour:02d}:00 (column day_starts of stores)"
        lines.append(f"{named_stores(ids, MAX_LISTED_STORES)} {verb} past midnight: {start}")
    return lines


def _crossed(stores: pl.DataFrame) -> list[str]:
    return [
        f"{named_stores(ids, MAX_LISTED_STORES)}: the business day starts at {hour:02d}:00, in the middle of trade: "
        f"ingest stores with day_starts {learned}"
        for hour, learned, ids in _by(stores, "day_starts", "learned")
    ]


def _by(stores: pl.DataFrame, *names: str) -> list[tuple[Any, ...]]:
    """Return the values of some columns, and the ids of the stores that share them, in their order."""
    return stores.sort("store_id").group_by(names).agg("store_id").sort(names).rows()
