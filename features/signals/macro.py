"""Macro-economic series as released before an origin."""

import re
from collections.abc import Sequence
from datetime import date

import polars as pl

LOOK_BACK_DAYS = 91
MACRO_PREFIX, CHANGE_SUFFIX = "macro_", "_change"


def macro_features(macro: pl.DataFrame, origins: Sequence[date]) -> pl.DataFrame:
    """Return one row per origin: for each series `macro_<series>_change`, its relative change over a quarter.

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
        pl.concat_str(pl.lit(MACRO_PREFIX), "series", pl.lit(CHANGE_SUFFIX)).alias("name"),
        change=pl.when(pl.col("value") != 0).then(pl.col("now") / pl.col("value") - 1),
    )
    names = [f"{MACRO_PREFIX}{name}{CHANGE_SUFFIX}" for name in sorted(macro["series"].unique())]
    wide = change.pivot("name", index="origin_date", values="change") if change.height else frame
    joined = frame.join(wide, on="origin_date", how="left")
    absent = [pl.lit(None, dtype=pl.Float64).alias(name) for name in names if name not in joined.columns]
    return joined.with_columns(absent).select("origin_date", *names).sort("origin_date")


def feature_columns(series: Sequence[str]) -> dict[str, str]:
    """Return by column of `macro_features` the name of the feature that a model with these series reads from it.

    It is in lower case, without characters that LightGBM refuses; a series that would share a name gets a number.
    """
    columns: dict[str, str] = {}
    for name in series:
        plain = re.sub(r'[",:\[\]{}]', "_", name.lower())
        numbered = (
            f"{MACRO_PREFIX}{plain}{number}{CHANGE_SUFFIX}"
            for number in ("", *(f"_{k}" for k in range(2, len(series) + 2)))
        )
        columns[f"{MACRO_PREFIX}{name}{CHANGE_SUFFIX}"] = next(
            column for column in numbered if column not in columns.values()
        )
    return columns


def series_of(rows: pl.DataFrame) -> list[str]:
    """Return the series for which rows have columns of `macro_features`."""
    return [
        name.removeprefix(MACRO_PREFIX).removesuffix(CHANGE_SUFFIX)
        for name in rows.columns
        if name.startswith(MACRO_PREFIX)
    ]
