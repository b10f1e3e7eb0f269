"""Learned and statistical members: bounded, deterministic, in the target's own unit."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from daypart.features.matrix import feature_names
from daypart.forecasting.models import statistical
from daypart.forecasting.models.members import BOOSTED, Learned, fit
from daypart.forecasting.models.recipe import Recipe

RECIPE = Recipe(rounds=20, max_rows=5000, folds=1)


def rows(count: int = 3000, seed: int = 1) -> pl.DataFrame:
    """Matrix rows of which demand is the incumbent times twice the level feature."""
    chance = np.random.default_rng(seed)
    base = chance.uniform(5, 50, count)
    level = chance.choice([0.5, 1.0, 2.0], count)
    return pl.DataFrame(
        {
            "incumbent": base, "smooth": base, "scale": np.full(count, 20.0), "history_level": level,
            "history_shape": base / 20.0, "store_id": "A",
            "date": [date(2024, 1, 1) + timedelta(days=k % 500) for k in range(count)],
            "event_code": chance.integers(0, 3, count).astype(np.int32), "calendar_noise": chance.uniform(size=count),
            "y": base * level,
        }
    )  # fmt: skip


def learned(member: str, frame: pl.DataFrame) -> Learned:
    fitted_member = fit(member, frame.drop("y"), frame["y"].to_numpy(), RECIPE.model_copy(update={"rounds": 200}))
    assert isinstance(fitted_member, Learned)
    return fitted_member


@pytest.mark.parametrize("member", BOOSTED)
def test_a_member_learns_a_departure_and_says_it_in_the_targets_unit(member: str) -> None:
    train, fresh = rows(), rows(seed=2)
    predictions = learned(member, train).predict(fresh)
    miss = np.abs(predictions - fresh["y"].to_numpy()).sum() / fresh["y"].sum()
    by_hand = (fresh["incumbent"] - fresh["y"]).abs().sum() / fresh["y"].sum()
    assert miss < 0.3 * by_hand


@pytest.mark.parametrize("member", BOOSTED)
def test_two_fits_are_the_same_text(member: str) -> None:
    assert learned(member, rows()) == learned(member, rows())


@pytest.mark.parametrize("member", BOOSTED)
def test_what_a_member_says_is_bounded_never_negative_and_never_nan(member: str) -> None:
    train = rows()
    wild = train.with_columns(y=pl.when(pl.int_range(pl.len()) == 7).then(1e7).otherwise("y"))
    member_of_wild = learned(member, wild)
    odd = rows(seed=3).with_columns(
        history_level=pl.lit(1e9), incumbent=pl.lit(0.0), smooth=pl.lit(0.0), history_shape=pl.lit(None)
    )
    for frame in (odd, rows(seed=4)):
        predictions = member_of_wild.predict(frame)
        assert np.isfinite(predictions).all()
        assert (predictions >= 0).all()
        assert predictions.max() <= 50 * 20.0


def test_a_matrix_without_a_feature_is_forecast_as_if_it_were_missing() -> None:
    member, fresh = learned("ratio", rows()), rows(seed=5)
    blank = fresh.with_columns(calendar_noise=pl.lit(None, dtype=pl.Float64))
    assert np.array_equal(member.predict(fresh.drop("calendar_noise")), member.predict(blank))


def test_importance_sums_to_one_and_finds_the_driver() -> None:
    gain = learned("ratio", rows()).importance().sort("gain_share")
    assert set(gain["feature"]) == set(feature_names(rows()))
    assert gain["gain_share"].sum() == pytest.approx(1.0)
    assert gain["feature"][-1] == "history_level"


def totals(days: int, store: str = "A", closed: tuple[int, ...] = ()) -> pl.DataFrame:
    """Daily totals 100 on Monday .. 160 on Sunday."""
    steps = [k for k in range(days) if k not in closed]
    return pl.DataFrame(
        {
            "store_id": [store] * len(steps),
            "date": [date(2024, 1, 1) + timedelta(days=k) for k in steps],
            "total": [100.0 + 10 * (k % 7) for k in steps],
        }
    )


def test_statistical_member_carries_a_steady_week_on() -> None:
    origin = date(2024, 1, 1) + timedelta(days=70)
    forecasts = statistical.daily_forecasts(totals(70), [origin], 14)
    assert forecasts["date"].to_list() == [origin + timedelta(days=k) for k in range(14)]
    assert forecasts["total"].to_list() == pytest.approx([100.0 + 10 * (k % 7) for k in range(14)], rel=0.02)


def test_statistical_member_knows_nothing_from_its_origin_on() -> None:
    origin = date(2024, 1, 1) + timedelta(days=42)
    late = pl.col("date") >= origin
    wild = totals(70).with_columns(total=pl.when(late).then(1e6).otherwise("total"))
    alone = statistical.daily_forecasts(totals(42), [origin], 14)
    assert statistical.daily_forecasts(wild, [origin], 14).equals(alone)
    among = statistical.daily_forecasts(wild, [origin, origin + timedelta(days=7)], 14)
    assert among.filter(pl.col("origin_date") == origin).equals(alone)


def test_closed_days_are_bridged_by_the_week_before() -> None:
    origin = date(2024, 1, 1) + timedelta(days=70)
    forecasts = statistical.daily_forecasts(totals(70, closed=(50, 51, 66)), [origin], 7)
    assert forecasts["total"].to_list() == pytest.approx([100.0 + 10 * k for k in range(7)], rel=0.05)


def test_a_short_history_is_silent_and_so_is_its_spread() -> None:
    origin = date(2024, 1, 1) + timedelta(days=20)
    days = statistical.daily_forecasts(totals(20), [origin], 14)
    assert days.is_empty()
    hours = pl.DataFrame({"store_id": ["A"], "origin_date": [origin], "date": [origin], "shape": [1.0]})
    assert statistical.spread(hours, "shape", days).to_list() == [None]


def test_spread_gives_each_hour_its_share_of_the_day() -> None:
    origin = date(2024, 1, 1)
    hours = pl.DataFrame(
        {
            "store_id": ["A"] * 3 + ["B"],
            "origin_date": [origin] * 4,
            "date": [origin] * 4,
            "shape": [1.0, 3.0, 0.0, 0.0],
        }
    )
    days = pl.DataFrame(
        {"store_id": ["A", "B"], "origin_date": [origin] * 2, "date": [origin] * 2, "total": [80.0, 9.0]}
    )
    assert statistical.spread(hours, "shape", days).to_list() == [20.0, 60.0, 0.0, None]
