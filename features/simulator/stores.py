"""The stores: their places, trading hours, size and mean week."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from daypart.features.signals.calendar import public_holidays
from daypart.features.simulator.clocks import Clocks
from daypart.features.simulator.events import SpellRanges, draw_spells
from daypart.features.simulator.noise import Array, Index, Mask, stream
from daypart.features.simulator.places import FORMATS, PLACES, ZONE_OF_PLACE
from daypart.features.simulator.spec import ChainSpec
from daypart.features.tables.schemas import CLOSURES, HOURS, STORES

REFIT_SPELLS = SpellRanges(gaps=(300, 2500), lengths=(3, 7), offers=1)
"""Runs of days on which a store is closed for a refit."""

OPENED_SHARE = 0.12
"""Share of the stores that open during the span."""

CLOSED_HOLIDAYS = frozenset({("US", "Thanksgiving Day"), ("US", "Christmas Day"), ("CA", "Christmas Day")})
HOLIDAY_ORDERS = {
    "New Year's Day": 0.6, "Thanksgiving Day": 0.75, "Independence Day": 0.7, "Canada Day": 0.8,
    "Labor Day": 0.8, "Memorial Day": 0.8, "Good Friday": 0.85, "Victoria Day": 0.85, "Family Day": 0.9,
    "Boxing Day": 0.75, "Day After Thanksgiving": 1.25, "Friday After Thanksgiving": 1.25,
    "Columbus Day": 1.08, "Veterans Day": 1.08, "Remembrance Day": 0.9, "Martin Luther King Jr. Day": 1.06,
}  # fmt: skip
OTHER_HOLIDAY = 0.95
EVE_ORDERS = 1.15
"""Factor of the day before a holiday on which the stores are closed."""


@dataclass(frozen=True)
class Stores:
    """All stores: the canonical table, and by store its place, format, draws and first day from the start.

    `week` is the mean orders of an ordinary hour, (stores, 7, 24), whether open or not.
    """

    table: pl.DataFrame
    place: Index
    format: Index
    opened: Index
    trend: Array
    ticket: Array
    week: Array


@dataclass(frozen=True)
class StoreBlock:
    """Some stores of a chain: those of the slice `chosen`, and what all blocks share."""

    spec: ChainSpec
    clocks: Clocks
    stores: Stores
    chosen: slice

    @property
    def store_ids(self) -> list[str]:
        """Ids of the block's stores."""
        return self.spec.store_ids[self.chosen]

    @property
    def place(self) -> Index:
        """Index of each store's place."""
        return self.stores.place[self.chosen]


def build_stores(spec: ChainSpec) -> Stores:
    """Return the stores of the chain. A store's draws do not depend on how many stores there are."""
    index = np.arange(spec.stores)
    place, kind = index % len(PLACES), index % len(FORMATS)
    luck = stream(spec.seed, "stores").standard_normal((spec.stores, 24))
    chance = stream(spec.seed, "openings").random((spec.stores, 3))
    late = chance[:, 0] < OPENED_SHARE
    opened = np.where(late, spec.days * (0.2 + 0.4 * chance[:, 1]), -400 - 4000 * chance[:, 2]).astype(np.int64)
    country = np.array([item.country for item in PLACES])[place]
    ticket = np.where(country == "CA", 15.5, 12.0) * np.exp(0.1 * luck[:, 0])
    table = _table(spec, place, kind, opened, luck)
    return Stores(table, place, kind, opened, 0.04 * luck[:, 3], ticket, _week(kind, luck))


def _table(spec: ChainSpec, place: Index, kind: Index, opened: Index, luck: Array) -> pl.DataFrame:
    cities = pl.DataFrame(PLACES)[place]
    table = cities.with_columns(
        store_id=pl.Series(spec.store_ids),
        format=pl.Series([FORMATS[item].name for item in kind]),
        opened_on=pl.Series([spec.start + timedelta(days=int(day)) for day in opened]),
        latitude=(pl.col("latitude") + pl.Series(0.05 * luck[:, 1])).round(4),
        longitude=(pl.col("longitude") + pl.Series(0.05 * luck[:, 2])).round(4),
        closed_on=pl.lit(None),
        day_starts=pl.lit(None),
        currency=pl.when(pl.col("country") == "CA").then(pl.lit("CAD")).otherwise(pl.lit("USD")),
    ).with_columns(name=pl.format("{} {}", "city", "store_id"))
    return table.select(pl.col(column).cast(dtype) for column, dtype in STORES.schema.items())


