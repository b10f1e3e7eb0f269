"""The true mean of every store-hour, and the orders and sales drawn about it."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from daypart.features.simulator.clocks import Clocks
from daypart.features.simulator.events import ChainEvents, local_orders
from daypart.features.simulator.noise import Array, Index, Mask, gaussian_paths, stream
from daypart.features.simulator.places import DAYPART_OF_HOUR, FORMATS, REGION_OF_PLACE, REGIONS, ZONE_OF_PLACE
from daypart.features.simulator.spec import ChainSpec
from daypart.features.simulator.stores import HolidayDays, StoreBlock, Stores
from daypart.features.simulator.weather import Measures

WANDER_SD, WANDER_DAYS = 0.05, 45
REGION_DAY_SD, STORE_DAY_SD = 0.025, 0.03
PAYDAYS = {
    **{1: 0.09, 2: 0.09, 3: 0.06, 15: 0.09, 16: 0.09, 17: 0.06},
    **{26: -0.05, 27: -0.07, 28: -0.08, 29: -0.08, 30: -0.04},
}
"""Effect on log demand by day of the month: wages come on the 1st and the 15th."""

RAIN = np.array([0.18, 0.20, 0.38, 0.34])
SNOW = np.array([0.20, 0.25, 0.40, 0.40])
HEAT = np.array([0.000, 0.004, 0.018, 0.014])
WARMTH = np.array([0.005, -0.004, 0.009, 0.012])
"""By daypart, what log demand loses in steady rain, in steady snow and a degree above 28 C, and what it gains
a degree from 0 to 24 C."""

DAYLIGHT = np.array([0.04, -0.05, 0.02, 0.10])
"""Height by daypart of the yearly wave of log demand that peaks with the longest day."""

DAYPART_TICKET = np.array([0.9, 0.8, 1.05, 1.2])
TICKET_SHAPE = 5.0
"""Shape of the gamma distribution of one ticket's value: a coefficient of variation of 45%."""


def weather_effect(measures: Measures, hour: Index) -> Array:
    """Return the effect of the weather at these local hours on the log of orders of a fully exposed store."""
    part = DAYPART_OF_HOUR[hour]
    temperature = measures["temperature_c"]
    snowing = 1 - np.exp(-measures["snowfall_cm"] / 0.5)
    raining = 1 - np.exp(-np.maximum(measures["precipitation_mm"] - measures["snowfall_cm"], 0) / 0.6)
    warmth = WARMTH[part] * (np.clip(temperature, 0, 24) - 12)
    losses = RAIN[part] * raining + SNOW[part] * snowing + HEAT[part] * np.maximum(temperature - 28, 0)
    return np.asarray(warmth - losses)


@dataclass(frozen=True)
class Drivers:
    """What moves the demand of all stores.

    These are weather and its full effect on the log of orders (places, hours), the economy (days,), holidays, events
    and the slow movement of regions (regions, days).
    """

    weather: Measures
    weather_orders: Array
    economy: Array
    holidays: HolidayDays
    events: ChainEvents
    wander: Array


def region_wander(spec: ChainSpec) -> Array:
    """Return the slow movement of the log level of each region, (regions, days)."""
    walks = gaussian_paths(stream(spec.seed, "wander"), len(REGIONS), spec.all_days, WANDER_DAYS, order=2)
    return WANDER_SD * walks


@dataclass(frozen=True)
class Means:
    """True means of some stores in every hour of the grid, (stores, hours), as if always open.

    `ticket` is sales an order; `usual` is what a planner would expect weeks ahead, without weather, events,
    slow wander and faults.
    """

    orders: Array
    ticket: Array
    usual: Array


def true_means(block: StoreBlock, drivers: Drivers, planted_faults: pl.DataFrame) -> Means:
    """Return the means of the block's stores, planted drifts included."""
    spec, clocks, stores, chosen = block.spec, block.clocks, block.stores, block.chosen
    place = block.place
    zone, row = ZONE_OF_PLACE[place], np.arange(place.size)[:, None]
    day, hour = np.clip(clocks.day[zone], 0, spec.all_days - 1), clocks.hour[zone]
    calendar_level = _calendar_level(block, drivers.holidays)
    region = REGION_OF_PLACE[place]
    level = calendar_level + drivers.wander[region] + drivers.economy + _drift_effect(block, planted_faults)
    events = drivers.events.region_orders[region] + local_orders(spec, drivers.events.stores, chosen)
    by_day = level[..., None] + _daylight(clocks) + events
    exposure = np.array([[FORMATS[item].exposure] for item in stores.format[chosen]])
    moved = by_day[row, day, DAYPART_OF_HOUR[hour]] + exposure * drivers.weather_orders[place]
    week = stores.week[chosen][row, (spec.start.weekday() + day) % 7, hour]
    ticket = _mean_ticket(stores, drivers.events, chosen, day, hour)
    return Means(week * np.exp(moved), ticket, week * np.exp(calendar_level)[row, day])


