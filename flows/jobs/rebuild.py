"""Rebuild: a published forecast made again, by the models that made it from the data that they read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from daypart.features.errors import NotKnownError
from daypart.flows.compute.meter import Meter
from daypart.flows.governance.model_versions import ModelStore
from daypart.flows.home import Home
from daypart.flows.jobs.forecast import forecast_blocks, published
from daypart.flows.jobs.lineage import reads_of
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.integrity import check_versions
from daypart.flows.lake.lake import Lake
from daypart.flows.lake.table_log import TableLog
from daypart.flows.lake.tables import lake_table
from daypart.forecasting.models.engine import Engine, Local
from daypart.forecasting.models.model import Model
from daypart.forecasting.serving.publication import FORECAST_ORDER, ServedModel


@dataclass(frozen=True)
class RebuildResult:
    """A publication made again: its rows, how many of them are another than was published, models and table versions.

    `same` means equal to the last bit of every value.
    """

    origin: date
    rows: int
    differing: int
    models: list[str]
    reads: dict[str, int]

    @property
    def same(self) -> bool:
        """Whether every value equals the published one to the last bit."""
        return self.differing == 0


def rebuild(home: Home, origin: date, engine: Callable[[Meter], Engine] = Local) -> RebuildResult:
    """Makes the forecast of an origin again, as it was published last, and compares the two; nothing is written.

    The Delta versions are those that the publication recorded, the models those that its rows name. Raises
    NotKnownError where the origin was never published, or nothing recorded what it read, DaypartError for models or
    data files that are gone or damaged.
    """
    forecasts = published(home, origin)
    if forecasts is None:
        raise NotKnownError(f"no forecast of origin {origin} was published")
    names = sorted(forecasts["model_version"].unique())
    reads = reads_of(home, forecasts["target"].unique().sort().to_list(), origin)
    if reads is None:
        raise NotKnownError(f"nothing says from which data the forecast of origin {origin} was made")
    check_versions(home.lake, {**reads, "forecasts": home.lake.version("forecasts") or 0}, {"forecasts": origin})
    store = ModelStore(home)
    serving = [_served(store, rows) for _, rows in forecasts.group_by("model_version", "tier", maintain_order=True)]
    chain = Chain.at(home.lake, reads)
    rows = pl.concat(forecast_blocks(chain, serving, origin, engine(Meter(home.settings.prices))))
    again = lake_table("forecasts").conform(rows).select(forecasts.columns).sort(FORECAST_ORDER)
    return RebuildResult(origin, forecasts.height, differing(forecasts, again), names, reads)


def differing(one: pl.DataFrame, other: pl.DataFrame) -> int:
    """How many rows are in one frame but not, to the last bit, in the other; whichever has more of them."""
    ours, theirs = _bits(one), _bits(other)
    lacking = (rows.join(other_rows, on=rows.columns, how="anti", nulls_equal=True).height
               for rows, other_rows in ((ours, theirs), (theirs, ours)))  # fmt: skip
    return max(*lacking, abs(one.height - other.height))


def _bits(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows, numbers by their bits: 0 is not -0, and NaN is itself."""
    floats = [name for name, dtype in rows.schema.items() if dtype == pl.Float64]
    return rows.with_columns(pl.col(floats).reinterpret(dtype=pl.Int64))


def _served(store: ModelStore, rows: pl.DataFrame) -> ServedModel:
    """The model that published rows are of, for the stores that they are of."""
    name, tier = rows.row(0, named=True)["model_version"], rows.row(0, named=True)["tier"]
    unit, _, version = name.rpartition("-v")
    model = Model.from_files(store.load(unit, int(version)))
    return ServedModel(model, name, tier, frozenset(rows["store_id"]))


def are_readable(lake: Lake, reads: Mapping[str, int]) -> bool:
    """Whether all those versions of tables can still be read."""
    return all(TableLog.read(lake.root / table).is_readable(version) for table, version in reads.items())
