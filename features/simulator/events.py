"""Promotions, local events and price rises: when they come, when they were known, and what they do."""

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
    """Runs of days, (rows, runs): first day from the start, number of days, which offer, days of notice."""

    first: Index
    days: Index
    offer: Index
    notice: Index


def draw_spells(
    rng: np.random.Generator,
    rows: int,
    span: int,
    gaps: tuple[int, int],
    lengths: tuple[int, int],
    offers: int,
) -> Spells:
    """For each row runs with gaps and lengths drawn evenly from the ranges given, both ends included.

    A row's runs do not depend on how many rows there are, and runs of a row never overlap.
    """
    luck = rng.random((rows, span // (gaps[0] + lengths[0]) + 2, 4))

    def whole(column: int, low: int, high: int) -> Index:
        return (low + np.floor(luck[:, :, column] * (high - low + 1))).astype(np.int64)

    days, gap = whole(1, *lengths), whole(0, *gaps)
    # The first gap is cut short at random, else every row would wait the same shortest time.
    gap[:, 0] = np.floor(gap[:, 0] * luck[:, 0, 3])
    first = np.cumsum(gap + days, axis=1) - days
    return Spells(first, days, whole(2, 0, offers - 1), whole(3, 18, 25))


def daily(spells: Spells, effects: Array, days: int) -> Array:
    """Sum of the offers' effects (offers, k) on each day: (rows, days, k)."""
    steps = np.zeros((spells.first.shape[0], days + 1, effects.shape[1]))
    row = np.arange(spells.first.shape[0])[:, None]
    np.add.at(steps, (row, np.minimum(spells.first, days)), effects[spells.offer])
    np.add.at(steps, (row, np.minimum(spells.first + spells.days, days)), -effects[spells.offer])
    return np.cumsum(steps, axis=1)[:, :days]


@dataclass(frozen=True)
class Happenings:
    """The canonical events and what they do: promotions and price rises to regions, local events to stores.

    Effects are on the log of orders, (regions, days, dayparts), and of sales an order, (regions, days).
    """

    of_regions: pl.DataFrame
    of_stores: pl.DataFrame
    region_orders: Array
    region_ticket: Array
    stores: Spells


def happenings(spec: ChainSpec) -> Happenings:
    """All events of the chain; everything that touches its span and horizon is known before its end."""
    days, regions = spec.all_days, len(REGIONS)
    promotions = draw_spells(stream(spec.seed, "promotions"), regions, days, (13, 35), (4, 10), len(PROMOTIONS))
    chain = draw_spells(stream(spec.seed, "chain promotions"), 1, days, (50, 100), (4, 8), len(PROMOTIONS))
    prices = draw_spells(stream(spec.seed, "prices"), regions, days, (110, 200), (1, 1), 1)
    local = draw_spells(stream(spec.seed, "local events"), spec.stores, days, (10, 40), (1, 1), len(LOCAL_EVENTS))
    passing = daily(promotions, _logs(PROMOTIONS), days) + daily(chain, _logs(PROMOTIONS), days)
    lasting = np.cumsum(daily(prices, _logs(PRICE_RISES), days), axis=1)
    effects = passing + lasting
    frames = (
        _rows(spec, promotions, PROMOTIONS, "promotion", region=REGIONS),
        _rows(spec, chain, PROMOTIONS, "promotion"),
        _rows(spec, prices, PRICE_RISES, "price", region=REGIONS),
    )
    return Happenings(
        pl.concat(frames),
        _rows(spec, local, LOCAL_EVENTS, "local event", store_id=spec.store_ids),
        effects[:, :, :4],
        effects[:, :, 4],
        local,
    )


def local_orders(spec: ChainSpec, spells: Spells, stores: slice) -> Array:
    """Effect of local events on the log of orders of some stores, (stores, days, dayparts)."""
    parts = (spells.first, spells.days, spells.offer, spells.notice)
    return daily(Spells(*(part[stores] for part in parts)), _logs(LOCAL_EVENTS), spec.all_days)[:, :, :4]


def _logs(offers: Sequence[Offer]) -> Array:
    return np.log([[*offer.orders, offer.ticket] for offer in offers])


def _rows(
    spec: ChainSpec, spells: Spells, offers: Sequence[Offer], kind: str, **touched: Sequence[str]
) -> pl.DataFrame:
    """Canonical rows of the runs that begin within the span; a price rise is the day it takes hold."""
    row, run = np.nonzero(spells.first < spec.all_days)
    start = pl.lit(spec.start).cast(pl.Datetime("us"))
    names = np.array([offer.name for offer in offers])
    frame = pl.DataFrame(
        {
            "name": names[spells.offer[row, run]],
            "first": spells.first[row, run],
            "days": spells.days[row, run],
            "notice": spells.notice[row, run],
            **{column: np.array(of)[row] for column, of in touched.items()},
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
