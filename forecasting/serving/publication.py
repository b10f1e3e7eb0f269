"""A forecast as users get it: every hour of every open store's horizon, closed hours forecast as exactly 0."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import polars as pl

from daypart.features import clock, matrix
from daypart.features.chain_data import ChainData, DataSource
from daypart.features.cold_start import similar_stores
from daypart.features.dayparts import daypart
from daypart.features.history import demand_history, holiday_effects, horizon, read_window, trading_hours
from daypart.features.history.demand_history import DemandHistory
from daypart.features.money import with_unit
from daypart.features.signals import weather
from daypart.features.signals.covariates import Covariates
from daypart.forecasting.models.engine import LOCAL, Engine
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.trainer import Workshop
from daypart.forecasting.serving import forecast_limits
from daypart.forecasting.stages import Stages, unmeasured


@dataclass(frozen=True)
class Served:
    """A model that serves, the name of its version, its tier, and the stores it is for: all where null."""

    model: Model
    version: str
    tier: str = "standard"
    store_ids: frozenset[str] | None = None

    @property
    def view(self) -> matrix.View:
        """What it sees of the world."""
        return matrix.View(self.model.target, self.model.recipe.weather, self.model.recipe.horizon_days)


SCHEMA = pl.Schema({
    "store_id": pl.String(), "target": pl.String(), "origin_date": pl.Date(), "lead_days": pl.Int16(),
    "hour_local": pl.Datetime("us"), "hour_utc": pl.Datetime("us"), "business_date": pl.Date(),
    "daypart": pl.String(), "forecast": pl.Float64(), "q10": pl.Float64(), "q50": pl.Float64(), "q90": pl.Float64(),
    "incumbent": pl.Float64(), "model_version": pl.String(), "tier": pl.String(), "basis": pl.String(),
    "scale": pl.Float64(), "youth": pl.Float64(),
})  # fmt: skip
COLUMNS = tuple(SCHEMA)
ORDER = ("store_id", "target", "origin_date", "hour_utc")
FORECAST = ("forecast", "q10", "q50", "q90")
SPREAD = ("scale", "youth")
VALUES = (*FORECAST, "incumbent", *SPREAD)
TOLD = pl.Schema({name: SCHEMA[name] for name in ("store_id", "hour_utc", *FORECAST, *SPREAD)}
                 | {"hour": pl.Int8(), "date": pl.Date(), "smooth": pl.Float64()})  # fmt: skip


def as_published(
    workshop: Workshop, records: ChainData, model: Model, origin: date, version: str, tier: str = "standard"
) -> pl.DataFrame:
    """The forecast of all stores, as `of_block` has it; stores and closures are those of `records`."""
    return pl.concat(
        of_block(_as_in(block, records), past, model, origin, version, tier=tier) for block, past in workshop.blocks()
    )


def _as_in(block: ChainData, records: ChainData) -> ChainData:
    ids = block.stores["store_id"].implode()
    in_block = pl.col("store_id").is_in(ids)
    return replace(block, stores=records.stores.filter(in_block), closures=records.closures.filter(in_block))


def of_night(
    window: ChainData, reader: Callable[[Sequence[str]], ChainData], chain: DataSource, serving: Sequence[Served],
    origin: date, stages: Stages = unmeasured, sums: Mapping[str, pl.DataFrame] | None = None,
) -> pl.DataFrame:  # fmt: skip
    """The same rows as `of_block` of a block's whole history, from what `read_window.window_starts` lets it read of it.

    Those of all models, which know the same world; each store's rows of a target are by the model that serves it.
    `reader` gives the whole history of those stores that look further back; of the `chain` no more is read than what
    its young stores borrow, and its holidays unless `sums` has them.
    """
    views: dict[matrix.View, list[Served]] = {}
    for served in serving:
        views.setdefault(served.view, []).append(served)
    with stages("matrix"):
        window = replace(window, weather=weather.known_at(window.weather, window.stores, origin))
        last = origin + timedelta(days=matrix.HORIZON_DAYS)
        world = {name: Covariates.from_data(window, name, last) for name in {view.weather for view in views}}
    sums = sums or holiday_sums(chain, list(dict.fromkeys(view.target for view in views)), origin)
    rows = []
    for view, group in views.items():
        pairs = night_states(window, world[view.weather], reader, chain, view, origin, stages, sums[view.target], group)
        rows += [of_models(block, past, group, origin, stages) for block, past in pairs]
    return pl.concat(rows).sort(ORDER)


def night_states(
    window: ChainData, world: Covariates, reader: Callable[[Sequence[str]], ChainData], chain: DataSource,
    view: matrix.View, origin: date, stages: Stages = unmeasured, sums: pl.DataFrame | None = None,
    serving: Sequence[Served] = (),
) -> Iterator[tuple[ChainData, DemandHistory]]:  # fmt: skip
    """Records and states of the stores that the window is enough for, then of those that look further, if any.

    A young store borrows from the stores that the model among `serving` which serves it knows; from all without one.
    """
    last = origin + timedelta(days=view.horizon_days)
    sums = holiday_sums(chain, [view.target], origin)[view.target] if sums is None else sums
    context = matrix.ChainContext(chain.stores, sums)
    with stages("matrix"):
        near = matrix.build_history(window, view, last, context, world)
    further = read_window.stores_beyond_window(window.stores, near.totals, origin)
    yield replace(window, stores=window.stores.filter(~pl.col("store_id").is_in(further))), near
    for ids, lenders in _by_lenders(further, chain.stores, serving):
        records = reader(ids)
        with stages("matrix"):
            past = matrix.build_history(records, view, last, context)
            donors = similar_stores.DonorPool(chain, lenders)
            past = similar_stores.with_donor_history(past, records, donors, last, origin)
        yield records, past


def _by_lenders(
    ids: Sequence[str], stores: pl.DataFrame, serving: Sequence[Served]
) -> list[tuple[list[str], pl.DataFrame]]:
    """The ids, by the rows of `stores` in the vocabulary of the model that serves them; all rows without one."""
    if not serving:
        return [(list(ids), stores)] if ids else []
    parts: dict[tuple[str, ...] | None, set[str]] = {}
    for served in serving:
        names = served.model.vocabulary.stores if served.model.vocabulary else None
        parts.setdefault(names, set()).update(ids if served.store_ids is None else served.store_ids.intersection(ids))
    lenders = {names: stores if names is None else _with_ids(stores, names) for names in parts}
    return [(sorted(some), lenders[names]) for names, some in parts.items() if some]


def holiday_sums(chain: DataSource, targets: Sequence[str], origin: date) -> dict[str, pl.DataFrame]:
    """Return by target the chain's `holiday_effects.holiday_sums` of the last year; empty if no holiday comes soon."""
    if not holiday_effects.has_holidays(chain.stores, origin, origin + timedelta(days=matrix.HORIZON_DAYS)):
        return {target: pl.DataFrame(schema=holiday_effects.SUMS_SCHEMA) for target in targets}
    span = origin - timedelta(days=demand_history.YEARLY_MEMORY_DAYS), origin - timedelta(days=1)
    return {
        target: holiday_effects.holiday_sums(chain.scan_demand(), chain.stores, target, *span) for target in targets
    }


