"""Forecasts added up to dayparts, days, weeks, stores, regions and the chain, with quantiles of the sums themselves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from zlib import crc32

import numpy as np
import polars as pl
from numpy.typing import NDArray

from daypart.features.errors import InputError
from daypart.features.money import with_unit
from daypart.forecasting.leads import lead_week
from daypart.forecasting.models.model import Model
from daypart.forecasting.uncertainty.bands import Array
from daypart.forecasting.uncertainty.residual_paths import LEAD_WEEK_DAYS, PATH_DRAWS, Draws, Paths

Level = Literal["daypart", "day", "week", "store", "region", "chain"]
AGGREGATE_LEVELS: tuple[Level, ...] = get_args(Level)
AGGREGATE_CELL_KEYS: dict[Level, tuple[str, ...]] = {
    "daypart": ("store_id", "lead_days", "daypart"),
    "day": ("store_id", "lead_days"),
    "week": ("store_id", "lead_week"),
    "store": ("store_id",),
    "region": ("region", "currency", "lead_days"),
    "chain": ("currency", "lead_days"),
}
"""What identifies a cell of one target and origin; days are business dates, as `lead_days` counts them."""
AGGREGATE_COLUMNS = (
    "store_id", "target", "origin_date", "lead_days", "hour_local", "hour_utc", "business_date", "daypart", "forecast",
    "q10", "q50", "q90", "incumbent", "model_version", "tier", "basis", "region", "currency",
)  # fmt: skip
AGGREGATE_ORDER = ("store_id", "target", "region", "currency", "hour_local")
STORE_COLUMNS = ("store_id", "hour_utc", "basis", "region", "currency")
SAMPLES_A_WEEK: dict[Level, int] = {"week": 1, "store": 1, "region": 2, "chain": 2}
"""How many independent errors a week of evidence has; of days and dayparts of single stores it has many.

What stores miss by together lasts for days: simulated chains are covered best at two.
"""
SUMMED_AMOUNTS = ("forecast", "incumbent", "actual")
QUANTILE_LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class ModelCells:
    """Rows of cells, the model that forecast them, and its residual paths."""

    cells: pl.DataFrame
    model: Model
    paths: Paths


def aggregate(
    rows: pl.DataFrame, models: Model | Mapping[str, Model], stores: pl.DataFrame, level: Level
) -> pl.DataFrame:
    """Add up published rows of one target and origin: AGGREGATE_COLUMNS, then `actual` where rows have it; sorted.

    Where several models forecast them, `models` has each by its `model_version`. Their draws take the same past days
    as far as their evidence shares them. A cell's model_version and tier are those of its first row.

    A cell is a store's daypart of a business date, its date, its week of the horizon (leads 0 to 6, 7 to 13), its
    whole horizon, or a date of all stores of a region or of the chain, store_id null. Sales of different
    currencies are not added up: a region's or the chain's date has a row for each. Hours outside any daypart are
    a cell of their own, daypart null, where one of them is open or has an incumbent. `lead_days`, `hour_local`
    and `hour_utc` (null where stores are added up) are those of the cell's first hour, `business_date` is its
    date. `stores` has store_id, region and currency.

    forecast, incumbent and actual are sums; quantiles are those of sums of draws (`Draws`), 0 <= q10 <= q50 <= q90.
    The same bits whatever the order of rows. Raises InputError where the model or the rows were stored without paths.
    """
    cells = _cells(rows, stores, level)
    number = cells["cell"].to_numpy()
    sums = {name: _sum_by_cell(number, cells[name].to_numpy())[1] for name in SUMMED_AMOUNTS if name in rows.columns}
    model_parts = _by_model(cells, models)
    low, middle, high = _quantiles(cells, model_parts, stores, level)
    # The forecast is the median of sums as it is of hours: its weights were chosen by both.
    wide = _wide(cells, model_parts, level)
    sums["q10"] = np.maximum(sums["forecast"] + wide * (low - middle), 0.0)
    sums["q50"] = sums["forecast"]
    sums["q90"] = sums["forecast"] + wide * (high - middle)
    return _cell_rows(cells, sums, level)


def _by_model(cells: pl.DataFrame, models: Model | Mapping[str, Model]) -> list[ModelCells]:
    """Return the cells' rows by the model that forecast them."""
    if isinstance(models, Model):
        pairs = [(cells, models)]
    else:
        parts = cells.partition_by("model_version", as_dict=True, maintain_order=True)
        pairs = [(part, models[version]) for (version,), part in parts.items()]
    return [ModelCells(part, model, _paths(model)) for part, model in pairs]


def _paths(model: Model) -> Paths:
    if model.paths is None:
        raise InputError(
            f"the model for {model.target} of {model.as_of} has no paths to draw sums from: run `daypart train`, "
            "then `daypart forecast --refresh`"
        )
    return model.paths


def small_sample_factor(paths: Paths, samples_a_week: int) -> float:
    """Return how much wider a band is for resting on few samples: Student's t over the normal's quantile."""
    from scipy.special import ndtri, stdtrit

    weeks = (paths.origins[-1] - paths.origins[0]).days / LEAD_WEEK_DAYS + 1
    count = max(weeks * samples_a_week, 2.0)
    return float(np.sqrt(1 + 1 / count) * stdtrit(count - 1, QUANTILE_LEVELS[-1]) / ndtri(QUANTILE_LEVELS[-1]))


