"""Model input: the rows from which a unit's champion makes the next forecast, as its registered model takes them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import polars as pl

from daypart.features.errors import NotKnownError
from daypart.features.history import read_window
from daypart.flows.governance import units
from daypart.flows.governance.champions import champions, check_knows
from daypart.flows.home import Home
from daypart.flows.jobs.forecast import check_origin, check_stores, next_day
from daypart.flows.jobs.snapshot import Chain, with_demand
from daypart.forecasting.models.training_data import in_blocks
from daypart.forecasting.serving.night import NightInputs, chain_holiday_sums, night_features
from daypart.forecasting.serving.publication import ServedModel


def model_input(home: Home, unit: str, origin: date | None = None, stores: Sequence[str] = ()) -> pl.DataFrame:
    """Return one row per store and hour in which it may trade, with all that the unit's champion predicts from.

    `publication.predict_features` of the champion, and its registered MLflow model, make of them the forecast that
    `daypart forecast` publishes for the origin (default: the day after the last demand), to the last bit; other hours
    are published as 0. `stores` are some of the unit's (default: all). Raises NotKnownError for an unknown unit or one
    without rows, and as `forecast.publish` for an origin that cannot be forecast.
    """
    check_stores(home, stores)
    chain = Chain.newest(home.lake)
    present = with_demand(chain, None)
    target = unit.partition(".")[0]
    day = origin or max(next_day(chain, name) for name in present)
    members = units.members(chain, home.portfolio, dict.fromkeys(present, day))
    serving = champions(home, units.chosen(members, [unit], chain.stores))
    check_origin(chain, target, day)
    for champion in serving:
        check_knows(champion, day)
    rows = [part for champion in serving for part in _features(chain, _of_stores(champion.served, stores), day)]
    if not rows:
        raise NotKnownError(f"no hour of {unit} is open from {day} on: expected stores of the unit that trade")
    return pl.concat(rows).sort("store_id", "hour_utc")


def _features(chain: Chain, served: ServedModel, origin: date) -> list[pl.DataFrame]:
    """Return the rows of a model's stores, block by block."""
    sums = chain_holiday_sums(chain, [served.model.target], origin)
    ids = sorted(chain.stores["store_id"] if served.store_ids is None else served.store_ids)
    rows: list[pl.DataFrame] = []
    for block_ids in in_blocks(ids):
        window = chain.block(block_ids, read_window.window_starts(origin))
        rows += night_features(NightInputs(window, chain.block, chain, origin), served, sums)
    return [part for part in rows if part.height]


def _of_stores(served: ServedModel, stores: Sequence[str]) -> ServedModel:
    """Return the model for those of its stores that are asked for: all where none is."""
    if not stores:
        return served
    chosen = frozenset(stores) if served.store_ids is None else served.store_ids.intersection(stores)
    return replace(served, store_ids=chosen)