def of_block(
    block: ChainData, past: DemandHistory, model: Model, origin: date, version: str, stages: Stages = unmeasured,
    tier: str = "standard", rows: pl.DataFrame | None = None, engine: Engine = LOCAL,
) -> pl.DataFrame:  # fmt: skip
    """The rows of `of_models` by one model for all stores."""
    return of_models(block, past, [Served(model, version, tier)], origin, stages, rows, engine)


def of_models(
    block: ChainData, past: DemandHistory, serving: Sequence[Served], origin: date, stages: Stages = unmeasured,
    rows: pl.DataFrame | None = None, engine: Engine = LOCAL,
) -> pl.DataFrame:  # fmt: skip
    """One row per store, target and real clock hour of the horizon, sorted; COLUMNS. The models share a view.

    `rows` is the block's matrix of the origin, where it is made already.

    Every store open in the horizon that a model is for has all its hours (23 or 25 on the days when clocks change).
    The incumbent of an hour does not depend on whether it is forecast as closed: see `_by_hand`. Bands of sums
    are made by `scale`, the store's mean trading hour of late, and `youth`, as the matrix has it; 0 where closed.
    """
    view = serving[0].view
    stores = forecast_limits.open_stores(block, past, view.target, origin, view.horizon_days)
    stores = stores.join(_serves(stores, serving), on="store_id", maintain_order="left")
    if stores.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    block = replace(block, stores=stores.drop("open_days", "borrows", "stale_on", "model_version", "tier"))
    predictions = pl.DataFrame(schema=TOLD)
    if (stores["open_days"] > 0).any() or matrix.has_rows(block, past, view, [origin]):
        with stages("matrix") as count:
            rows = matrix.build(block, view, [origin], past) if rows is None else rows
            count(rows.height)
        with stages("predict"):
            predictions = pl.concat(_told(rows, block.stores, past.totals, served, engine) for served in serving)
    with stages("predict"):
        return _published(block, past, stores, predictions, view, origin)


