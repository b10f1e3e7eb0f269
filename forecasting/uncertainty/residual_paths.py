"""Paths of ranks: how what rolling-origin forecasts missed by goes together over hours, days and stores.

Schaake shuffle, or empirical copula: Clark et al. 2004, Schefzik et al. 2013.
"""

from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Self
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.matrix import HORIZON_DAYS
from daypart.forecasting.uncertainty.bands import Array, Bands, scaled

Ranks = NDArray[np.uint8]

STEPS = 256
HOURS = 24
MOST_STORES = 100
MOST_ORIGINS = 56
DRAWS = 300
WEEK = 7


@dataclass(frozen=True)
class Paths:
    """For stores and origins of the evidence, where what came lay in its hour's marginal: empirical copulas.

    `ranks` has the axes store (in the order of `store_ids`), origin (`origins`), lead day and clock hour; they run
    from 0 to 255. An hour without evidence has the rank of one near it, and a store without any at an origin has
    another store's.
    """

    store_ids: tuple[str, ...]
    origins: tuple[date, ...]
    ranks: Ranks

    @classmethod
    def of(cls, predictions: pl.DataFrame, bands: Bands) -> Self:
        """The paths of at most 100 stores and the latest 56 origins of what `fit_bands` was given, with `date`."""
        rows = scaled(predictions, bands.ratios).with_columns(
            origin=pl.col("date") - pl.duration(days=pl.col("lead_days")), rank=_rank()
        )
        ids = sorted(sorted(rows["store_id"].unique(), key=_drawn)[:MOST_STORES])
        origins = rows["origin"].unique().sort()[-MOST_ORIGINS:].to_list()
        rows = rows.filter(pl.col("store_id").is_in(ids), pl.col("origin").is_in(origins))
        # The hour that a clock shows twice has two: the greater stays.
        rows = rows.sort("rank")
        ranks = np.full((len(ids), len(origins), HORIZON_DAYS, HOURS), -1, dtype=np.int16)
        places = (
            rows["store_id"].replace_strict(ids, range(len(ids)), return_dtype=pl.Int64),
            rows["origin"].replace_strict(origins, range(len(origins)), return_dtype=pl.Int64),
            rows["lead_days"], rows["hour"],
        )  # fmt: skip
        ranks[tuple(place.to_numpy() for place in places)] = rows["rank"].to_numpy()
        return cls(tuple(ids), tuple(origins), _filled(ranks))

    def whose(self, stores: pl.DataFrame) -> dict[str, int]:
        """Where to find the ranks of each store (columns: store_id, region): its own, or those of a fixed other one.

        The other one is of the same region, if there is one.
        """
        positions = {name: at for at, name in enumerate(self.store_ids)}
        regions = dict(stores.select("store_id", "region").iter_rows())
        near: dict[str | None, list[int]] = {}
        for name, at in positions.items():
            near.setdefault(regions.get(name), []).append(at)
        sources = {}
        for name, region in regions.items():
            candidates = near.get(region) or list(positions.values())
            sources[name] = positions.get(name, candidates[crc32(name.encode()) % len(candidates)])
        return sources

    def to_parquet(self) -> bytes:
        """One row per store and origin: store_id, origin_date, ranks (14 x 24 bytes by lead day and clock hour)."""
        keys = [(name, day) for name in self.store_ids for day in self.origins]
        rows = pl.DataFrame(keys, schema={"store_id": pl.String, "origin_date": pl.Date}, orient="row")
        file, ranks = BytesIO(), self.ranks.reshape(len(keys), -1)
        rows.with_columns(ranks=pl.Series([path.tobytes() for path in ranks], dtype=pl.Binary)).write_parquet(file)
        return file.getvalue()

    @classmethod
    def from_parquet(cls, file: bytes) -> Self:
        """The paths that `to_parquet` wrote."""
        rows = pl.read_parquet(BytesIO(file))
        ids, origins = (tuple(rows[name].unique(maintain_order=True)) for name in ("store_id", "origin_date"))
        ranks = np.frombuffer(b"".join(rows["ranks"]), dtype=np.uint8)
        return cls(ids, origins, ranks.reshape(len(ids), len(origins), HORIZON_DAYS, HOURS))


@dataclass(frozen=True)
class Draws:
    """Which path each draw takes: a past origin, its days, and whether upside down. The same for all stores.

    So what went wrong with many stores at once does so in a draw. `days` is (draws, lead days). What the evidence
    missed by on average says how far a forecast may be out, not which way: a path and its mirror image are alike.
    """

    origins: NDArray[np.int64]
    days: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    ties: NDArray[np.int64]

    @classmethod
    def of(cls, paths: Paths, seed: int, count: int = DRAWS) -> Self:
        """Draws that use origins evenly, half of them mirrored; the days of a lead week begin with a random one."""
        chance = np.random.default_rng(seed)
        leads, even = np.arange(HORIZON_DAYS), chance.permutation(count)
        turns = chance.integers(0, WEEK, (count, HORIZON_DAYS // WEEK))[:, leads // WEEK]
        days = leads // WEEK * WEEK + (leads + turns) % WEEK
        return cls(even // 2 % len(paths.origins), days, even % 2 == 1, chance.permutation(count))

    def errors(self, path: Ranks, lead_days: NDArray[np.int64], hours: NDArray[np.int64], marginals: Array) -> Array:
        """Errors of some cells of a store, (cells, draws): the marginals' in the order of the path's ranks.

        `path` is the store's part of `Paths.ranks`; `marginals` has a row per cell, a column per level (`levels`).
        """
        ranks = path[self.origins, self.days[:, lead_days].T, hours[:, None]].astype(np.int64)
        order = np.argsort(np.where(self.mirrored, STEPS - 1 - ranks, ranks) * len(self.ties) + self.ties, axis=1)
        errors = np.empty(order.shape)
        np.put_along_axis(errors, order, marginals, axis=1)
        return errors

    @property
    def levels(self) -> Array:
        """The levels of marginals that the draws take, one each."""
        return (np.arange(len(self.ties)) + 0.5) / len(self.ties)


def _rank() -> pl.Expr:
    """The step of a row's error among those of its group: the k-th of n is at k / (n + 1)."""
    level = pl.col("error").rank("average").over("group") / (pl.len().over("group") + 1)
    return (level * STEPS).cast(pl.Int16)


def _drawn(store_id: str) -> tuple[int, str]:
    return crc32(store_id.encode()), store_id


def _filled(sparse_ranks: NDArray[np.int16]) -> Ranks:
    """The ranks with no gap (-1): from the hours beside, the same day of the other week, days beside, stores beside."""
    ranks = _beside(sparse_ranks, 3)
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
