"""Segments: which stores share a model. Every store has exactly one segment, by a declared rule."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args

import polars as pl

from daypart.features.business_day import business_date
from daypart.features.deterministic_sum import exact_sum
from daypart.features.errors import InputError

By = Literal["chain", "region", "format", "subdivision", "volume"]
WAYS: tuple[By, ...] = get_args(By)

VOLUME_DAYS = 91
OTHER = "other"
"""The segment of stores without a value in the rule's column."""

NO_VOLUMES = pl.DataFrame(schema={"store_id": pl.String, "volume": pl.Float64})


@dataclass(frozen=True)
class Rule:
    """The rule that divides stores into segments: none (`chain`), a column of the stores table, or volume.

    Classes of volume are divided by `cuts`, mean daily demand in the target's unit. Without cuts there are `classes`
    of about as many stores each.
    """

    by: By = "chain"
    classes: int = 4
    cuts: tuple[float, ...] = ()


def segments(stores: pl.DataFrame, rule: Rule, volumes: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store, sorted: store_id, segment; null throughout where the chain is one.

    A segment's name has only letters, digits, - and _: `New York` becomes `New-York`. Classes of volume count from
    `volume-1`, the least. `volumes` is as `mean_daily` returns it. Raises InputError where two names would be the same.
    """
    match rule.by:
        case "chain":
            rows = stores.select("store_id", segment=pl.lit(None, pl.String))
        case "volume":
            rows = _by_volume(stores, rule, volumes)
        case column:
            rows = _with_valid_names(
                stores.select("store_id", segment=pl.col(column).replace("", None).fill_null(OTHER)), column
            )
    return rows.sort("store_id")


def mean_daily(demand: pl.LazyFrame, stores: pl.DataFrame, target: str, before: date) -> pl.DataFrame:
    """Return one row per store that sold in the last VOLUME_DAYS before a date: store_id, volume by day of trade."""
    first = before - timedelta(days=VOLUME_DAYS)
    day = timedelta(days=1)
    # Clocks differ by less than a day: the moment in UTC lets files of other months be skipped.
    near = pl.col("hour_utc").is_between(first - day, before + day)
    local = business_date(stores)
    late = demand.filter(near, local >= first, local < before, pl.col(target) > 0)
    days = late.group_by("store_id").agg(total=exact_sum(pl.col(target)), days=local.n_unique())
    return days.select("store_id", volume=pl.col("total") / pl.col("days")).sort("store_id").collect()


def _by_volume(stores: pl.DataFrame, rule: Rule, volumes: pl.DataFrame) -> pl.DataFrame:
    """Return classes of stores by volume; a store without sales is in that of its format and region, else the least."""
    with_volume = stores.select("store_id", "format", "region").join(volumes, on="store_id", how="left")
    volume = pl.col("volume")
    alike = [volume.median().over(by) for by in (["format", "region"], ["format"], ["region"])]
    placed = with_volume.with_columns(volume=pl.coalesce(volume, *alike, pl.lit(0.0)))
    cuts = rule.cuts or _equal_cuts(with_volume["volume"].drop_nulls().sort().to_list(), rule.classes)
    number = 1 + pl.sum_horizontal(pl.lit(0), *((volume >= cut).cast(pl.Int64) for cut in cuts))
    width = len(str(len(cuts) + 1))
    name = pl.format("volume-{}", number.cast(pl.String).str.zfill(width))
    return placed.select("store_id", segment=name)


def _equal_cuts(volumes: list[float], classes: int) -> list[float]:
    """Return the volumes at which classes of about as many stores begin, without the first."""
    return [volumes[len(volumes) * part // classes] for part in range(1, classes)] if volumes else []


def _with_valid_names(segment_rows: pl.DataFrame, column: str) -> pl.DataFrame:
    names: dict[str, str] = {}
    for value in segment_rows["segment"].unique().sort():
        name = re.sub(r"[^\w-]+", "-", value).strip("-") or OTHER
        if name in names.values():
            other = next(earlier for earlier, segment in names.items() if segment == name)
            raise InputError(
                f"stores of {column} {other!r} and {value!r} would both be the segment {name}: rename one of them"
            )
        names[value] = name
    return segment_rows.with_columns(pl.col("segment").replace_strict(names, return_dtype=pl.String))
