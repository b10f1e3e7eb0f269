"""The data that models of one target are trained from: records, and stores with their histories in blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from daypart.features import matrix
from daypart.features.business_day import business_date
from daypart.features.chain_data import ChainData, DataSource
from daypart.features.cold_start import similar_stores
from daypart.features.errors import NotKnownError
from daypart.features.history import holiday_effects
from daypart.features.history.demand_history import DemandHistory
from daypart.forecasting.stages import Stages

BLOCK_STORES = 100


@dataclass(frozen=True)
class StoreBlock:
    """The records of some stores, and what is known of their demand at every origin."""

    records: ChainData
    history: DemandHistory

    def any_known(self, view: matrix.View, origins: Sequence[date]) -> bool:
        """Return whether a matrix of these origins has any row."""
        return matrix.has_rows(self.records, self.history, view, origins)

    def build_matrix(self, view: matrix.View, origins: Sequence[date]) -> pl.DataFrame:
        """Return the matrix of some origins: one row per store, origin and target hour."""
        return matrix.build(self.records, view, origins, self.history)


@dataclass(frozen=True)
class TrainingData:
    """The records that models of one target learn from, with origins up to `last`.

    `store_ids` are the stores of a segment; null means all stores. `holiday_sums` are the chain's (`chain_sums`) up to
    `last`; null means that they are computed from the records.
    """

    records: DataSource
    target: str
    last: date
    store_ids: Sequence[str] | None = None
    holiday_sums: pl.DataFrame | None = None

    @property
    def sorted_ids(self) -> list[str]:
        """The stores that models are made for, sorted."""
        return sorted(self.records.stores["store_id"] if self.store_ids is None else self.store_ids)

    def first_demand_on(self) -> date:
        """Return the first business date with any demand in these stores. Raises NotKnownError where there is none."""
        ids = self.sorted_ids
        first = _first_demand(self.records, self.target, ids)
        if first is None:
            where = "any store" if self.store_ids is None else f"the {len(ids)} stores of the segment"
            raise NotKnownError(f"no {self.target} in {where}: ingest demand with a column {self.target} first")
        return first


@dataclass(frozen=True)
class BlockBuilder:
    """Reads blocks of stores and derives their histories for origins up to `last`; `holiday_sums` are the chain's."""

    records: DataSource
    view: matrix.View
    last: date
    holiday_sums: pl.DataFrame

    def build(self, ids: Sequence[str], stages: Stages) -> StoreBlock:
        """Return the block of these stores; young ones borrow from the whole chain."""
        with stages("read") as count:
            block = self.records.block(ids)
            count(block.demand.height)
        with stages("matrix"):
            view, stores = self.view, self.records.stores
            until = self.last + timedelta(days=view.horizon_days)
            past = matrix.build_history(block, view, until, matrix.ChainContext(stores, self.holiday_sums))
            past = similar_stores.with_donor_history(past, block, similar_stores.DonorPool(self.records), until)
            return StoreBlock(block, past)


def read_sample(
    builder: BlockBuilder, origins: Sequence[date], one_in: int, ids: Sequence[str], stages: Stages
) -> pl.DataFrame:
    """Return `sample_rows` of some stores, whose records are read where this runs."""
    return sample_rows(builder.view, origins, one_in, builder.build(ids, stages), stages)


def sample_rows(
    view: matrix.View, origins: Sequence[date], one_in: int, block: StoreBlock, stages: Stages
) -> pl.DataFrame:
    """Return one in so many of the block's training rows, with their demand `y`.

    One row per sampled store, origin and target hour; features are float32. The frame has no columns where nothing is
    known of any store.
    """
    if not block.any_known(view, origins):
        return pl.DataFrame()
    with stages("matrix") as count:
        options = matrix.TrainingOptions(one_in, hindsight=True)
        rows = matrix.build(block.records, view, origins, block.history, options)
        rows = block.history.with_actuals(rows)
        count(rows.height)
        return rows.cast(dict.fromkeys(matrix.feature_names(rows), pl.Float32))


def chain_sums(records: DataSource, target: str, last: date) -> pl.DataFrame:
    """Return the effects of the chain's holidays up to `last` (`holiday_effects.holiday_sums`).

    They are the same for all segments of its stores.
    """
    first = records.first_demand_on(target) or last
    return holiday_effects.holiday_sums(records.scan_demand(), records.stores, target, first, max(first, last))


def in_blocks(ids: Sequence[str]) -> list[Sequence[str]]:
    """Return the ids in groups of BLOCK_STORES."""
    return [ids[first : first + BLOCK_STORES] for first in range(0, len(ids), BLOCK_STORES)]


def stack(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of blocks in one order of columns; a block that lacks a table lacks its columns."""
    widest = max(frames, key=lambda frame: frame.width).columns
    return pl.concat(frames, how="diagonal").select(*widest, pl.exclude(widest))


def _first_demand(records: DataSource, target: str, store_ids: Sequence[str]) -> date | None:
    if len(store_ids) == records.stores.height:
        return records.first_demand_on(target)
    in_stores = pl.col("store_id").is_in(pl.Series(store_ids, dtype=pl.String).implode())
    sold = records.scan_demand().filter(in_stores, pl.col(target) > 0)
    earliest = sold.select(business_date(records.stores).min()).collect().item()
    return earliest if isinstance(earliest, date) else None