def _wide(cells: pl.DataFrame, model_parts: Sequence[ModelCells], level: Level) -> Array:
    """Return how much wider each cell's band is than that of its draws, by the least evidence of its models."""
    stores = cells.group_by("cell").agg(pl.col("store_id").n_unique()).sort("cell")["store_id"].to_numpy()
    few = level in SAMPLES_A_WEEK and (("store_id" in AGGREGATE_CELL_KEYS[level]) | (stores > 1))
    wide = np.ones(len(stores))
    for part in model_parts:
        numbers = part.cells["cell"].unique().to_numpy()
        wide[numbers] = np.maximum(wide[numbers], small_sample_factor(part.paths, SAMPLES_A_WEEK.get(level, 1)))
    return np.where(few, wide, 1.0)


def _cell_rows(cells: pl.DataFrame, sums: dict[str, Array], level: Level) -> pl.DataFrame:
    """Return one row per cell: its sums, and the columns of its first hour that hold for all of it."""
    cell_keys = {*AGGREGATE_CELL_KEYS[level], *(STORE_COLUMNS if "store_id" in AGGREGATE_CELL_KEYS[level] else ())}
    mixed = [name for name in (*STORE_COLUMNS, "daypart") if name not in cell_keys]
    blank = [pl.lit(None, cells.schema[name]).alias(name) for name in mixed]
    cell_rows = (
        cells.with_columns(blank)
        .unique("cell", keep="first", maintain_order=True)
        .with_columns(pl.Series(name, values) for name, values in sums.items())
        .select(*AGGREGATE_COLUMNS, *(["actual"] if "actual" in sums else []))
    )
    if level == "daypart":
        cell_rows = cell_rows.filter(pl.col("daypart").is_not_null() | (pl.max_horizontal("q90", "incumbent") > 0))
    return cell_rows.sort(AGGREGATE_ORDER, nulls_last=True)


def _cells(rows: pl.DataFrame, stores: pl.DataFrame, level: Level) -> pl.DataFrame:
    """Return the rows with the columns that levels and bands need and the number of their `cell`, sorted."""
    if rows["scale"].null_count():
        day = rows["origin_date"][0]
        raise InputError(f"the forecast of {day} was published without a scale: run `daypart forecast --refresh` first")
    money = pl.when(pl.col("target") == "sales").then(pl.col("currency"))
    cells = rows.join(stores.select("store_id", "region", "currency"), on="store_id", how="left").with_columns(
        lead_week(), pl.col("youth").fill_null(0.0), currency=money, hour=pl.col("hour_local").dt.hour()
    )
    numbered = cells.select(AGGREGATE_CELL_KEYS[level]).unique().sort(AGGREGATE_CELL_KEYS[level]).with_row_index("cell")
    return cells.join(numbered, on=AGGREGATE_CELL_KEYS[level], nulls_equal=True).sort("cell", "store_id", "hour_utc")


def _sum_by_cell(cells: NDArray[np.uint32], values: Array) -> tuple[NDArray[np.uint32], Array]:
    """Return the cells, which come in order, and the sums of their values, added up one after the other."""
    first = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]])
    return cells[first], np.add.reduceat(values, first, axis=0)


def _quantiles(cells: pl.DataFrame, model_parts: Sequence[ModelCells], stores: pl.DataFrame, level: Level) -> Array:
    """Return quantiles of the draws of every cell, (quantiles, cells).

    In memory are the draws of one store, and sums of cells that stores share.
    """
    count, shared = cells["cell"].n_unique(), "store_id" not in AGGREGATE_CELL_KEYS[level]
    quantiles = np.zeros((len(QUANTILE_LEVELS), count))
    total = np.zeros((count if shared else 0, PATH_DRAWS))
    for part in model_parts:
        for numbers, sums in _draw_sums(part, stores):
            if shared:
                total[numbers] += sums
            else:
                quantiles[:, numbers] = np.quantile(sums, QUANTILE_LEVELS, axis=1)
    return np.quantile(total, QUANTILE_LEVELS, axis=1) if shared else quantiles


def _draw_sums(part: ModelCells, stores: pl.DataFrame) -> Iterator[tuple[NDArray[np.uint32], Array]]:
    """Yield by store, in order of ids, its open cells and the sums of their hours in each draw, (cells, draws)."""
    cells, model, paths = part.cells, part.model, part.paths
    draws, store_indices = Draws.sample(paths, model.recipe.seed), paths.store_indices(stores)
    marginals = model.bands.errors_at(draws.levels)
    opened = cells.with_columns(model.bands.place(with_unit(cells, stores, model.units))).filter(pl.col("spread") > 0)
    for store_hours in opened.sort("store_id", "cell", "hour_utc").partition_by("store_id", maintain_order=True):
        path = paths.ranks[store_indices[store_hours["store_id"][0]]]
        leads, hours, groups, spread, forecast, numbers = (
            store_hours[name].to_numpy() for name in ("lead_days", "hour", "group", "spread", "forecast", "cell")
        )
        errors = draws.errors(path, leads, hours, marginals[groups])
        samples = np.maximum(forecast[:, None] + errors * spread[:, None], 0.0)
        yield _sum_by_cell(numbers, samples * _level(store_hours, model.recipe.seed))


def _level(store_hours: pl.DataFrame, seed: int) -> Array:
    """Return each draw's factor on a store's level: all hours of a young store err together."""
    from scipy.special import ndtri

    chance = np.random.default_rng([seed, crc32(store_hours["store_id"][0].encode())])
    normal = chance.permutation(ndtri((np.arange(PATH_DRAWS) + 0.5) / PATH_DRAWS))
    return np.asarray(np.exp(store_hours["youth"].max() * normal))
