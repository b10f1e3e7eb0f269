"""Promotions, local events and price rises: their dates, when they were known, and their effect on demand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from daypart.features.simulator.noise import Array, Index, stream
from daypart.features.simulator.places import REGIONS
from daypart.features.simulator.spec import ChainSpec
from daypart.features.tables.schemas import EVENTS


@dataclass(frozen=True)
class Offer:
    """A named event: factors on orders by daypart (other, breakfast, lunch, dinner) and on sales an order."""

    name: str
    orders: tuple[float, float, float, float]
    ticket: float = 1.0


PROMOTIONS = (
    Offer("10% off", (1.12, 1.12, 1.12, 1.12), 0.98),
    Offer("20% off", (1.22, 1.22, 1.22, 1.22), 0.97),
    Offer("30% off", (1.33, 1.33, 1.33, 1.33), 0.95),
    Offer("free coffee with breakfast", (1.05, 1.38, 1.08, 1.0), 0.98),
    Offer("lunch combo", (1.0, 1.0, 1.38, 1.12), 1.02),
    Offer("dinner for two", (1.12, 1.0, 1.05, 1.38), 1.05),
)
LOCAL_EVENTS = (
    Offer("street festival", (1.45, 1.45, 1.45, 1.45)),
    Offer("concert", (1.5, 1.05, 1.1, 1.6)),
    Offer("market day", (1.1, 1.55, 1.5, 1.15)),
)
PRICE_RISES = (Offer("price rise", (0.99, 0.99, 0.99, 0.99), 1.06),)


@dataclass(frozen=True)
class Spells:
    """Runs of days, (rows, runs): first day from the start, number of days, index of the offer, days of notice."""

    first: Index
    days: Index
    offer: Index
    notice: Index


@dataclass(frozen=True)
class SpellRanges:
    """Ranges that spells are drawn from, both ends included: days between runs and days in a run.

    `offers` is the number of offers that a run may have.
    """

    gaps: tuple[int, int]
    lengths: tuple[int, int]
    offers: int


PROMOTION_SPELLS = SpellRanges(gaps=(13, 35), lengths=(4, 10), offers=len(PROMOTIONS))
CHAIN_PROMOTION_SPELLS = SpellRanges(gaps=(50, 100), lengths=(4, 8), offers=len(PROMOTIONS))
PRICE_RISE_SPELLS = SpellRanges(gaps=(110, 200), lengths=(1, 1), offers=1)
LOCAL_EVENT_SPELLS = SpellRanges(gaps=(10, 40), lengths=(1, 1), offers=len(LOCAL_EVENTS))


def draw_spells(rng: np.random.Generator, rows: int, span: int, ranges: SpellRanges) -> Spells:
    """Return for each row runs with gaps and lengths drawn evenly from their ranges, over `span` days.

    A row's runs do not depend on how many rows there are, and runs of a row never overlap.
    """
    gaps, lengths = ranges.gaps, ranges.lengths
    luck = rng.random((rows, span // (gaps[0] + lengths[0]) + 2, 4))

    def draw(column: int, low: int, high: int) -> Index:
        return (low + np.floor(luck[:, :, column] * (high - low + 1))).astype(np.int64)

    days, gap = draw(1, *lengths), draw(0, *gaps)
    # The first gap is cut short at random, else every row would wait the same shortest time.
    gap[:, 0] = np.floor(gap[:, 0] * luck[:, 0, 3])
    first = np.cumsum(gap + days, axis=1) - days
    return Spells(first, days, draw(2, 0, ranges.offers - 1), draw(3, 18, 25))


def daily_effects(spells: Spells, effects: Array, days: int) -> Array:
    """Return the sum of the offers' effects (offers, k) on each day: (rows, days, k)."""
    steps = np.zeros((spells.first.shape[0], days + 1, effects.shape[1]))
    row = np.arange(spells.first.shape[0])[:, None]
    np.add.at(steps, (row, np.minimum(spells.first, days)), effects[spells.offer])
    np.add.at(steps, (row, np.minimum(spells.first + spells.days, days)), -effects[spells.offer])
    return np.cumsum(steps, axis=1)[:, :days]


