from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from daypart.features.quality import input_drift

ON = date(2025, 6, 2)


def by_hand(now: list[float], before: list[float]) -> float:
    """Classes by the earlier values' deciles, counted one value at a time."""
    edges = sorted(set(np.quantile(before, [k / 10 for k in range(1, 10)])))
    total = 0.0
    for k in range(len(edges) + 1):
        low, high = (edges[k - 1] if k else -np.inf), (edges[k] if k < len(edges) else np.inf)
        shares = [max(sum(low < value <= high for value in sample) / len(sample), 1e-3) for sample in (now, before)]
        total += (shares[0] - shares[1]) * np.log(shares[0] / shares[1])
    return total


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0, -6.0, 6.0])
def test_the_index_is_that_counted_by_hand(shift: float) -> None:
    rng = np.random.default_rng(1)
    now, before = (rng.normal(mean, 1.0, 300).tolist() for mean in (shift, 0.0))
    assert input_drift.stability(pl.Series(now), pl.Series(before)) == pytest.approx(by_hand(now, before), rel=1e-12)


def test_what_is_mostly_zero_has_fewer_classes() -> None:
    before = [0.0] * 280 + [float(k) for k in range(1, 21)]
    assert input_drift.stability(pl.Series(before), pl.Series(before)) == 0.0
    assert input_drift.stability(pl.Series([3.0] * 300), pl.Series(before)) > input_drift.STRONG_DRIFT_PSI


def frame(temperature: float, days: int = 300, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame({"demand": rng.normal(1.0, 0.1, days), "temperature_c": rng.normal(temperature, 4.0, days)})


def test_a_season_that_came_again_is_told_so_and_a_warmer_one_in_words() -> None:
    same = input_drift.drifts(frame(15.0, seed=1), frame(15.0))
    assert [drift.name for drift in input_drift.significant_drifts(same)] == []
    warmer = input_drift.drifts(frame(20.0, seed=1), frame(15.0))
    assert [drift.name for drift in input_drift.significant_drifts(warmer)] == ["temperature_c"]
    assert warmer[0].told.startswith("temperature has moved by much beside the same weeks a year ago: 2")
    assert "stability index" in warmer[0].told


@pytest.mark.parametrize(
    ("degrees", "words"),
    [(0.5, "is as it was"), (1.7, "has moved"), (2.7, "has moved by much"), (9.0, "has moved by much")],
)
def test_a_drift_is_told_by_its_index(degrees: float, words: str) -> None:
    now, before = (frame(mean, days=2000, seed=int(mean)) for mean in (15.0 + degrees, 15.0))
    drift = {item.name: item for item in input_drift.drifts(now, before)}["temperature_c"]
    assert words == ("is as it was" if drift.psi < 0.1 else "has moved" if drift.psi < 0.25 else "has moved by much")
    means = f"{now['temperature_c'].mean():.1f} C after {before['temperature_c'].mean():.1f} C"
    assert drift.told == (
        f"temperature {words} beside the same weeks a year ago: {means} (stability index {drift.psi:.2f})"
    )
    assert (drift.now, drift.before) == (now["temperature_c"].mean(), before["temperature_c"].mean())


def test_the_input_that_moved_most_comes_first() -> None:
    now = frame(17.0, seed=1).with_columns(pl.col("demand") + 1)
    drifts = input_drift.drifts(now, frame(15.0))
    assert [item.name for item in drifts] == ["demand", "temperature_c"]
    assert "199.0% after 99.6%" in drifts[0].told
    assert [item.name for item in input_drift.drifts(frame(17.0, seed=1), frame(15.0))] == ["temperature_c", "demand"]


def test_too_few_days_say_nothing() -> None:
    assert input_drift.drifts(frame(20.0), frame(15.0, days=199)) == []
    assert len(input_drift.drifts(frame(20.0), frame(15.0, days=200))) == 2
    holes = frame(20.0).with_columns(temperature_c=pl.when(pl.int_range(pl.len()) >= 199).then(None).otherwise(20.0))
    assert [drift.name for drift in input_drift.drifts(holes, frame(15.0))] == ["demand"]


def test_the_same_weeks_a_year_ago_meet_the_weekdays() -> None:
    (first, last), (from_then, to_then) = input_drift.seasons(ON)
    assert last == ON - timedelta(days=1)
    assert (first - from_then).days == 371
    assert (to_then - from_then).days == (last - first).days + 14
    assert from_then.weekday() == first.weekday()
