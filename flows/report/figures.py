"""The tables that a report shows, computed from the backtest frame."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from daypart.features.money import UNIT
from daypart.forecasting.metrics.accuracy import SCORED_CELL_KEYS, Level, score

BAND_QUANTILES = {"q10": 0.1, "q50": 0.5, "q90": 0.9}
RANKED_STORES = 5
"""Number of stores at each end of a ranking."""
WEEK_STORES = 5
"""Number of stores whose week is shown."""


def by_level(scored: pl.DataFrame, *by: str) -> pl.DataFrame:
    """Return one row per target, group of `by` and level, with the figures of `score`; levels from day to hour."""
    levels: list[Level] = list(reversed(SCORED_CELL_KEYS))
    figures = [score(scored, level, ["target", *by]).with_columns(level=pl.lit(level)) for level in levels]
    return pl.concat(figures).sort("target", *by, maintain_order=True)


def by_daypart(scored: pl.DataFrame, level: Level) -> pl.DataFrame:
    """Return one row per target and daypart, in the order of the day, with the figures of `score`."""
    has_daypart = pl.col("daypart").is_not_null()
    order = scored.filter(has_daypart).group_by("daypart").agg(first=pl.col("hour_local").dt.hour().min())
    return (
        score(scored.filter(has_daypart), level, ["target", "daypart"])
        .join(order, on="daypart", how="left", validate="m:1")
        .sort("target", "first", "daypart")
        .drop("first")
    )


def by_store(scored: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    """Return one row per target and store with an accuracy, best first.

    Columns are the figures of `score` at hour level, `day_bps`, `rank`, `store_count` (of ranked stores) and `name`.
    `names` are those of a `Report`; a store that is not among them has a null name.
    """
    days = score(scored, "day", ["target", "store_id"]).select("target", "store_id", day_bps="accuracy_bps")
    return (
        score(scored, "hour", ["target", "store_id"])
        .filter(pl.col("accuracy_bps").is_not_null())
        .join(days, on=["target", "store_id"], how="left", validate="1:1")
        .sort(["target", "accuracy_bps", "store_id"], descending=[False, True, False])
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("target"), store_count=pl.len().over("target"))
        .with_columns(name=pl.col("store_id").replace_strict(names, default=None, return_dtype=pl.String))
    )


@dataclass(frozen=True)
class Ranking:
    """The best and worst stores of a target; `worst` is empty if `best` has all of them."""

    best: list[dict[str, object]]
    worst: list[dict[str, object]]


def ranking(stores: pl.DataFrame) -> Ranking:
    """Return the best and worst five stores of one target (`by_store`), or all stores if there are at most ten."""
    rows = stores.sort("rank").to_dicts()
    if len(rows) <= 2 * RANKED_STORES:
        return Ranking(rows, [])
    return Ranking(rows[:RANKED_STORES], rows[-RANKED_STORES:])


def reliability(scored: pl.DataFrame) -> pl.DataFrame:
    """Return one row per target and quantile, over hours with an actual and q90 > 0.

    `below` and `reached` are the shares of actuals strictly below and at or below the quantile. Counts tie
    with their quantiles, so a calibrated one has `nominal` between the two.
    """
    long = _with_band(scored).unpivot(
        on=list(BAND_QUANTILES), index=["target", "actual"], variable_name="quantile", value_name="level"
    )
    return (
        long.group_by("target", "quantile")
        .agg(
            below=(pl.col("actual") < pl.col("level")).mean(),
            reached=(pl.col("actual") <= pl.col("level")).mean(),
        )
        .with_columns(nominal=pl.col("quantile").replace_strict(BAND_QUANTILES, return_dtype=pl.Float64))
        .sort("target", "quantile")
    )


def coverage_by_daypart(scored: pl.DataFrame) -> pl.DataFrame:
    """Return one row per target and daypart, in the order of the day, then one of all hours (a null daypart).

    Shares of actuals `below`, `inside` and `above` the band and at or below the `middle` (q50), and `hours`,
    over hours with an actual and q90 > 0.
    """
    rows = _with_band(scored)
    all_hours = pl.lit(None, dtype=pl.String).alias("daypart")
    actual = pl.col("actual")
    return (
        pl.concat([rows.filter(pl.col("daypart").is_not_null()), rows.with_columns(all_hours)])
        .group_by("target", "daypart")
        .agg(
            first=pl.col("hour_local").dt.hour().min(),
            hours=pl.len(),
            below=(actual < pl.col("q10")).mean(),
            inside=actual.is_between("q10", "q90").mean(),
            above=(actual > pl.col("q90")).mean(),
            middle=(actual <= pl.col("q50")).mean(),
        )
        .sort("target", pl.col("daypart").is_null(), "first", "daypart")
        .drop("first")
    )


def coverage_by_size(scored: pl.DataFrame) -> pl.DataFrame:
    """Return one row per target and tenth of its hours by forecast size: coverage, hours and range of forecasts.

    Money of several currencies is divided by its unit (`daypart.features.money`).
    """
    # Equal forecasts share a tenth, so that the result does not depend on the order of rows.
    size = pl.col("forecast") / pl.col(UNIT) if UNIT in scored.columns else pl.col("forecast")
    tenth = ((size.rank("min") - 1) * 10 // pl.len() + 1).over("target").cast(pl.Int64)
    return (
        _with_band(scored)
        .with_columns(tenth=tenth)
        .group_by("target", "tenth")
        .agg(
            coverage=pl.col("actual").is_between("q10", "q90").mean(),
            hours=pl.len(),
            smallest=size.min(),
            largest=size.max(),
        )
        .sort("target", "tenth")
    )


def weeks(scored: pl.DataFrame, stores: pl.DataFrame) -> pl.DataFrame:
    """Return one row per target, store and hour: the first week of the last scored origin of up to five stores.

    The stores are at the best, worst and quarter positions of `by_store`; `typical` marks the middle one.
    """
    chosen = pl.concat([_spread_stores(group) for (_,), group in stores.group_by("target", maintain_order=True)])
    first_week = scored.filter(pl.col("lead_days") < 7).join(
        chosen, on=["target", "store_id"], how="inner", validate="m:1"
    )
    last = (
        first_week.filter(pl.col("actual").is_not_null())
        .group_by("target", "store_id")
        .agg(origin_date=pl.col("origin_date").max())
    )
    return first_week.join(last, on=["target", "store_id", "origin_date"], how="semi").sort(
        "target", "rank", "hour_utc"
    )


def _spread_stores(stores: pl.DataFrame) -> pl.DataFrame:
    """Return stores of one target at evenly spread positions of its ranking."""
    last = stores.height - 1
    positions = sorted({round(step * last / (WEEK_STORES - 1)) for step in range(WEEK_STORES)})
    return stores[positions].select(
        "target",
        "store_id",
        "name",
        "rank",
        "store_count",
        "accuracy_bps",
        typical=pl.col("rank") == round(last / 2) + 1,
    )


def _with_band(scored: pl.DataFrame) -> pl.DataFrame:
    return scored.filter(pl.col("actual").is_not_null(), pl.col("q90") > 0.0)


def top_features(importance: pl.DataFrame, count: int = 15) -> pl.DataFrame:
    """Return the `count` features of each target with the largest mean share of gain over the members, one row each."""
    members = importance.group_by("target").agg(members=pl.col("member").n_unique())
    return (
        importance.group_by("target", "feature")
        .agg(total=pl.col("gain_share").sort().sum())
        .join(members, on="target", how="left", validate="m:1")
        .with_columns(gain_share=pl.col("total") / pl.col("members"))
        .sort(["target", "gain_share", "feature"], descending=[False, True, False])
        .group_by("target", maintain_order=True)
        .head(count)
        .select("target", "feature", "gain_share")
    )