@dataclass(frozen=True)
class ChainEvents:
    """The canonical events and their effects: promotions and price rises of regions, local events of stores.

    Effects are on the log of orders, (regions, days, dayparts), and of sales an order, (regions, days).
    """

    region_table: pl.DataFrame
    store_table: pl.DataFrame
    region_orders: Array
    region_ticket: Array
    stores: Spells


def draw_events(spec: ChainSpec) -> ChainEvents:
    """Return all events of the chain; everything that touches its span and horizon is known before its end."""
    days, regions = spec.all_days, len(REGIONS)
    promotions = draw_spells(stream(spec.seed, "promotions"), regions, days, PROMOTION_SPELLS)
    chain = draw_spells(stream(spec.seed, "chain promotions"), 1, days, CHAIN_PROMOTION_SPELLS)
    prices = draw_spells(stream(spec.seed, "prices"), regions, days, PRICE_RISE_SPELLS)
    local = draw_spells(stream(spec.seed, "local events"), spec.stores, days, LOCAL_EVENT_SPELLS)
    passing = daily_effects(promotions, _logs(PROMOTIONS), days) + daily_effects(chain, _logs(PROMOTIONS), days)
    lasting = np.cumsum(daily_effects(prices, _logs(PRICE_RISES), days), axis=1)
    effects = passing + lasting
    frames = (
        _event_rows(spec, promotions, PROMOTIONS, "promotion", region=REGIONS),
        _event_rows(spec, chain, PROMOTIONS, "promotion"),
        _event_rows(spec, prices, PRICE_RISES, "price", region=REGIONS),
    )
    return ChainEvents(
        pl.concat(frames),
        _event_rows(spec, local, LOCAL_EVENTS, "local event", store_id=spec.store_ids),
        effects[:, :, :4],
        effects[:, :, 4],
        local,
    )


def local_orders(spec: ChainSpec, spells: Spells, stores: slice) -> Array:
    """Return the effect of local events on the log of orders of some stores, (stores, days, dayparts)."""
    parts = (spells.first, spells.days, spells.offer, spells.notice)
    return daily_effects(Spells(*(part[stores] for part in parts)), _logs(LOCAL_EVENTS), spec.all_days)[:, :, :4]


def _logs(offers: Sequence[Offer]) -> Array:
    return np.log([[*offer.orders, offer.ticket] for offer in offers])


def _event_rows(
    spec: ChainSpec, spells: Spells, offers: Sequence[Offer], kind: str, **touched: Sequence[str]
) -> pl.DataFrame:
    """Return the canonical rows of the runs that begin within the span; a price rise is the day it takes effect."""
    row, run = np.nonzero(spells.first < spec.all_days)
    start = pl.lit(spec.start).cast(pl.Datetime("us"))
    names = np.array([offer.name for offer in offers])
    frame = pl.DataFrame(
        {
            "name": names[spells.offer[row, run]],
            "first": spells.first[row, run],
            "days": spells.days[row, run],
            "notice": spells.notice[row, run],
            **{column: np.array(values)[row] for column, values in touched.items()},
        }
    ).with_columns(starts_local=start + pl.duration(days=pl.col("first")))
    second = timedelta(seconds=1)
    rows = frame.with_columns(
        kind=pl.lit(kind),
        ends_local=pl.col("starts_local") + pl.duration(days=pl.col("days")) - second,
        known_on=pl.col("starts_local").dt.date() - pl.duration(days=pl.col("notice")),
        **{column: pl.lit(None) for column in ("store_id", "region") if column not in touched},
    )
    return rows.select(pl.col(column).cast(dtype) for column, dtype in EVENTS.schema.items())
