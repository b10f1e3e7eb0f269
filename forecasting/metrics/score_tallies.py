"""Tallies: sums over published hours, from which accuracy at any level and by any group is computed."""

from collections.abc import Sequence

import polars as pl

from daypart.forecasting.metrics.accuracy import Level, deviations
from daypart.forecasting.metrics.expressions import accuracy_bps, coverage_of_counts, volume_bps, wape_bps

TALLY_KEY = ("store_id", "target", "origin_date", "date", "daypart")
ATTRIBUTES = ("lead_days", "model_version", "tier")
TALLIED_CELL_KEYS: dict[Level, tuple[str, ...]] = {
    "hour": TALLY_KEY,
    "daypart": TALLY_KEY,
    "day": ("store_id", "target", "origin_date", "date"),
}


def tally(scored: pl.DataFrame) -> pl.DataFrame:
    """Return one row per store, target, origin, calendar date and daypart (null = outside any).

    `scored` are published hours with `actual`, null where they are not scored. Sums over the hours that have one, in
    the target's unit: `actual`, `forecast`, `incumbent`, `error` and `incumbent_error` (absolute, by the hour), `floor`
    (orders: the least error that their volume allows by the hour, as `accuracy.score` has it; null for money). Counts:
    `hours`, `banded` (hours with q90 > 0) and `held` (those of them within q10 to q90). `unscored` is the forecast of
    the hours without an actual: above 0 on a day that was forecast as open and is left out.
    """
    # In one order, so that sums have the same bits whatever the order of the rows.
    ordered = _hour_columns(scored).sort("store_id", "target", "origin_date", "hour_utc")
    return ordered.group_by(TALLY_KEY, maintain_order=True).agg(
        pl.col(ATTRIBUTES).first(),
        pl.col("actual").count().cast(pl.Int16).alias("hours"),
        pl.col("held", "banded").sum().cast(pl.Int16),
        pl.col("actual", "forecast", "incumbent", "error", "incumbent_error", "unscored").sum(),
        pl.when(pl.col("floor").is_not_null().any()).then(pl.col("floor").sum()).alias("floor"),
    )


def _hour_columns(scored: pl.DataFrame) -> pl.DataFrame:
    """Return published hours with the columns that `tally` sums."""
    actual = pl.col("actual")
    high = pl.when(actual.is_not_null()).then("q90").fill_null(0.0)
    forecast, by_hand = (
        pl.when(actual.is_not_null()).then(pl.col(n).fill_null(0.0)) for n in ("forecast", "incumbent")
    )
    return scored.with_columns(
        date=pl.col("business_date"),
        forecast=forecast,
        unscored=pl.when(actual.is_null()).then(pl.col("forecast")),
        incumbent=by_hand,
        error=(pl.col("forecast") - actual).abs(),
        incumbent_error=(by_hand - actual).abs(),
        floor=deviations(pl.when(pl.col("target") == "orders").then(forecast)),
        banded=high > 0.0,
        held=(actual.is_between(pl.col("q10").fill_null(0.0), high) & (high > 0.0)).fill_null(value=False),
    )


def score(tallies: pl.LazyFrame, level: Level, by: Sequence[str]) -> pl.DataFrame:
    """Return the figures of `accuracy.score` at a level from tallies: one row per group of `by`, sorted by them.

    As there, the day has all of its hours and the daypart leaves out those outside any; `excess_bps` is the error
    above the floor. A floor at daypart and day is that of the summed forecast.
    """
    rows = tallies.filter(pl.col("hours") > 0)
    rows = rows.filter(pl.col("daypart").is_not_null()) if level == "daypart" else rows
    key = list(dict.fromkeys((*TALLIED_CELL_KEYS[level], *by)))
    if level != "hour":
        sums = [pl.col("actual", "forecast", "incumbent").sum(), pl.lit(1).alias("hours"), pl.lit(None).alias("held")]
        unit = pl.when(pl.col("target") == "orders").then(pl.col("forecast"))
        rows = rows.group_by(key).agg(sums).with_columns(
            error=(pl.col("forecast") - pl.col("actual")).abs(),
            incumbent_error=(pl.col("incumbent") - pl.col("actual")).abs(),
            floor=deviations(unit),
            banded=pl.lit(None),
        )  # fmt: skip
    ordered = rows.sort(key, nulls_last=True)
    return ordered.group_by(by, maintain_order=True).agg(_figures()).collect().sort(by, nulls_last=True)


def count_unscored(tallies: pl.LazyFrame) -> dict[str, int]:
    """Return by target how many store-days that were forecast as open are not scored; see `actuals.count_unscored`."""
    counts = tallies.group_by("target").agg(
        pl.struct("store_id", "date").filter(pl.col("unscored") > 0.0).n_unique().cast(pl.Int64)
    )
    return dict(counts.sort("target").collect().iter_rows())


def _figures() -> list[pl.Expr]:
    actual = pl.col("actual").sum()
    error = volume_bps(pl.col("error").sum(), actual)
    by_hand = volume_bps(pl.col("incumbent_error").sum(), actual)
    floor = wape_bps(pl.col("floor"), pl.col("actual"))
    return [
        pl.col("hours").sum().cast(pl.Int64).alias("cells"),
        actual.alias("actual"),
        accuracy_bps(error).alias("accuracy_bps"),
        accuracy_bps(by_hand).alias("incumbent_bps"),
        (by_hand - error).alias("gain_bps"),
        floor.alias("floor_bps"),
        accuracy_bps(floor).alias("floor_accuracy_bps"),
        (error - floor).alias("excess_bps"),
        volume_bps(pl.col("forecast").sum() - actual, actual).alias("bias_bps"),
        coverage_of_counts(pl.col("held"), pl.col("banded")).cast(pl.Float64).alias("coverage"),
    ]
