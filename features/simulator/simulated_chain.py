"""A chain from a seed: its canonical tables, and the truth behind them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from daypart.features.simulator import demand, labor
from daypart.features.simulator.clocks import Clocks, read_clocks
from daypart.features.simulator.economy import economy
from daypart.features.simulator.events import draw_events
from daypart.features.simulator.faults import plant_faults
from daypart.features.simulator.noise import Array, Mask
from daypart.features.simulator.places import ZONE_OF_PLACE, ZONES
from daypart.features.simulator.spec import HORIZON_DAYS, ChainSpec
from daypart.features.simulator.stores import (
    StoreBlock,
    Stores,
    build_stores,
    closed_days,
    holiday_days,
    hours_table,
    open_hours,
)
from daypart.features.simulator.weather import FORECAST_HOURS, Issues, issue_forecasts, true_weather, weather_table
from daypart.features.tables.schemas import TABLES

BLOCK_ROWS = 1_750_000
"""Hours and weather of the stores in a block, about: 50 stores of three years with 28 days of issues."""


@dataclass(frozen=True)
class Chain:
    """A simulated chain.

    `tables`: every canonical table by name, as features.tables.schemas has it, holding only what was known at the end
    of the span. `truth`: one row per store and trading hour of the span and the 14 days beyond, with
    store_id, hour_local, hour_utc, orders_mean and sales_mean: the means given everything but the day's
    shocks and the draw itself, which a forecast can beat only by chance. `planted`: one row per fault and store,
    with store_id, fault, first, last (null = for good) and factor.
    """

    tables: dict[str, pl.DataFrame]
    truth: pl.DataFrame
    planted: pl.DataFrame


@dataclass(frozen=True)
class ChainPlan:
    """What all blocks of stores share."""

    spec: ChainSpec
    clocks: Clocks
    stores: Stores
    drivers: demand.Drivers
    shocks: Array
    issues: Issues
    closed: Mask
    closures: pl.DataFrame
    macro: pl.DataFrame
    planted: pl.DataFrame

    def block(self, chosen: slice) -> StoreBlock:
        """Return the stores of a slice."""
        return StoreBlock(self.spec, self.clocks, self.stores, chosen)


def simulate(spec: ChainSpec) -> Chain:
    """Return the whole chain at once; equal specs give equal bits."""
    blocks = list(simulate_blocks(spec))
    return Chain(
        {name: pl.concat(block.tables[name] for block in blocks) for name in TABLES},
        pl.concat(block.truth for block in blocks),
        pl.concat(block.planted for block in blocks),
    )


def simulate_blocks(spec: ChainSpec, block_stores: int | None = None) -> Iterator[Chain]:
    """Yield the chain in blocks of stores, in bounded memory; concatenated they are `simulate(spec)`.

    Rows that belong to no store (macro, events of regions and chain) come with the first block. By default a
    block holds fewer stores the more rows each of them has.
    """
    plan = _plan(spec)
    observed_days = spec.days if spec.observed_days is None else spec.observed_days
    store_rows = 24 * (spec.all_days + observed_days) + spec.issues_days * HORIZON_DAYS * FORECAST_HOURS.size
    block_stores = block_stores or max(1, BLOCK_ROWS // store_rows)
    for first in range(0, spec.stores, block_stores):
        yield _block(plan, slice(first, min(first + block_stores, spec.stores)))


def _plan(spec: ChainSpec) -> ChainPlan:
    clocks = read_clocks(spec.start, spec.all_days, ZONES)
    stores = build_stores(spec)
    holidays = holiday_days(spec, clocks)
    closures, closed = closed_days(spec, stores, holidays)
    latent, weather = true_weather(spec, clocks)
    macro, effect = economy(spec)
    pushed = demand.weather_effect(weather, clocks.hour[ZONE_OF_PLACE])
    drivers = demand.Drivers(weather, pushed, effect, holidays, draw_events(spec), demand.region_wander(spec))
    shocks, issues = demand.day_shocks(spec, stores), issue_forecasts(spec, clocks, latent)
    faults = plant_faults(spec.faults, spec.seed, spec.store_ids, clocks.dates[spec.days - 1])
    return ChainPlan(spec, clocks, stores, drivers, shocks, issues, closed, closures, macro, faults)


def _block(plan: ChainPlan, chosen: slice) -> Chain:
    block = plan.block(chosen)
    ids = block.store_ids
    traded, truth, labor_rows = _hourly_tables(plan, block)
    shared = chosen.start == 0
    events, macro = plan.drivers.events, plan.macro
    store_events = _rows_of(events.store_table, ids)
    tables = {
        "stores": _rows_of(plan.stores.table, ids),
        "demand": _arrived_rows(traded, plan.planted),
        "hours": _rows_of(hours_table(plan.spec, plan.stores), ids),
        "closures": _rows_of(plan.closures, ids),
        "weather": weather_table(block, plan.drivers.weather, plan.issues),
        "macro": macro if shared else macro.clear(),
        "labor": labor_rows,
        "events": pl.concat([events.region_table, store_events]) if shared else store_events,
    }
    return Chain(tables, truth, _rows_of(plan.planted, ids))


def _hourly_tables(plan: ChainPlan, block: StoreBlock) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return the block's trade, truth and labor."""
    spec, clocks = plan.spec, plan.clocks
    zone = ZONE_OF_PLACE[block.place]
    open_now = open_hours(block, plan.closed)
    means = demand.true_means(block, plan.drivers, plan.planted)
    orders, sales = demand.draw_trade(block, means, plan.shocks, open_now)
    scheduled = labor.scheduled_hours(means.usual)
    columns: dict[str, Array | Mask] = {
        "orders": orders,
        "sales": sales,
        "orders_mean": means.orders,
        "sales_mean": means.orders * means.ticket,
        "scheduled_hours": scheduled,
        "worked_hours": labor.worked_hours(spec, scheduled, means.usual, orders, block.chosen),
        "hourly_wage": labor.hourly_wage(clocks.day)[zone],
        "past": (clocks.day < spec.days)[zone],
    }
    hours = _hour_rows(block, open_now, columns)
    key, past = ("store_id", "hour_local", "hour_utc"), pl.col("past")
    return (
        hours.filter(past & (pl.col("orders") > 0)).select(*key, "orders", "sales"),
        hours.select(*key, "orders_mean", "sales_mean"),
        hours.select(
            *key,
            "scheduled_hours",
            pl.when(past).then("worked_hours").alias("worked_hours"),
            "hourly_wage",
            known_on=pl.lit(None, pl.Date),
        ),
    )


