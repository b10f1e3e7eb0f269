"""Bands hold what they promise on data of the kind they were fitted on, and never cross."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting import bands

EVERY = settings(max_examples=25, deadline=None, derandomize=True)


def draws(seed: int, count: int = 20_000, noise: str = "poisson") -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    scale = chance.choice([4.0, 20.0, 60.0], count)
    forecast = scale * chance.uniform(0.05, 3.0, count)
    y = chance.poisson(forecast) if noise == "poisson" else forecast * chance.lognormal(0, 0.3, count)
    lead = chance.integers(0, 14, count).astype(np.int16)
    return pl.DataFrame({"forecast": forecast, "scale": scale, "y": y.astype(np.float64), "lead_days": lead})


def coverage(rows: pl.DataFrame) -> float:
    return float(rows.select(pl.col("y").is_between("q10", "q90").mean()).item())


@pytest.mark.parametrize("noise", ["poisson", "lognormal"])
def test_bands_cover_near_eighty_percent_of_fresh_draws(noise: str) -> None:
    fitted = bands.fit_bands(draws(1, noise=noise))
    fresh = bands.with_bands(draws(2, noise=noise), fitted)
    assert coverage(fresh) == pytest.approx(0.83, abs=0.04)
    assert fresh.select((pl.col("y") < pl.col("q10")).mean()).item() == pytest.approx(0.085, abs=0.04)
    for week in (pl.col("lead_days") < 7, pl.col("lead_days") >= 7):
        assert coverage(fresh.filter(week)) == pytest.approx(0.83, abs=0.05)


@pytest.mark.parametrize("share", [0.2, 0.6, 1.5, 2.5])
def test_small_and_large_forecasts_are_covered_alike(share: float) -> None:
    fresh = bands.with_bands(draws(2, 60_000), bands.fit_bands(draws(1, 60_000)))
    near = (pl.col("forecast") / pl.col("scale")).is_between(share - 0.15, share + 0.15)
    assert coverage(fresh.filter(near)) == pytest.approx(0.83, abs=0.07)


@pytest.mark.parametrize("scale", [4.0, 20.0, 60.0])
def test_small_and_large_stores_are_covered_alike(scale: float) -> None:
    """Counts scatter by the root of their mean: a small store's band must be wider for its size."""
    fresh = bands.with_bands(draws(2, 60_000), bands.fit_bands(draws(1, 60_000)))
    assert coverage(fresh.filter(pl.col("scale") == scale)) == pytest.approx(0.83, abs=0.1)


@EVERY
@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(1e-3, 1e3), st.integers(0, 13)), min_size=1, max_size=30),
    st.integers(0, 5),
    st.floats(-50, 50),
)
def test_bands_never_cross_and_are_never_negative(
    cells: list[tuple[float, float, int]], seed: int, shift: float
) -> None:
    biased = draws(seed, 2000).with_columns(pl.col("y") + shift)
    rows = pl.DataFrame(
        cells, schema={"forecast": pl.Float64, "scale": pl.Float64, "lead_days": pl.Int16}, orient="row"
    )
    found = bands.with_bands(rows, bands.fit_bands(biased))
    assert found["q50"].equals(rows["forecast"].alias("q50"))
    assert found.select((pl.col("q10") >= 0).all() & (pl.col("q10") <= pl.col("q50")).all()).item()
    assert found.select((pl.col("q50") <= pl.col("q90")).all() & pl.col("q90").is_finite().all()).item()


def test_few_cells_take_the_figures_of_all_sizes() -> None:
    fitted = bands.fit_bands(draws(1, 150))
    assert fitted.height == 2 * (len(bands.SIZES) + 1)
    assert fitted["low"].n_unique() == fitted["high"].n_unique() == 1
    assert fitted["low"][0] < 0 < fitted["high"][0]


def test_no_evidence_still_gives_a_band() -> None:
    fitted = bands.fit_bands(draws(1, 10).clear())
    found = bands.with_bands(draws(2, 10), fitted)
    assert found.select((pl.col("q10") < pl.col("q90")).all()).item()


def test_a_constant_series_has_a_band_of_no_width() -> None:
    steady = draws(1, 5000).with_columns(y="forecast")
    found = bands.with_bands(steady, bands.fit_bands(steady))
    assert found.select((pl.col("q90") - pl.col("q10")).abs().max()).item() == 0.0
