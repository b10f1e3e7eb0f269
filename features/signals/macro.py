"""Macro-economic series as they had been released before an origin."""

import re
from collections.abc import Sequence
from datetime import date

import polars as pl

LOOK_BACK_DAYS = 91
PREFIX, SUFFIX = "macro_", "_change"


def macro_features(macro: pl.DataFrame, origins: Sequence[date]) -> pl.DataFrame:
    """One row per origin: for each series `macro_<series>_change`, its relative change over a quarter.

    Both values are the latest release known before the origin; a series that is not known for a quarter is
    null. The columns are sorted by series. Models read them under the names of `feature_columns`.
    """
    frame = pl.DataFrame({"origin_date": sorted(set(origins))}, schema={"origin_date": pl.Date})
    released = frame.join(macro, how="cross").filter(pl.col("released_on") < pl.col("origin_date"))
    by = ["origin_date", "series"]
    vintage = released.sort("released_on").unique([*by, "observation_date"], keep="last", maintain_order=True)
    latest = vintage.sort("observation_date").unique(by, keep="last", maintain_order=True)
    quarter = pl.duration(days=LOOK_BACK_DAYS)
    earlier = (
        vintage.join(latest.select(*by, now_on="observation_date", now="value"), on=by)
        .filter(pl.col("observation_date") <= pl.col("now_on") - quarter)
        .sort("observation_date")
        .unique(by, keep="last", maintain_order=True)
    )
    change = earlier.select(
        "origin_date",
        pl.concat_str(pl.lit(PREFIX), "series", pl.lit(SUFFIX)).alias("name"),
        change=pl.when(pl.col("value") != 0).then(pl.col("now") / pl.col("value") - 1),
    )
    names = [f"{PREFIX}{name}{SUFFIX}" for name in sorted(macro["series"].unique())]
    wide = change.pivot("name", index="origin_date", values="change") if change.height else frame
    joined = frame.join(wide, on="origin_date", how="left")
    absent = [pl.lit(None, dtype=pl.Float64).alias(name) for name in names if name not in joined.columns]
    return joined.with_columns(absent).select("origin_date", *names).sort("origin_date")


def feature_columns(series: Sequence[str]) -> dict[str, str]:
    """By column of `macro_features`, the name of the feature that a model with these series reads from it.

    It is in lower case, without what LightGBM allows in no name; a series that would share one gets a number.
    """
    columns: dict[str, str] = {}
    for name in series:
        plain = re.sub(r'[",:\[\]{}]', "_", name.lower())
        numbered = (
            f"{PREFIX}{plain}{number}{SUFFIX}" for number in ("", *(f"_{k}" for k in range(2, len(series) + 2)))
        )
        columns[f"{PREFIX}{name}{SUFFIX}"] = next(column for column in numbered if column not in columns.values())
    return columns


def series_of(rows: pl.DataFrame) -> list[str]:
    """The series that rows have columns of `macro_features` for."""
    return [name.removeprefix(PREFIX).removesuffix(SUFFIX) for name in rows.columns if name.startswith(PREFIX)]
