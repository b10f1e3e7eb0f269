"""What log_effects `smooth` from a plain day at the level of four weeks is what `log_effects` says."""

import numpy as np
import polars as pl
from polars.testing import assert_series_equal

from daypart.features.history.smoothed_baseline import log_effects, with_smoothed_baseline

BASELINE_LEVELS = ("day_level_7", "day_level_14")


def rows() -> pl.DataFrame:
    chance = np.random.default_rng(1)
    hours, days = 4, 30
    frame = pl.DataFrame({
        "day": np.repeat(np.arange(days), hours), "lead_days": np.repeat(np.arange(days) % 14, hours),
        "incumbent": chance.uniform(1, 9, days * hours),
        **{name: chance.uniform(1, 9, days * hours) for name in ("plain_base", "plain_12", "plain_26")},
        **{name: np.repeat(chance.uniform(0.3, 2.5, days), hours) for name in (*BASELINE_LEVELS, "holiday_effect")},
    })  # fmt: skip
    is_known = pl.col("day") % 3 > 0
    return frame.with_columns(
        pl.when(is_known).then(pl.col(name)).alias(name) for name in (*BASELINE_LEVELS, "holiday_effect")
    )


def test_moves_lead_from_a_plain_day_to_smooth() -> None:
    smoothed_rows = with_smoothed_baseline(rows(), "day")
    plain = with_smoothed_baseline(
        rows().with_columns(pl.lit(1.0).alias(name) for name in (*BASELINE_LEVELS, "holiday_effect")), "day"
    )
    features = smoothed_rows.rename({name: f"history_{name}" for name in (*BASELINE_LEVELS, "holiday_effect")})
    moved = features.select(value.alias(name) for name, value in log_effects().items()).sum_horizontal()
    assert moved.abs().max() > 0.5
    assert_series_equal(plain["smooth"] * moved.exp(), smoothed_rows["smooth"], check_names=False, rel_tol=1e-12)
