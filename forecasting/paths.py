"""Paths of ranks: how what rolling-origin forecasts missed by goes together over hours, days and stores."""

from dataclasses import dataclass
from io import BytesIO
from typing import Self
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.matrix import HORIZON_DAYS
from forecasting.bands import Bands, scaled

Ranks = NDArray[np.uint8]

STEPS = 256
HOURS = 24
MOST_STORES = 100
MOST_ORIGINS = 56
DRAWS = 300
WEEK = 7
STEP_LEVELS = (np.arange(STEPS) + 0.5) / STEPS
"""The level of each rank."""


@dataclass(frozen=True)
class Paths:
    """For stores and origins of the evidence, where what came lay in its hour's marginal: empirical copulas.

    `ranks` has the axes store (in the order of `store_ids`), origin, lead day and clock hour; rank r is the level
    (r + 1/2) / 256. An hour without evidence has the rank of one near it, and a store without any at an origin
    has another store's. Schaake shuffle: Clark et al. 2004, Schefzik et al. 2013.
    """

    store_ids: tuple[str, ...]
    ranks: Ranks

    @classmethod
    def of(cls, predictions: pl.DataFrame, bands: Bands) -> Self:
        """The paths of at most 100 stores, and of the latest 56 origins, of what `fit_bands` was given."""
        rows = scaled(predictions, bands.ratios).with_columns(
            origin=pl.col("date") - pl.duration(days=pl.col("lead_days")), rank=_rank()
        )
        ids = sorted(sorted(rows["store_id"].unique(), key=_drawn)[:MOST_STORES])
        origins = rows["origin"].unique().sort()[-MOST_ORIGINS:].to_list()
        rows = rows.filter(pl.col("store_id").is_in(ids), pl.col("origin").is_in(origins))
        # The hour that a clock shows twice has two: the greater stays.
        rows = rows.sort("rank")
        known = np.full((len(ids), len(origins), HORIZON_DAYS, HOURS), -1, dtype=np.int16)
        places = (
            rows["store_id"].replace_strict(ids, range(len(ids)), return_dtype=pl.Int64),
            rows["origin"].replace_strict(origins, range(len(origins)), return_dtype=pl.Int64),
            rows["lead_days"], rows["hour"],
        )  # fmt: skip
        known[tuple(place.to_numpy() for place in places)] = rows["rank"].to_numpy()
        return cls(tuple(ids), _filled(known))

    def whose(self, stores: pl.DataFrame) -> dict[str, int]:
        """Where to find the ranks of each store (columns: store_id, region): its own, or those of a fixed other one.

        The other one is of the same region, if there is one.
        """
        own = {name: at for at, name in enumerate(self.store_ids)}
        regions = dict(stores.select("store_id", "region").iter_rows())
        near: dict[str | None, list[int]] = {}
        for name, at in own.items():
            near.setdefault(regions.get(name), []).append(at)
        found = {}
        for name, region in regions.items():
            others = near.get(region) or list(own.values())
            found[name] = own.get(name, others[crc32(name.encode()) % len(others)])
        return found

    def to_parquet(self) -> bytes:
        """One row per store and origin: store_id and ranks, 14 x 24 bytes by lead day and clock hour."""
        file = BytesIO()
        origins = self.ranks.shape[1]
        ranks = [path.tobytes() for path in self.ranks.reshape(-1, HORIZON_DAYS * HOURS)]
        names = [name for name in self.store_ids for _ in range(origins)]
        pl.DataFrame({"store_id": names, "ranks": ranks}).write_parquet(file)
        return file.getvalue()

    @classmethod
    def from_parquet(cls, file: bytes) -> Self:
        """The paths that `to_parquet` wrote."""
        rows = pl.read_parquet(BytesIO(file))
        ids = tuple(rows["store_id"].unique(maintain_order=True))
        ranks = np.frombuffer(b"".join(rows["ranks"]), dtype=np.uint8)
        return cls(ids, ranks.reshape(len(ids), -1, HORIZON_DAYS, HOURS))


@dataclass(frozen=True)
class Draws:
    """Which past origin each draw takes, and which of its days: the same for all stores, whose common errors stay."""

    origins: NDArray[np.int64]
    days: NDArray[np.int64]

    @classmethod
    def of(cls, paths: Paths, seed: int, count: int = DRAWS) -> Self:
        """Draws that use the origins evenly; the days of each lead week are turned round by a random number."""
        chance = np.random.default_rng(seed)
        origins = chance.permutation(np.arange(count) % paths.ranks.shape[1])
        leads = np.arange(HORIZON_DAYS)
        turns = chance.integers(0, WEEK, (count, HORIZON_DAYS // WEEK))[:, leads // WEEK]
        return cls(origins, leads // WEEK * WEEK + (leads % WEEK + turns) % WEEK)

    def ranks(self, path: Ranks, lead_days: NDArray[np.int64], hours: NDArray[np.int64]) -> Ranks:
        """Ranks of some cells of a store in each draw: (cells, draws). `path` has the axes of one store's ranks."""
        return path[self.origins, self.days[:, lead_days].T, hours[:, None]]


def _rank() -> pl.Expr:
    """The step of a row's error among those of its group: the k-th of n is at k / (n + 1)."""
    level = pl.col("error").rank("average").over("group") / (pl.len().over("group") + 1)
    return (level * STEPS).cast(pl.Int16)


def _drawn(store_id: str) -> tuple[int, str]:
    return crc32(store_id.encode()), store_id


def _filled(known: NDArray[np.int16]) -> Ranks:
    """The ranks with no gap (-1): from the hours beside, the same day of the other week, days beside, stores beside."""
    ranks = _beside(known, 3)
    other_week = np.roll(ranks, WEEK, axis=2)
    ranks = _beside(np.where(ranks < 0, other_week, ranks), 2)
    return _beside(ranks, 0).astype(np.uint8)


def _beside(ranks: NDArray[np.int16], axis: int) -> NDArray[np.int16]:
    """Gaps take the last known value along an axis, or the first where none is before."""
    moved = np.moveaxis(ranks, axis, 0)
    for _ in range(2):
        places = np.arange(len(moved)).reshape(-1, *[1] * (moved.ndim - 1))
        last = np.maximum.accumulate(np.where(moved >= 0, places, 0), axis=0)
        moved = np.take_along_axis(moved, last, axis=0)[::-1]
    return np.moveaxis(moved, 0, axis)