def _serves(stores: pl.DataFrame, serving: Sequence[Served]) -> pl.DataFrame:
    """One row per store that a model is for: store_id, model_version, tier."""
    names = stores.select("store_id")
    return pl.concat(
        _of(names, item).with_columns(model_version=pl.lit(item.version), tier=pl.lit(item.tier)) for item in serving
    )


def _of(rows: pl.DataFrame, served: Served) -> pl.DataFrame:
    """The rows of the stores that a model is for."""
    return rows if served.store_ids is None else _with_ids(rows, sorted(served.store_ids))


def _with_ids(rows: pl.DataFrame, ids: Sequence[str]) -> pl.DataFrame:
    """The rows of some stores."""
    return rows.filter(pl.col("store_id").is_in(pl.Series(ids, dtype=pl.String).implode()))


def _told(
    rows: pl.DataFrame, stores: pl.DataFrame, totals: pl.DataFrame, served: Served, engine: Engine
) -> pl.DataFrame:  # fmt: skip
    """What a model says of its stores' rows of the matrix; TOLD."""
    model_rows = _of(rows, served)
    if model_rows.is_empty():
        return pl.DataFrame(schema=TOLD)
    model_rows = with_unit(model_rows, stores, served.model.units)
    return forecast_limits.widened(served.model.predict(model_rows, _of(totals, served), engine)).select(TOLD.names())


def _published(
    block: ChainData, past: DemandHistory, stores: pl.DataFrame, pred: pl.DataFrame, view: matrix.View, origin: date
) -> pl.DataFrame:
    """All hours of `basis.open_stores`, with what was told of those in which they may trade."""
    about = stores.select("store_id", "open_days", "borrows", "stale_on", "model_version", "tier")
    pred = forecast_limits.held(pred.join(about, on="store_id"), past, origin)
    rows = _hours(stores, pred, origin, view.horizon_days)
    return (
        rows.join(_by_hand(block, past, rows, origin), on=["store_id", "hour_utc"], how="left")
        .join(about, on="store_id")
        .with_columns(
            target=pl.lit(view.target),
            origin_date=pl.lit(origin),
            lead_days=(pl.col("date") - pl.lit(origin)).dt.total_days().cast(pl.Int16),
            daypart=daypart(pl.col("hour")),
            basis=forecast_limits.in_words(),
        )
        .with_columns(pl.col(VALUES).fill_null(0.0))
        .select(COLUMNS)
        .sort(ORDER)
    )


def _hours(stores: pl.DataFrame, predictions: pl.DataFrame, origin: date, horizon_days: int) -> pl.DataFrame:
    """One row per store and real clock hour of the horizon's business days: what was forecast, null where closed."""
    last = origin + timedelta(days=horizon_days - 1)
    grid = clock.hour_grid(stores, origin, last).collect().with_columns(hour=pl.col("hour_local").dt.hour())
    values = predictions.select("store_id", "hour_utc", *FORECAST, *SPREAD, "held")
    return grid.join(values, on=["store_id", "hour_utc"], how="left").with_columns(business_date="date")


def _by_hand(records: ChainData, past: DemandHistory, rows: pl.DataFrame, origin: date) -> pl.DataFrame:
    """The planner's `incumbent` (`horizon.by_hand`) of those hours that no declared closure covers."""
    ends = records.stores.select("store_id", "closed_on")
    return (
        trading_hours.without_closures(rows, trading_hours.known_closures(records.closures, origin), records.stores)
        .join(ends, on="store_id")
        .filter(pl.col("closed_on").is_null() | (pl.col("date") < pl.col("closed_on")))
        .with_columns(weekday=pl.col("date").dt.weekday())
        .join(horizon.planner_incumbent(past, origin), on=["store_id", "weekday", "hour"])
        .select("store_id", "hour_utc", "incumbent")
    )