def _calendar_level(block: StoreBlock, holidays: HolidayDays) -> Array:
    """Return the effect of the calendar and of each store's trend on the log of its orders, (stores, days)."""
    level = _season(block.clocks)[block.stores.format[block.chosen]]
    level += block.stores.trend[block.chosen, None] * np.arange(block.spec.all_days) / 365.25
    level += np.log(holidays.orders[block.place])
    level += np.array([PAYDAYS.get(day.day, 0.0) for day in block.clocks.dates])
    return level


def _season(clocks: Clocks) -> Array:
    """Return the formats' yearly and half-yearly waves, (formats, days)."""
    day = _days_of_year(clocks)
    waves = [
        high * np.cos(2 * np.pi * (day - peak) / 365.25) + second * np.cos(4 * np.pi * (day - other) / 365.25)
        for high, peak, second, other in (item.season for item in FORMATS)
    ]
    return np.array(waves)


def _daylight(clocks: Clocks) -> Array:
    """Return the effect of the length of the day on the dayparts, (days, dayparts)."""
    return np.outer(np.cos(2 * np.pi * (_days_of_year(clocks) - 172) / 365.25), DAYLIGHT)


def _days_of_year(clocks: Clocks) -> Index:
    return np.array([item.timetuple().tm_yday for item in clocks.dates])


def _drift_effect(block: StoreBlock, planted_faults: pl.DataFrame) -> Array:
    """Return the effect of planted drifts on the log of orders, (stores, days)."""
    spec, store_ids = block.spec, block.store_ids
    effect = np.zeros((len(store_ids), spec.all_days))
    hit = planted_faults.filter(pl.col("fault") == "drift", pl.col("store_id").is_in(store_ids))
    for store_id, first, factor in hit.select("store_id", "first", "factor").iter_rows():
        effect[store_ids.index(store_id), max((first - spec.start).days, 0) :] += np.log(factor)
    return effect


def _mean_ticket(stores: Stores, events: ChainEvents, chosen: slice, day: Index, hour: Index) -> Array:
    """Return the true mean sales an order: the store's, by daypart, after promotions and price rises."""
    region = REGION_OF_PLACE[stores.place[chosen]][:, None]
    moved = np.exp(events.region_ticket)[region, day]
    return np.asarray(stores.ticket[chosen, None] * DAYPART_TICKET[DAYPART_OF_HOUR[hour]] * moved)


def day_shocks(spec: ChainSpec, stores: Stores) -> Array:
    """Return a factor of mean 1 on the orders of each store's day, shared by its region in part, (stores, days)."""
    shared = stream(spec.seed, "region days").standard_normal((len(REGIONS), spec.all_days))
    store_noise = stream(spec.seed, "store days").standard_normal((spec.stores, spec.all_days))
    logs = REGION_DAY_SD * shared[REGION_OF_PLACE[stores.place]] + STORE_DAY_SD * store_noise
    return np.asarray(np.exp(logs - 0.5 * (REGION_DAY_SD**2 + STORE_DAY_SD**2)))


def draw_trade(block: StoreBlock, means: Means, shocks: Array, open_now: Mask) -> tuple[Array, Array]:
    """Return orders and sales drawn about their means, (stores, hours), 0 where closed.

    Orders are Poisson about mean x shock of the day; sales are the sum of as many gamma tickets. Each store
    draws from its own streams, so a change of one store changes no bit of another.
    """
    spec = block.spec
    day = np.clip(block.clocks.day[ZONE_OF_PLACE[block.place]], 0, spec.all_days - 1)
    shock = shocks[block.chosen][np.arange(day.shape[0])[:, None], day]
    shocked = np.where(open_now, means.orders * shock, 0.0)
    counts, takings = np.empty_like(shocked), np.empty_like(shocked)
    for row, item in enumerate(range(spec.stores)[block.chosen]):
        counts[row] = stream(spec.seed, "orders", item).poisson(shocked[row])
        takings[row] = stream(spec.seed, "tickets", item).standard_gamma(counts[row] * TICKET_SHAPE)
    return counts, np.round(takings * means.ticket / TICKET_SHAPE, 2)
