"""A night's forecast: reads only what each store needs of its history, then forecasts block by block."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

import polars as pl

from daypart.features import matrix
from daypart.features.chain_data import ChainData, DataSource
from daypart.features.cold_start import similar_stores
from daypart.features.history import demand_history, holiday_effects, read_window
from daypart.features.signals import weather
from daypart.features.signals.covariates import Covariates
from daypart.forecasting.models.engine import Local
from daypart.forecasting.models.training_data import StoreBlock
from daypart.forecasting.serving.publication import (
    FORECAST_ORDER,
    ServedModel,
    block_features,
    forecast_block,
    rows_of_stores,
)
from daypart.forecasting.stages import Stages, unmeasured


@dataclass(frozen=True)
class NightInputs:
    """The records from which a night's forecast of some stores is made.

    `window` has what `read_window.window_starts` of the origin lets a night read of the stores. `read_history`
    returns the whole history of those that look further back. Of the `chain` no more is read than what young stores
    borrow, and its holidays where their effects are not at hand.
    """

    window: ChainData
    read_history: Callable[[Sequence[str]], ChainData]
    chain: DataSource
    origin: date
    stages: Stages = unmeasured

    @cached_property
    def known_window(self) -> ChainData:
        """The window with the weather that was issued before the origin."""
        return replace(self.window, weather=weather.known_at(self.window.weather, self.window.stores, self.origin))

    def covariates(self, weather_view: weather.WeatherView) -> Covariates:
        """Return the covariates of the window's stores up to the end of the horizon."""
        return Covariates.from_data(self.known_window, weather_view, self.origin + timedelta(days=matrix.HORIZON_DAYS))


def forecast_night(
    inputs: NightInputs, serving: Sequence[ServedModel], holiday_sums: Mapping[str, pl.DataFrame] | None = None
) -> pl.DataFrame:
    """Return the same rows as `forecast_block` of the stores' whole history, reading only what a night needs.

    The models know the same world; each store's rows of a target are by the model that serves it. `holiday_sums` are
    the chain's by target (`chain_holiday_sums`); null means that they are computed here.
    """
    views: dict[matrix.View, list[ServedModel]] = {}
    for served in serving:
        views.setdefault(served.view, []).append(served)
    with inputs.stages("matrix"):
        covariates = {name: inputs.covariates(name) for name in {view.weather for view in views}}
    targets = list(dict.fromkeys(view.target for view in views))
    sums = holiday_sums or chain_holiday_sums(inputs.chain, targets, inputs.origin)
    rows, engine = [], Local(inputs.stages)
    for view, group in views.items():
        blocks = night_blocks(inputs, view, covariates[view.weather], sums[view.target], group)
        rows += [forecast_block(block, group, inputs.origin, engine=engine) for block in blocks]
    return pl.concat(rows).sort(FORECAST_ORDER)


def night_features(
    inputs: NightInputs, served: ServedModel, holiday_sums: Mapping[str, pl.DataFrame]
) -> list[pl.DataFrame]:
    """Return `publication.block_features` of the stores, from which `forecast_night` makes the model's forecast."""
    view, engine = served.view, Local(inputs.stages)
    covariates = inputs.covariates(view.weather)
    blocks = night_blocks(inputs, view, covariates, holiday_sums[view.target], [served])
    return [block_features(block, served, inputs.origin, engine) for block in blocks]


def night_blocks(
    inputs: NightInputs,
    view: matrix.View,
    covariates: Covariates,
    holiday_sums: pl.DataFrame,
    serving: Sequence[ServedModel] = (),
) -> Iterator[StoreBlock]:
    """Yield the stores that the window is enough for, then those that look further back, if any.

    A young store borrows from the stores that the model among `serving` which serves it knows; from all without one.
    """
    window, origin, stores = inputs.known_window, inputs.origin, inputs.chain.stores
    last, context = origin + timedelta(days=view.horizon_days), matrix.ChainContext(stores, holiday_sums)
    with inputs.stages("matrix"):
        near = matrix.build_history(window, view, last, context, covariates)
    further = read_window.stores_beyond_window(window.stores, near.totals, origin)
    yield StoreBlock(replace(window, stores=window.stores.filter(~pl.col("store_id").is_in(further))), near)
    for ids, lenders in _by_lenders(further, stores, serving):
        records = inputs.read_history(ids)
        with inputs.stages("matrix"):
            past = matrix.build_history(records, view, last, context)
            donors = similar_stores.DonorPool(inputs.chain, lenders)
            past = similar_stores.with_donor_history(past, records, donors, last, origin)
        yield StoreBlock(records, past)


def _by_lenders(
    ids: Sequence[str], stores: pl.DataFrame, serving: Sequence[ServedModel]
) -> list[tuple[list[str], pl.DataFrame]]:
    """Return the ids by the rows of `stores` in the vocabulary of the model that serves them; all rows without one."""
    if not serving:
        return [(list(ids), stores)] if ids else []
    parts: dict[tuple[str, ...] | None, set[str]] = {}
    for served in serving:
        names = served.model.vocabulary.stores if served.model.vocabulary else None
        parts.setdefault(names, set()).update(ids if served.store_ids is None else served.store_ids.intersection(ids))
    lenders = {names: stores if names is None else rows_of_stores(stores, names) for names in parts}
    return [(sorted(part_ids), lenders[names]) for names, part_ids in parts.items() if part_ids]


def chain_holiday_sums(chain: DataSource, targets: Sequence[str], origin: date) -> dict[str, pl.DataFrame]:
    """Return by target the effects of the chain's holidays of the last year; no rows if no holiday comes soon."""
    if not holiday_effects.has_holidays(chain.stores, origin, origin + timedelta(days=matrix.HORIZON_DAYS)):
        return {target: pl.DataFrame(schema=holiday_effects.SUMS_SCHEMA) for target in targets}
    span = origin - timedelta(days=demand_history.YEARLY_MEMORY_DAYS), origin - timedelta(days=1)
    return {
        target: holiday_effects.holiday_sums(chain.scan_demand(), chain.stores, target, *span) for target in targets
    }
