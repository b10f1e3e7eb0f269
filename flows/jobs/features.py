"""Features: the matrix of an origin, as the models that forecast from it see it."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from daypart.features import matrix
from daypart.features.errors import NotKnownError
from daypart.features.history import read_window
from daypart.features.signals.weather import WeatherView
from daypart.flows.home import Home
from daypart.flows.jobs.forecast import LATE_DAYS, check_stores, next_day
from daypart.flows.jobs.snapshot import Chain, with_demand
from daypart.forecasting.models.training_data import in_blocks, stack
from daypart.forecasting.serving.night import NightInputs, chain_holiday_sums, night_blocks


def features(
    home: Home, origin: date | None, target: str, stores: Sequence[str] = (), weather: WeatherView = "issued"
) -> pl.DataFrame:
    """Return the matrix of one origin (default: the day after the last demand) for some stores or all.

    One row per store and target hour, sorted; columns as `matrix.build` has them. Rows are those that a night's
    forecast of that origin predicts from, before a model encodes its categories. An origin of the past is built from
    the tables as they are now, of which only what was known at it counts. Raises NotKnownError for an unknown store,
    for an origin outside the data, and where nothing is known of the stores.
    """
    check_stores(home, stores)
    chain = Chain.newest(home.lake)
    with_demand(chain, (target,))
    day = _check_origin(chain, target, origin)
    view, sums = matrix.View(target, weather), chain_holiday_sums(chain, [target], day)[target]
    parts = []
    for ids in in_blocks(sorted(stores or chain.stores["store_id"])):
        inputs = NightInputs(chain.block(ids, read_window.window_starts(day)), chain.block, chain, day)
        blocks = night_blocks(inputs, view, inputs.covariates(weather), sums)
        parts += [block.build_matrix(view, [day]) for block in blocks if block.any_known(view, [day])]
    if not parts:
        raise NotKnownError(
            f"no {target} of these stores is known before {day}: ingest demand or choose a later origin"
        )
    return stack(parts).sort(matrix.ROW_KEY)


def _check_origin(chain: Chain, target: str, origin: date | None) -> date:
    """Return the origin. Raises NotKnownError for one outside the data."""
    last, first = next_day(chain, target) + timedelta(days=LATE_DAYS), chain.first_demand_on(target)
    assert first is not None  # as the target has demand
    if origin is not None and not first < origin <= last:
        raise NotKnownError(
            f"origin {origin} is outside the data: expected {first + timedelta(days=1)} to {last}; "
            "choose one, or ingest what is missing"
        )
    return origin or next_day(chain, target)
