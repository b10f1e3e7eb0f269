"""Macro-economic series as they had been released before an origin."""

from collections.abc import Sequence
from datetime import date

import polars as pl

LOOK_BACK_DAYS = 91


def macro_features(macro: pl.DataFrame, origins: Sequence[date]) -> pl.DataFrame:
    """One row per origin: for each series `macro_<series>_change`, its relative change over a quarter.

    Both values are the latest release known before the origin; a series that is not known for a quarter is
    null. The columns are sorted by series.
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
        pl.format("macro_{}_change", pl.col("series").str.to_lowercase()).alias("name"),
        change=pl.when(pl.col("value") != 0).then(pl.col("now") / pl.col("value") - 1),
    )
    names = [f"macro_{name.lower()}_change" for name in sorted(macro["series"].unique())]
    wide = change.pivot("name", index="origin_date", values="change") if change.height else frame
    found = frame.join(wide, on="origin_date", how="left")
    absent = [pl.lit(None, dtype=pl.Float64).alias(name) for name in names if name not in found.columns]
    return found.with_columns(absent).select("origin_date", *names).sort("origin_date")
