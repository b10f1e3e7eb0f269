import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.simulator.events import SpellRanges, Spells, daily_effects, draw_spells
from daypart.features.simulator.noise import ASPECTS, gaussian_paths, stream

RANGES = st.tuples(st.integers(1, 30), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def test_streams_differ_by_seed_aspect_and_item_and_repeat() -> None:
    draws = [stream(*key).random() for key in ((1, "rain"), (2, "rain"), (1, "wind"), (1, "rain", 1))]
    assert len(set(draws)) == 4
    assert stream(1, "rain").random() == draws[0]
    assert len(set(ASPECTS)) == len(ASPECTS)


@pytest.mark.parametrize(("memory", "order"), [(5.0, 1), (40.0, 1), (20.0, 2)])
def test_paths_are_standard_and_remember(memory: float, order: int) -> None:
    noise_paths = gaussian_paths(stream(1, "rain"), 60, 5001, memory, order)
    root = np.exp(-1 / memory)
    lag_one = root if order == 1 else 2 * root / (1 + root**2)
    assert noise_paths.shape == (60, 5001)
    assert noise_paths.mean() == pytest.approx(0, abs=0.05)
    assert noise_paths.std() == pytest.approx(1, abs=0.05)
    assert np.mean(noise_paths[:, 1:] * noise_paths[:, :-1]) / noise_paths.var() == pytest.approx(lag_one, abs=0.01)


@given(st.integers(0, 99), st.integers(1, 400), RANGES, RANGES, st.integers(1, 5))
def test_spells_keep_their_gaps_and_fill_the_span(
    seed: int, span: int, gaps: tuple[int, int], lengths: tuple[int, int], offers: int
) -> None:
    ranges = SpellRanges(gaps, lengths, offers)
    few, many = (draw_spells(stream(seed, "refits"), rows, span, ranges) for rows in (2, 5))
    assert np.array_equal(few.first, many.first[:2])
    between = many.first[:, 1:] - (many.first + many.days)[:, :-1]
    assert between.min() >= gaps[0]
    assert between.max() <= gaps[1]
    assert lengths[0] <= many.days.min() <= many.days.max() <= lengths[1]
    assert 0 <= many.offer.min() <= many.offer.max() < offers
    assert (many.first + many.days)[:, -1].min() >= span


def test_daily_effects_are_those_of_the_runs_that_cover_the_day() -> None:
    spells = Spells(*(np.array([row]) for row in ([1, 6], [3, 9], [0, 1], [18, 18])))
    effects = np.array([[1.0, 2.0], [10.0, 20.0]])
    expected = np.zeros((1, 8, 2))
    expected[0, 1:4] = effects[0]
    expected[0, 6:8] = effects[1]
    assert np.allclose(daily_effects(spells, effects, 8), expected)
