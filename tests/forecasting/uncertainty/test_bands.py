"""Bands hold what they promise on data of the kind they were fitted on, and never cross."""

import json
from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daypart.forecasting.uncertainty import bands

EVERY = settings(max_examples=25)
NOMINAL = 0.81


def draws(seed: int, count: int = 20_000, noise: str = "poisson") -> pl.DataFrame:
    """Hours of three stores; `loud` errs twice as much as the others where noise is lognormal."""
    chance = np.random.default_rng(seed)
    scale = chance.choice([4.0, 20.0, 60.0], count)
    forecast = scale * chance.uniform(0.05, 3.0, count)
    store = chance.choice(["calm", "usual", "loud"], count)
    loud = np.where(store == "loud", 0.6, 0.3)
    y = chance.poisson(forecast) if noise == "poisson" else forecast * np.exp(loud * chance.normal(size=count))
    rest = {"lead_days": chance.integers(0, 14, count).astype(np.int16), "hour": chance.integers(6, 24, count)}
    return pl.DataFrame({"store_id": store, "forecast": forecast, "scale": scale, "y": y.astype(np.float64), **rest})


def coverage(rows: pl.DataFrame) -> float:
    return float(rows.select(pl.col("y").is_between("q10", "q90").mean()).item())


def banded(noise: str = "poisson", count: int = 20_000) -> pl.DataFrame:
    return bands.with_bands(draws(2, count, noise), bands.fit_bands(draws(1, count, noise)))


@pytest.mark.parametrize("noise", ["poisson", "lognormal"])
def test_bands_cover_near_eighty_percent_of_fresh_draws(noise: str) -> None:
    fresh = banded(noise)
    assert coverage(fresh) == pytest.approx(NOMINAL, abs=0.015)
    assert fresh.select((pl.col("y") < pl.col("q10")).mean()).item() == pytest.approx(0.095, abs=0.01)
    for week in (pl.col("lead_days") < 7, pl.col("lead_days") >= 7):
        assert coverage(fresh.filter(week)) == pytest.approx(NOMINAL, abs=0.02)


@pytest.mark.parametrize("share", [0.2, 0.6, 1.5, 2.5])
def test_small_and_large_forecasts_are_covered_alike(share: float) -> None:
    near = (pl.col("forecast") / pl.col("scale")).is_between(share - 0.15, share + 0.15)
    assert coverage(banded(count=60_000).filter(near)) == pytest.approx(NOMINAL, abs=0.05)


@pytest.mark.parametrize("scale", [4.0, 20.0, 60.0])
def test_small_and_large_stores_are_covered_alike(scale: float) -> None:
    """Counts scatter by the root of their mean: a small store's band must be wider for its size."""
    assert coverage(banded(count=60_000).filter(pl.col("scale") == scale)) == pytest.approx(NOMINAL, abs=0.08)


@pytest.mark.parametrize("store", ["calm", "loud"])
def test_calm_and_loud_stores_are_covered_alike(store: str) -> None:
    assert coverage(banded("lognormal").filter(pl.col("store_id") == store)) == pytest.approx(NOMINAL, abs=0.03)


def by_hand(rows: pl.DataFrame) -> dict[tuple[int, int], list[float]]:
    """The errors of each lead week and size, from loops."""
    cells = []
    for store, forecast, scale, y, lead, hour in rows.select(
        "store_id", "forecast", "scale", "y", "lead_days", "hour"
    ).iter_rows():
        part = "breakfast" if hour <= 10 else "lunch" if hour <= 14 else "dinner" if hour <= 21 else "other"
        size = sum(forecast / scale > edge for edge in bands.SIZE_EDGES)
        cells.append((store, part, lead // 7, size, (y - forecast) / max(forecast, 0.05 * scale) ** 0.6))
    usual = sum(abs(cell[4]) for cell in cells) / len(cells)
    parts, stores = defaultdict(list), defaultdict(list)
    for store, part, _, _, error in cells:
        parts[part].append(abs(error) / usual)
        stores[store, part].append(abs(error) / usual)
    of_part = {part: (sum(errors) + 400) / (len(errors) + 400) for part, errors in parts.items()}
    ratio = {key: (sum(errors) + 400 * of_part[key[1]]) / (len(errors) + 400) for key, errors in stores.items()}
    scaled = [(week, size, error / ratio[store, part]) for store, part, week, size, error in cells]
    overall = leaning([cell[2] for cell in scaled], [0.0] * 23, 0)
    cell_errors = {}
    for week in (0, 1):
        of_week = leaning([error for at, _, error in scaled if at == week], overall, 400)
        for group in range(9):
            group_errors = [error for at, size, error in scaled if (at, size) == (week, group)]
            cell_errors[week, group] = leaning(group_errors, of_week, 400)
    return cell_errors


def leaning(errors: list[float], priors: list[float], trust: int) -> list[float]:
    """The k-th of n errors is the quantile k / (n + 1), with a straight line between two."""
    quantiles, count, ordered = [], len(errors), sorted(errors)
    for level, other in zip(bands.QUANTILE_LEVELS, priors, strict=True):
        place = (0.5 + (level - 0.5) * 1.0125) * (count + 1)
        below = min(max(int(place), 1), count)
        above = min(below + 1, count)
        share = min(max(place - below, 0.0), 1.0)
        own_quantile = ordered[below - 1] + share * (ordered[above - 1] - ordered[below - 1])
        quantiles.append((count * own_quantile + trust * other) / (count + trust))
    return quantiles


@pytest.mark.parametrize("count", [300, 4000])
def test_marginals_are_those_of_loops(count: int) -> None:
    chance = np.random.default_rng(5).uniform(size=count)
    rows = draws(4, count, "lognormal").with_columns(
        forecast=pl.when(pl.Series(chance < 0.1)).then(0.0).otherwise("forecast")
    )
    fitted = bands.fit_bands(rows)
    for (week, size), expected in by_hand(rows).items():
        band = [min(e, 0.0) if p < 0.5 else max(e, 0.0) if p > 0.5 else 0.0
                for p, e in zip(bands.QUANTILE_LEVELS, expected, strict=True)]  # fmt: skip
        assert fitted.errors[week * 9 + size] == pytest.approx(band, abs=1e-6), (week, size)


@EVERY
@given(
    st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e3), st.integers(0, 13)), min_size=1, max_size=30),
    st.integers(0, 5),
    st.floats(-50, 50),
)
def test_bands_never_cross_and_are_never_negative(
    cells: list[tuple[float, float, int]], seed: int, shift: float
) -> None:
    biased = draws(seed, 2000).with_columns(pl.col("y") + shift)
    rows = pl.DataFrame(
        cells, schema={"forecast": pl.Float64, "scale": pl.Float64, "lead_days": pl.Int16}, orient="row"
    ).with_columns(store_id=pl.lit("new"), hour=pl.lit(12))
    fitted = bands.fit_bands(biased)
    result = bands.with_bands(rows, fitted)
    assert result["q50"].equals(rows["forecast"].alias("q50"))
    assert result.select((pl.col("q10") >= 0).all() & (pl.col("q10") <= pl.col("q50")).all()).item()
    assert result.select((pl.col("q50") <= pl.col("q90")).all() & pl.col("q90").is_finite().all()).item()
    assert (np.diff(fitted.errors, axis=1) >= 0).all()
    nothing = result.filter(pl.col("forecast") == 0, pl.col("scale") == 0)
    assert nothing["q90"].sum() == 0


