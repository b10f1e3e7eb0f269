"""The one matrix: one row per store, target hour and origin, with only what was known at that origin.

Training builds it for many origins, the backtest for rolling origins and serving for one origin, all with `build`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Self

import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.cold_start import similar_stores, young_stores
from daypart.features.errors import NotKnownError
from daypart.features.feature_columns import TARGET_DAY, clock_family, departures, history_family, ratio
from daypart.features.history import holiday_effects, horizon, smoothed_baseline
from daypart.features.history.demand_history import DemandHistory
from daypart.features.signals import calendar, events, macro, weather
from daypart.features.signals.covariates import Covariates
from daypart.features.signals.weather import WeatherView

ROW_KEY = ["store_id", "origin_date", "hour_utc"]
KEY_COLUMNS = (
    "store_id", "origin_date", "lead_days", "hour_utc", "hour_local", "date", "hour",
    "incumbent", "smooth", "scale", "youth",
)  # fmt: skip
FEATURE_FAMILIES = ("calendar", "history", "weather", "macro", "labor", "event")
HORIZON_DAYS = 14


@dataclass(frozen=True)
class View:
    """The target of a matrix, and the weather and horizon that it may see."""

    target: str
    weather: WeatherView = "issued"
    horizon_days: int = HORIZON_DAYS


@dataclass(frozen=True)
class ChainContext:
    """What a block of stores takes from its chain.

    `stores` is the chain's stores table: it gives each store the same code in any block. `holiday_sums` are the
    chain's `holiday_effects.holiday_sums`, by default those of the block's own data.
    """

    stores: pl.DataFrame
    holiday_sums: pl.DataFrame | None = None


@dataclass(frozen=True)
class TrainingOptions:
    """Options for rows that train a model.

    `one_in` keeps a fixed sample of the pairs of origin and lead. With `hindsight`, rows of an origin without any issue
    of weather hold observed weather, marked in a column of that name, until `weather_issues.degrade_hindsight` makes
    forecasts of it.
    """

    one_in: int = 1
    hindsight: bool = False


ALL_AS_ISSUED = TrainingOptions()
"""All rows, with weather as issued: rows that serve, and rows that are scored."""


def build_history(
    data: ChainData, view: View, last: date, context: ChainContext | None = None, covariates: Covariates | None = None
) -> DemandHistory:
    """Return the history of a target for a block of stores, with covariates from the first day of demand to `last`.

    `context` is by default that of the block itself. Pass `covariates` to share those of the same data between targets.
    """
    covariates = covariates or Covariates.from_data(data, view.weather, last)
    context = context or ChainContext(data.stores)
    codes, sums = horizon.store_codes(context.stores), context.holiday_sums
    if sums is None:
        first = covariates.grid.first
        sums = holiday_effects.holiday_sums(data.scan_demand(), data.stores, view.target, first, max(first, last))
    return DemandHistory.from_data(data, view.target, covariates, codes, sums)


def build(
    data: ChainData,
    view: View,
    origins: Sequence[date],
    history: DemandHistory | None = None,
    options: TrainingOptions = ALL_AS_ISSUED,
) -> pl.DataFrame:
    """Return the matrix of a block of stores for some origins, sorted by store, origin and hour.

    Guarantees: a row depends on nothing that became known at or after its origin, and not on the other origins. There
    is a row for every hour in which a store may trade, by its history or its declared hours; other hours are closed.
    A young store's rows also rest on its donors, where the history has them (`similar_stores.with_donor_history`).
    A store without history has rows from the day it opens, by its donors alone.

    Columns: store_id, origin_date, lead_days, hour_utc, hour_local, date (the business date), hour, incumbent
    (target's unit per hour), smooth (the incumbent of plain days over a steadier shape, nearer to the recent level and
    moved by a holiday's effect), scale (the store's recent mean of a trading hour), youth (the standard deviation of
    the log of a young store's level that is not known yet, else 0), active_events (names of the hour's events, if any
    are recorded), then the features by family prefix. `event_code` counts the names in the events table, until
    `category_codes.encode_categories` gives the codes of a model. Raises NotKnownError where nothing is known.
    """
    history = history or _block_history(data, view, max(origins) + timedelta(days=view.horizon_days - 1))
    builder = _Builder(data, view, history, options)
    at_origin = horizon.store_origins(data.stores, history, origins)
    parts = []
    if history.donor_history is not None:
        young = young_stores.young_origins(data, history, at_origin, origins, view.horizon_days)
        if young.height:
            parts.append(builder.of_donors().with_features(builder.young_rows(young, at_origin)))
            at_origin = at_origin.join(young, on=horizon.ORIGIN, how="anti", maintain_order="left")
    if at_origin.height:
        parts.append(builder.with_features(builder.rows(at_origin)))
    if not parts:
        raise NotKnownError(_nothing_known(data, view, origins))
    rows = parts[0] if len(parts) == 1 else pl.concat(parts).sort(TARGET_DAY, "hour_utc")
    extra_columns = [name for name in ("hindsight", events.ACTIVE) if name in rows.columns]
    return rows.select(*KEY_COLUMNS, *extra_columns, *feature_names(rows))


def has_rows(data: ChainData, history: DemandHistory, view: View, origins: Sequence[date]) -> bool:
    """Return whether `build` has rows of a block at some of the origins."""
    at_origin = horizon.store_origins(data.stores, history, origins)
    if at_origin.is_empty() and history.donor_history is not None:
        at_origin = young_stores.young_origins(data, history, at_origin, origins, view.horizon_days)
    return not at_origin.is_empty()


def _block_history(data: ChainData, view: View, last: date) -> DemandHistory:
    """Return the history of a block that is the whole chain."""
    history = build_history(data, view, last)
    return similar_stores.with_donor_history(history, data, similar_stores.DonorPool(data), last)


@dataclass(frozen=True)
class _Builder:
    """Builds the rows of one block of stores from one history."""

    data: ChainData
    view: View
    history: DemandHistory
    options: TrainingOptions

    def of_donors(self) -> Self:
        """Return the builder of young stores' rows by the history of their donors."""
        assert self.history.donor_history is not None
        return replace(self, history=self.history.donor_history)

    def rows(self, at_origin: pl.DataFrame) -> pl.DataFrame:
        """Return one row per open hour of stores with history at their origins."""
        data, history, view = self.data, self.history, self.view
        dates = horizon.store_dates(data.stores, history, at_origin, view.horizon_days, self.options.one_in)
        dates = _with_dates(dates, history)
        regions = dates.join(data.stores.select("store_id", "region"), on="store_id", how="left", maintain_order="left")
        effect = holiday_effects.holiday_effects(regions, history.holiday_sums)
        dates = dates.drop("holiday").with_columns(effect.alias("holiday_effect"))
        return horizon.open_hours(data, history, at_origin, dates).with_columns(youth=pl.lit(0.0))

    def young_rows(self, young: pl.DataFrame, at_origin: pl.DataFrame) -> pl.DataFrame:
        """Return rows of young stores, from those of their donors and their own where they have any."""
        lent = self.of_donors().rows(young.select(at_origin.columns))
        begun = at_origin.join(young, on=horizon.ORIGIN, how="semi", maintain_order="left")
        own_rows = self.rows(begun) if begun.height else lent.clear()
        return young_stores.blend(lent, own_rows, young, young_stores.DemandShares.from_history(self.history))

    def with_features(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add all families to rows of open hours, and sort them."""
        released = macro.macro_features(self.data.macro, rows["origin_date"].unique().sort().to_list())
        rows = self._with_covariates(rows).join(released, on="origin_date", how="left")
        ordered = rows.with_columns(_target_day().alias(TARGET_DAY)).sort(TARGET_DAY, "hour_utc")
        rows = smoothed_baseline.with_smoothed_baseline(ordered, TARGET_DAY)
        return rows.with_columns(*history_family(), *clock_family(), *departures(rows))

    def _with_covariates(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add weather as issued, labor as scheduled and events as known, where the chain records them."""
        data, covariates, view = self.data, self.history.covariates, self.view
        if self.options.hindsight and view.weather == "issued" and data.weather.height:
            rows = weather.with_hindsight(rows, data.weather)
        elif view.weather != "none" and data.weather.height:
            rows = weather.with_weather(rows, data.weather, view.weather)
        if data.labor.height:
            rows = rows.with_columns(covariates.scheduled_hours(rows))
        if data.events.height:
            rows = events.active_events(rows, covariates.event_days, covariates.event_codes)
        return rows


def _target_day() -> pl.Expr:
    origin = pl.col("store_code").cast(pl.Int64) * 2**24 + pl.col("origin_date").cast(pl.Int32)
    return origin * HORIZON_DAYS + pl.col("lead_days")


def feature_names(matrix: pl.DataFrame) -> list[str]:
    """Return the names of the feature columns, which have a family's prefix, in their order."""
    names = (name for name in matrix.columns if name not in KEY_COLUMNS)
    return [name for name in names if name.startswith(tuple(f"{family}_" for family in FEATURE_FAMILIES))]


def _nothing_known(data: ChainData, view: View, origins: Sequence[date]) -> str:
    first = data.first_demand_on(view.target)
    since = f"the first is on {first}" if first else "there is none at all"
    return f"no {view.target} before {max(origins)}: {since}; ingest demand or choose a later origin"


def _with_dates(dates: pl.DataFrame, history: DemandHistory) -> pl.DataFrame:
    """Add calendar, holiday and last-year features to rows of (store, origin, date).

    `history_last_year`: last year's week around the date over the four weeks of its incumbent;
    `history_last_year_day`, `history_last_year_date`: total over the usual total, on the same weekday of last
    year's week and on last year's date.
    """
    unique = dates.select("store_id", "date").unique()
    marked = calendar.date_features(calendar.holiday_features(unique, history.covariates.holidays))
    last_year, weeks = pl.duration(days=364), (pl.col("lead_days") // 7 + 1).cast(pl.Int64)
    rows = dates.join(marked, on=["store_id", "date"]).with_columns(
        week_on=pl.col("date") - last_year,
        month_on=pl.col("date") - last_year - pl.duration(days=7) * weeks + pl.duration(days=3),
        year_on=pl.col("date").dt.offset_by("-1y"),
    )
    means = [history.mean_total(rows, "week_on", 3, 3, 4), history.mean_total(rows, "month_on", 27, 0, 14)]
    return rows.with_columns(
        rows.select(*means).select(ratio("week_on", "month_on")).to_series().alias("history_last_year"),
        history.departure(rows, "week_on").alias("history_last_year_day"),
        history.departure(rows, "year_on").alias("history_last_year_date"),
    ).drop("week_on", "month_on", "year_on")