def _week(kind: Index, luck: Array) -> Array:
    """Return mean orders as three bumps a day: breakfast (an hour later at the weekend), lunch and dinner."""
    formats = [FORMATS[item] for item in kind]
    weights = np.array([item.weights for item in formats]) * np.exp(0.12 * luck[:, 4:7])
    peaks = np.array([8.0, 12.4, 18.2]) + 0.4 * luck[:, 7:10]
    widths = np.array([1.5, 1.4, 1.9])
    later = np.outer([0, 0, 0, 0, 0, 1, 1], [1.0, 0.2, 0.0])
    away = np.arange(24) - (peaks[:, None, :] + later)[..., None]
    bumps = np.sum(weights[:, None, :, None] * np.exp(-0.5 * (away / widths[:, None]) ** 2), axis=2)
    days = np.array([item.week for item in formats]) * np.exp(0.05 * luck[:, 10:17])
    size = np.array([item.busy_orders for item in formats]) * np.exp(0.2 * luck[:, 17])
    quiet = np.array([item.quiet for item in formats])
    return np.asarray(size[:, None, None] * days[:, :, None] * (quiet[:, None, None] + bumps))


def hours_table(spec: ChainSpec, stores: Stores) -> pl.DataFrame:
    """Return the canonical hours: seven rows a store, always valid."""
    frame = pl.DataFrame(
        {
            "store_id": np.repeat(spec.store_ids, 7),
            "weekday": np.tile(np.arange(1, 8), spec.stores),
            "opens": np.repeat([FORMATS[item].opens for item in stores.format], 7),
            "closes": np.repeat([FORMATS[item].closes for item in stores.format], 7),
        }
    ).with_columns(valid_from=pl.lit(None), valid_to=pl.lit(None))
    return frame.select(pl.col(column).cast(dtype) for column, dtype in HOURS.schema.items())


@dataclass(frozen=True)
class HolidayDays:
    """The effect of holidays on each place: factor on orders, and whether its stores are closed, (places, days)."""

    orders: Array
    closed: Mask


def holiday_days(spec: ChainSpec, clocks: Clocks) -> HolidayDays:
    """Return public holidays at each place; a substitute for a closed holiday has the effect of an ordinary one."""
    last = clocks.dates[-1] + timedelta(days=1)
    places = pl.DataFrame(PLACES).with_row_index("store_id")
    orders, closed = np.ones((len(PLACES), spec.all_days)), np.zeros((len(PLACES), spec.all_days), dtype=bool)
    for place, day, name in public_holidays(places, spec.start, last).iter_rows():
        step = (day - spec.start).days
        shut = (PLACES[place].country, name) in CLOSED_HOLIDAYS and not _is_substitute(name, day)
        if shut and step > 0:
            orders[place, step - 1] *= EVE_ORDERS
        if step < spec.all_days:
            closed[place, step] |= shut
            orders[place, step] *= HOLIDAY_ORDERS.get(name, OTHER_HOLIDAY)
    return HolidayDays(orders, closed)


def _is_substitute(name: str, day: date) -> bool:
    return name == "Christmas Day" and day.day != 25


def closed_days(spec: ChainSpec, stores: Stores, holidays: HolidayDays) -> tuple[pl.DataFrame, Mask]:
    """Return the canonical closures, and whether a store is closed on a business day, (stores, days).

    A day before the store opened is closed but has no row.
    """
    refits = draw_spells(stream(spec.seed, "refits"), spec.stores, spec.all_days, REFIT_SPELLS)
    days, refit = np.arange(spec.all_days), np.zeros((spec.stores, spec.all_days), dtype=bool)
    for first, length in zip(refits.first.T[..., None], refits.days.T[..., None], strict=True):
        refit |= (days >= first) & (days < first + length)
    holiday = holidays.closed[stores.place]
    opened = days >= stores.opened[:, None]
    store, day = np.nonzero((refit | holiday) & opened)
    frame = pl.DataFrame(
        {
            "store_id": np.array(spec.store_ids)[store],
            "date": np.datetime64(spec.start, "D") + day,
            "reason": np.where(holiday[store, day], "public holiday", "refit"),
        }
    ).with_columns(from_hour=pl.lit(None), to_hour=pl.lit(None), known_on=pl.lit(None))
    table = frame.select(pl.col(column).cast(dtype) for column, dtype in CLOSURES.schema.items())
    return table, refit | holiday | ~opened


def open_hours(block: StoreBlock, closed: Mask) -> Mask:
    """Return whether a store trades in an hour of the grid, (stores, hours).

    Trade after midnight belongs to the day on which it opened, as does its closure.
    """
    clocks, stores, chosen = block.clocks, block.stores, block.chosen
    formats = [FORMATS[item] for item in stores.format[chosen]]
    opens = np.array([int(item.opens[:2]) for item in formats])[:, None]
    closes = np.array([int(item.closes[:2]) for item in formats])[:, None]
    closes = np.where(closes <= opens, closes + 24, closes)
    zone = ZONE_OF_PLACE[block.place]
    day, hour, inside = clocks.day[zone], clocks.hour[zone], clocks.inside[zone]
    # One column before the first day: the trade after midnight of the day before the span.
    shut = np.concatenate([stores.opened[chosen, None] >= 0, closed[chosen]], axis=1)
    row = np.arange(opens.size)[:, None]
    today = (hour >= opens) & (hour < closes) & ~shut[row, np.clip(day + 1, 0, closed.shape[1])]
    before = (hour + 24 < closes) & (hour + 24 >= opens) & ~shut[row, np.clip(day, 0, closed.shape[1])]
    return np.asarray(inside & (today | before))