def test_few_cells_take_the_quantiles_of_all_sizes() -> None:
    few = draws(1, 150).filter(pl.col("forecast") > 0.5 * pl.col("scale"))
    fitted = bands.fit_bands(few)
    assert (fitted.errors[:3] == fitted.errors[0]).all()
    assert fitted.errors[0, 0] < 0 < fitted.errors[0, -1]


def test_a_store_without_evidence_takes_the_ratio_of_its_daypart() -> None:
    fitted = bands.fit_bands(draws(1, noise="lognormal"))
    row = draws(2, 1).with_columns(hour=pl.lit(12), store_id=pl.lit("new"))
    usual = fitted.ratios.filter(pl.col("store_id").is_null(), pl.col("daypart") == "lunch")["ratio"].item()
    reach = max(row["forecast"].item(), 0.05 * row["scale"].item())
    assert fitted.place(row)["spread"].item() == pytest.approx(reach**0.6 * usual)
    loud = fitted.place(row.with_columns(store_id=pl.lit("loud")))["spread"].item()
    assert loud > 1.2 * fitted.place(row)["spread"].item()


def test_the_order_of_the_evidence_does_not_matter() -> None:
    rows = draws(1, 5000)
    assert bands.fit_bands(rows).to_dict() == bands.fit_bands(rows.sample(fraction=1.0, shuffle=True, seed=1)).to_dict()


def test_bands_come_back_from_json_to_the_last_bit() -> None:
    fitted = bands.fit_bands(draws(1, 5000))
    again = bands.Bands.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again.to_dict() == fitted.to_dict()
    fresh = draws(2, 500)
    assert bands.with_bands(fresh, again).equals(bands.with_bands(fresh, fitted))


def test_bands_of_old_models_still_hold() -> None:
    old = [
        {"lead_week": week, "size": str(size), "low": -1.0 - week, "high": 2.0} for week in (1, 2) for size in range(9)
    ]
    rows = draws(2, 500)
    result = bands.with_bands(rows, bands.Bands.from_dict(old))
    for forecast, scale, lead, low, high in result.select("forecast", "scale", "lead_days", "q10", "q90").iter_rows():
        spread = max(forecast, 0.05 * scale) ** 0.6
        assert low == pytest.approx(max(forecast - (2 + lead // 7) * spread, 0.0))
        assert high == pytest.approx(forecast + 2 * spread)


def test_no_evidence_still_gives_a_band() -> None:
    fitted = bands.fit_bands(draws(1, 10).clear())
    assert fitted.errors[:, [0, -1]].tolist() == [[-1.0, 1.0]] * 18
    result = bands.with_bands(draws(2, 10), fitted)
    for forecast, scale, low, high in result.select("forecast", "scale", "q10", "q90").iter_rows():
        spread = max(forecast, 0.05 * scale) ** 0.6
        at = bands.QUANTILE_LEVELS.index(0.9)
        reach = -1.0 + 2.0 * at / (len(bands.QUANTILE_LEVELS) - 1)
        assert high == pytest.approx(forecast + reach * spread)
        assert low == pytest.approx(max(forecast - reach * spread, 0.0))


def test_a_constant_series_has_a_band_of_no_width() -> None:
    steady = draws(1, 5000).with_columns(y="forecast")
    result = bands.with_bands(steady, bands.fit_bands(steady))
    assert result.select((pl.col("q90") - pl.col("q10")).abs().max()).item() == 0.0
