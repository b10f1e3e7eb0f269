"""Paths keep the ranks of what came, hour by hour, and draws put marginals in their order."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from daypart.forecasting.uncertainty import bands
from daypart.forecasting.uncertainty.residual_paths import MAX_PATH_ORIGINS, MAX_PATH_STORES, Draws, Paths

FIRST = date(2024, 1, 1)


def evidence(seed: int = 1, stores: int = 3, origins: int = 4, hours: range = range(8, 14)) -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    rows = [
        (f"S{store}", FIRST + timedelta(days=7 * origin + lead), lead, hour)
        for store in range(stores)
        for origin in range(origins)
        for lead in range(14)
        for hour in hours
    ]
    frame = pl.DataFrame(
        rows, schema={"store_id": pl.String, "date": pl.Date, "lead_days": pl.Int16, "hour": pl.Int8}, orient="row"
    )
    forecast = chance.uniform(5.0, 30.0, len(rows))
    y = forecast + chance.normal(size=len(rows)) * forecast**0.6
    return frame.with_columns(forecast=pl.Series(forecast), scale=pl.lit(15.0), y=pl.Series(y))


def paths(rows: pl.DataFrame) -> Paths:
    return Paths.fit(rows, bands.fit_bands(rows))


def test_ranks_are_those_of_loops() -> None:
    rows = evidence()
    fitted = bands.fit_bands(rows)
    residual_paths = Paths.fit(rows, fitted)
    assert residual_paths.store_ids == ("S0", "S1", "S2")
    assert residual_paths.origins == tuple(FIRST + timedelta(days=7 * k) for k in range(4))
    placed = fitted.place(rows)
    errors = ((rows["y"] - rows["forecast"]) / placed["spread"]).to_list()
    groups = placed["group"].to_list()
    cells = rows.select("store_id", "date", "lead_days", "hour").rows()
    for (store, day, lead, hour), group, error in zip(cells, groups, errors, strict=True):
        peers = [other for other, at in zip(errors, groups, strict=True) if at == group]
        level = (sum(other < error for other in peers) + 1) / (len(peers) + 1)
        origin = residual_paths.origins.index(day - timedelta(days=lead))
        assert residual_paths.ranks[int(store[1:]), origin, lead, hour] == int(level * 256)


def test_gaps_take_ranks_from_near() -> None:
    """S0 lacks the second week of the last origin, S1 a day, S2 the first origin."""
    rows = evidence()
    at = pl.col("date") - pl.duration(days=pl.col("lead_days"))
    store, lead = pl.col("store_id"), pl.col("lead_days")
    gaps = (
        ((store == "S0") & (at == FIRST + timedelta(days=21)) & (lead >= 7))
        | ((store == "S1") & (at == FIRST) & lead.is_in([2, 9]))
        | ((store == "S2") & (at == FIRST))
    )
    ranks = paths(rows.filter(~gaps)).ranks
    assert (ranks[0, 3, 7:] == ranks[0, 3, :7]).all()
    assert (ranks[1, 0, 2] == ranks[1, 0, 1]).all()
    assert (ranks[1, 0, 9] == ranks[1, 0, 8]).all()
    assert (ranks[2, 0] == ranks[1, 0]).all()
    assert (ranks[:, :, :, :8] == ranks[:, :, :, 8:9]).all()
    assert (ranks[:, :, :, 14:] == ranks[:, :, :, 13:14]).all()


def test_the_order_of_the_evidence_does_not_matter() -> None:
    rows = evidence()
    twice = pl.concat([rows, rows.filter(pl.col("hour") == 9).with_columns(pl.col("y") + 3)])
    fitted = bands.fit_bands(twice)
    shuffled = Paths.fit(twice.sample(fraction=1.0, shuffle=True, seed=2), fitted)
    assert shuffled.to_parquet() == Paths.fit(twice, fitted).to_parquet()


def test_paths_come_back_from_their_file() -> None:
    residual_paths = paths(evidence())
    again = Paths.from_parquet(residual_paths.to_parquet())
    assert (again.store_ids, again.origins) == (residual_paths.store_ids, residual_paths.origins)
    assert (again.ranks == residual_paths.ranks).all()
    assert again.to_parquet() == residual_paths.to_parquet()


def test_the_file_of_a_big_chain_is_small() -> None:
    rows = evidence(stores=MAX_PATH_STORES + 20, origins=2, hours=range(8, 10))
    residual_paths = paths(rows)
    assert len(residual_paths.store_ids) == MAX_PATH_STORES
    full = np.random.default_rng(0).integers(0, 256, (MAX_PATH_STORES, 12, 14, 24)).astype(np.uint8)
    origins = tuple(FIRST + timedelta(days=7 * k) for k in range(12))
    assert len(Paths(residual_paths.store_ids, origins, full).to_parquet()) < 3_000_000
    assert len(paths(evidence(stores=1, origins=MAX_PATH_ORIGINS + 3)).origins) == MAX_PATH_ORIGINS


def test_a_store_outside_the_evidence_takes_one_of_its_region() -> None:
    residual_paths = paths(evidence())
    regions = {"S0": "north", "S1": "south", "S2": "south", "N": "north", "X": "west", "Y": None}
    frame = pl.DataFrame({"store_id": list(regions), "region": list(regions.values())})
    whose = residual_paths.store_indices(frame)
    assert [whose[name] for name in ("S0", "S1", "S2", "N")] == [0, 1, 2, 0]
    assert whose["X"] in (0, 1, 2)
    assert residual_paths.store_indices(frame.reverse()) == whose


def test_draws_put_the_marginals_in_the_order_of_the_ranks() -> None:
    residual_paths = paths(evidence())
    draws = Draws.sample(residual_paths, seed=7, count=60)
    leads, hours = np.array([0, 0, 3, 8, 13]), np.array([8, 9, 12, 8, 13])
    marginals = np.sort(np.random.default_rng(3).normal(size=(5, 60)), axis=1)
    for store in range(3):
        errors = draws.errors(residual_paths.ranks[store], leads, hours, marginals)
        assert (np.sort(errors, axis=1) == marginals).all()
        for cell, (lead, hour) in enumerate(zip(leads, hours, strict=True)):
            ranks = [
                int(residual_paths.ranks[store, origin, day, hour])
                for origin, day in zip(draws.origins, draws.days[:, lead], strict=True)
            ]
            upright = [255 - rank if over else rank for rank, over in zip(ranks, draws.mirrored, strict=True)]
            by_error = sorted(range(60), key=lambda draw: errors[cell, draw])
            assert [upright[draw] for draw in by_error] == sorted(upright)


def test_draws_use_origins_and_mirrors_evenly_and_keep_to_the_week() -> None:
    draws = Draws.sample(paths(evidence()), seed=7, count=80)
    assert set(np.bincount(draws.origins)) == {20}
    assert draws.mirrored.sum() == 40
    assert draws.mirrored[draws.origins == 1].sum() == 10
    for draw in draws.days:
        assert sorted(draw) == list(range(14))
        assert sorted(draw[:7]) == list(range(7))
        assert set(np.diff(draw[:7]) % 7) == {1}


@pytest.mark.parametrize("seed", [7, 8])
def test_the_seed_fixes_the_draws(seed: int) -> None:
    residual_paths = paths(evidence())
    one, two = Draws.sample(residual_paths, 7), Draws.sample(residual_paths, seed)
    assert (one.days.tolist() == two.days.tolist()) == (seed == 7)
    assert (one.ties.tolist() == two.ties.tolist()) == (seed == 7)
