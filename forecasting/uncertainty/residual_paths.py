"""Residual paths: how errors of rolling-origin forecasts go together over hours, days and stores, as ranks.

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
from daypart.forecasting.uncertainty.bands import Array, Bands, scale_errors

Ranks = NDArray[np.uint8]

RANK_STEPS = 256
CLOCK_HOURS = 24
MAX_PATH_STORES = 100
MAX_PATH_ORIGINS = 56
PATH_DRAWS = 300
LEAD_WEEK_DAYS = 7


@dataclass(frozen=True)
class Paths:
    """The rank of each error within its group, by store and origin of the evidence: empirical copulas.

    `ranks` has the axes store (in the order of `store_ids`), origin (`origins`), lead day and clock hour; they run
    from 0 to 255. An hour without evidence has the rank of one near it, and a store without any at an origin has
    another store's.
    """

    store_ids: tuple[str, ...]
    origins: tuple[date, ...]
    ranks: Ranks

    @classmethod
    def fit(cls, predictions: pl.DataFrame, bands: Bands) -> Self:
        """Return the paths of at most MAX_PATH_STORES stores and the latest MAX_PATH_ORIGINS origins.

        `predictions` are those of `fit_bands`, with `date`.
        """
        rows = scale_errors(predictions, bands.ratios).with_columns(
            origin=pl.col("date") - pl.duration(days=pl.col("lead_days")), rank=_rank()
        )
        ids = sorted(sorted(rows["store_id"].unique(), key=_shuffle_key)[:MAX_PATH_STORES])
        origins = rows["origin"].unique().sort()[-MAX_PATH_ORIGINS:].to_list()
        rows = rows.filter(pl.col("store_id").is_in(ids), pl.col("origin").is_in(origins))
        # The hour that a clock shows twice has two: the greater stays.
        rows = rows.sort("rank")
        ranks = np.full((len(ids), len(origins), HORIZON_DAYS, CLOCK_HOURS), -1, dtype=np.int16)
        places = (
            rows["store_id"].replace_strict(ids, range(len(ids)), return_dtype=pl.Int64),
            rows["origin"].replace_strict(origins, range(len(origins)), return_dtype=pl.Int64),
            rows["lead_days"], rows["hour"],
        )  # fmt: skip
        ranks[tuple(place.to_numpy() for place in places)] = rows["rank"].to_numpy()
        return cls(tuple(ids), tuple(origins), _fill_gaps(ranks))

    def store_indices(self, stores: pl.DataFrame) -> dict[str, int]:
        """Return the index on the store axis of each store's ranks (columns of `stores`: store_id, region).

        A store without ranks takes those of a fixed other one, of the same region if there is one.
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
        """Return a Parquet file with one row per store and origin.

        Columns: store_id, origin_date, ranks (14 x 24 bytes by lead day and clock hour).
        """
        keys = [(name, day) for name in self.store_ids for day in self.origins]
        rows = pl.DataFrame(keys, schema={"store_id": pl.String, "origin_date": pl.Date}, orient="row")
        file, ranks = BytesIO(), self.ranks.reshape(len(keys), -1)
        rows.with_columns(ranks=pl.Series([path.tobytes() for path in ranks], dtype=pl.Binary)).write_parquet(file)
        return file.getvalue()

    @classmethod
    def from_parquet(cls, file: bytes) -> Self:
        """Return the paths that `to_parquet` wrote."""
        rows = pl.read_parquet(BytesIO(file))
        ids, origins = (tuple(rows[name].unique(maintain_order=True)) for name in ("store_id", "origin_date"))
        ranks = np.frombuffer(b"".join(rows["ranks"]), dtype=np.uint8)
        return cls(ids, origins, ranks.reshape(len(ids), len(origins), HORIZON_DAYS, CLOCK_HOURS))


@dataclass(frozen=True)
class Draws:
    """The path that each draw takes: a past origin, its days, and whether it is mirrored. The same for all stores.

    So errors that many stores had at once come together in a draw. `days` is (draws, lead days). The average
    error of the evidence says how far a forecast may be out, not in which direction, so a path and its mirror image are
    equally likely.
    """

    origins: NDArray[np.int64]
    days: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    ties: NDArray[np.int64]

    @classmethod
    def sample(cls, paths: Paths, seed: int, count: int = PATH_DRAWS) -> Self:
        """Return draws that use origins evenly, half of them mirrored; a lead week begins at a random day."""
        chance = np.random.default_rng(seed)
        leads, even = np.arange(HORIZON_DAYS), chance.permutation(count)
        turns = chance.integers(0, LEAD_WEEK_DAYS, (count, HORIZON_DAYS // LEAD_WEEK_DAYS))[:, leads // LEAD_WEEK_DAYS]
        days = leads // LEAD_WEEK_DAYS * LEAD_WEEK_DAYS + (leads + turns) % LEAD_WEEK_DAYS
        return cls(even // 2 % len(paths.origins), days, even % 2 == 1, chance.permutation(count))

    def errors(self, path: Ranks, lead_days: NDArray[np.int64], hours: NDArray[np.int64], marginals: Array) -> Array:
        """Return errors of some cells of a store, (cells, draws): the marginals' in the order of the path's ranks.

        `path` is the store's part of `Paths.ranks`; `marginals` has a row per cell, a column per level (`levels`).
        """
        ranks = path[self.origins, self.days[:, lead_days].T, hours[:, None]].astype(np.int64)
        order = np.argsort(np.where(self.mirrored, RANK_STEPS - 1 - ranks, ranks) * len(self.ties) + self.ties, axis=1)
        errors = np.empty(order.shape)
        np.put_along_axis(errors, order, marginals, axis=1)
        return errors

    @property
    def levels(self) -> Array:
        """The levels of the error distributions that the draws take, one each."""
        return (np.arange(len(self.ties)) + 0.5) / len(self.ties)


def _rank() -> pl.Expr:
    """Return the step of a row's error among those of its group: the k-th of n is at k / (n + 1)."""
    level = pl.col("error").rank("average").over("group") / (pl.len().over("group") + 1)
    return (level * RANK_STEPS).cast(pl.Int16)


def _shuffle_key(store_id: str) -> tuple[int, str]:
    return crc32(store_id.encode()), store_id


def _fill_gaps(sparse_ranks: NDArray[np.int16]) -> Ranks:
    """Return the ranks without gaps (-1), filled from near hours, the other week, near days, then near stores."""
    ranks = _fill_along(sparse_ranks, 3)
    other_week = np.roll(ranks, LEAD_WEEK_DAYS, axis=2)
    ranks = _fill_along(np.where(ranks < 0, other_week, ranks), 2)
    return _fill_along(ranks, 0).astype(np.uint8)


def _fill_along(ranks: NDArray[np.int16], axis: int) -> NDArray[np.int16]:
    """Fill gaps with the last known value along an axis, or the first where none is before."""
    moved = np.moveaxis(ranks, axis, 0)
    for _ in range(2):
        places = np.arange(len(moved)).reshape(-1, *[1] * (moved.ndim - 1))
        last = np.maximum.accumulate(np.where(moved >= 0, places, 0), axis=0)
        moved = np.take_along_axis(moved, last, axis=0)[::-1]
    return np.moveaxis(moved, 0, axis)