def _hour_rows(block: StoreBlock, where: Mask, values: Mapping[str, Array | Mask]) -> pl.DataFrame:
    """Return one row per store and hour that is marked, in their order."""
    zone, clocks = ZONE_OF_PLACE[block.place], block.clocks
    row = np.repeat(np.arange(zone.size), where.sum(axis=1))
    return pl.DataFrame(
        {
            "store_id": pl.Series(block.store_ids).gather(row),
            "hour_local": clocks.local[zone][where],
            "hour_utc": np.broadcast_to(clocks.utc, where.shape)[where],
            **{name: value[where] for name, value in values.items()},
        }
    )


def _arrived_rows(traded: pl.DataFrame, faults: pl.DataFrame) -> pl.DataFrame:
    """Return the demand that reached the tables, without the rows that an outage or late data holds back."""
    missing = faults.filter(pl.col("fault").is_in(["outage", "late data"])).select("store_id", "first", "last")
    if missing.is_empty():
        return traded
    keyed = traded.select("store_id", "hour_utc", date=pl.col("hour_local").dt.date())
    missing_rows = keyed.join(missing, on="store_id").filter(pl.col("date").is_between("first", "last"))
    return traded.join(missing_rows, on=["store_id", "hour_utc"], how="anti", maintain_order="left")


def _rows_of(frame: pl.DataFrame, ids: list[str]) -> pl.DataFrame:
    return frame.filter(pl.col("store_id").is_in(ids))
