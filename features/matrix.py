"""The one matrix: one row per store, target hour and origin, holding only what was known at that origin.

Training asks for many origins, the backtest for rolling ones and serving for one; all of them come here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from daypart.features.chain_data import Records
from daypart.features.cold_start import similar_stores, young_stores
from daypart.features.deterministic_sum import exact_sum
from daypart.features.errors import NotKnownError
from daypart.features.history import demand_history, holiday_effects, horizon, smoothed_baseline, trading_hours
from daypart.features.signals import calendar, events, macro, weather
from daypart.features.signals.covariates import Outside
from daypart.features.signals.weather import WeatherView

KEY = ["store_id", "origin_date", "hour_utc"]
KEY_COLUMNS = (
    "store_id", "origin_date", "lead_days", "hour_utc", "hour_local", "date", "hour",
    "incumbent", "smooth", "scale", "youth",
)  # fmt: skip
FAMILIES = ("calendar", "history", "weather", "macro", "labor", "event")
YOUNG_DAYS = 56
"""A store's age is told up to here: beyond, a count of days would only name the date."""
HORIZON_DAYS = 14
LEAD = "target_day"
"""The number of a store's origin and lead, in the order of KEY: whole numbers group and sort faster than text."""


@dataclass(frozen=True)
class View:
    """Which target the matrix is for, and how much of the world it may see."""

    target: str
    weather: WeatherView = "issued"
    horizon_days: int = HORIZON_DAYS


def past(
    records: Records, view: View, last: date, chain: pl.DataFrame | None = None, outside: Outside | None = None,
    sums: pl.DataFrame | None = None,
) -> demand_history.Past:  # fmt: skip
    """All states of a target's history, with what went on outside from the first day of demand to `last`.

    `chain` is the stores table that a block of stores was cut from: it gives each store the same code in any block.
    `outside` is what `Outside.of` makes of the same records, where another target has had it made; `sums` are the
    chain's `effects.holiday_sums`, by default those of the same records.
    """
    outside = outside or Outside.from_data(records, view.weather, last)
    codes = horizon.store_codes(records.stores if chain is None else chain)
    if sums is None:
        first = outside.grid.first
        sums = holiday_effects.holiday_sums(records.scan_demand(), records.stores, view.target, first, max(first, last))
    declared = trading_hours.declared_clock_hours(records.hours)
    return demand_history.Past.of(records.demand, view.target, outside, declared, codes, sums)


def build(
    records: Records,
    view: View,
    origins: Sequence[date],
    past: demand_history.Past | None = None,
    one_in: int = 1,
    hindsight: bool = False,
) -> pl.DataFrame:
    """The matrix of a block of stores for some origins, sorted by store, origin and hour.

    Guaranteed: a row depends on nothing that became known at or after its origin; it does not depend on which
    other origins are asked for. There is a row for every hour in which a store may trade, from its own history
    or its declared hours; hours without a row are closed. A young store's rows rest on its like as well, where the
    past has them (`kinship.with_like`); one without history has rows by them alone, from the day it opens.
    `one_in` keeps a fixed sample of pairs of origin and lead. For training alone: with `hindsight` rows of an origin
    without any issue of weather hold the weather that came, and a column of that name says so, until
    `issues.degraded` makes forecasts of it.

    Columns: store_id, origin_date, lead_days, hour_utc, hour_local, date (the business date), hour, incumbent
    (target's unit per hour), smooth (the same of plain days, over a steadier shape, nearer the level of late and moved
    as a holiday moves it), scale (the store's mean trading hour of late), youth (what is not known of a young store's
    level: the standard deviation of its log, else 0), active_events (names of the events of the hour, where the chain
    records events), then the features by family prefix. `vocabulary.encoded` gives event codes and macro columns as a
    model knows them; until then `event_code` counts the names in the table as it is. Raises NotKnownError where
    nothing is known.
    """
    past = past or _alone(records, view, max(origins) + timedelta(days=view.horizon_days - 1))
    at_origin = horizon.store_origins(records.stores, past, origins)
    parts = []
    if past.like is not None:
        young = young_stores.young_origins(records, past, at_origin, origins, view.horizon_days)
        if young.height:
            parts.append(
                _told(_young_rows(records, view, past, young, at_origin, one_in), records, view, past.like, hindsight)
            )
            at_origin = at_origin.join(young, on=horizon.ORIGIN, how="anti", maintain_order="left")
    if at_origin.height:
        parts.append(_told(_rows(records, view, past, at_origin, one_in), records, view, past, hindsight))
    if not parts:
        raise NotKnownError(_nothing_known(records, view, origins))
    rows = parts[0] if len(parts) == 1 else pl.concat(parts).sort(LEAD, "hour_utc")
    beside = [name for name in ("hindsight", events.ACTIVE) if name in rows.columns]
    return rows.select(*KEY_COLUMNS, *beside, *feature_names(rows))


def any_known(records: Records, past: demand_history.Past, view: View, origins: Sequence[date]) -> bool:
    """Whether `build` has rows of a block at some of the origins."""
    at_origin = horizon.store_origins(records.stores, past, origins)
    if at_origin.is_empty() and past.like is not None:
        at_origin = young_stores.young_origins(records, past, at_origin, origins, view.horizon_days)
    return not at_origin.is_empty()


def _alone(records: Records, view: View, last: date) -> demand_history.Past:
    return similar_stores.with_like(past(records, view, last), records, records, view.target, view.weather, last)


def _rows(
    records: Records, view: View, past: demand_history.Past, at_origin: pl.DataFrame, one_in: int
) -> pl.DataFrame:
    dates = _dated(horizon.store_dates(records.stores, past, at_origin, view.horizon_days, one_in), past)
    regions = dates.join(records.stores.select("store_id", "region"), on="store_id", how="left", maintain_order="left")
    effect = holiday_effects.holiday_effects(regions, past.holiday_sums)
    dates = dates.drop("holiday").with_columns(effect.alias("holiday_effect"))
    return horizon.open_hours(records, past, at_origin, dates).with_columns(youth=pl.lit(0.0))


def _young_rows(
    records: Records, view: View, past: demand_history.Past, young: pl.DataFrame, at_origin: pl.DataFrame, one_in: int
) -> pl.DataFrame:
    """Rows of young stores, from those of their like and their own where they have any."""
    assert past.like is not None
    lent = _rows(records, view, past.like, young.select(at_origin.columns), one_in)
    begun = at_origin.join(young, on=horizon.ORIGIN, how="semi", maintain_order="left")
    own_rows = _rows(records, view, past, begun, one_in) if begun.height else lent.clear()
    return young_stores.blended(lent, own_rows, young, young_stores.Shares.of(past))


def _told(rows: pl.DataFrame, records: Records, view: View, past: demand_history.Past, hindsight: bool) -> pl.DataFrame:
    """Rows of open hours with all families, sorted."""
    released = macro.macro_features(records.macro, rows["origin_date"].unique().sort().to_list())
    rows = _with_outside(rows, records, view, past, hindsight).join(released, on="origin_date", how="left")
    rows = smoothed_baseline.smoothed(rows.with_columns(_target_day().alias(LEAD)).sort(LEAD, "hour_utc"), LEAD)
    return rows.with_columns(*_history_family(), *_clock_family(), *_departures(rows))


def _target_day() -> pl.Expr:
    origin = pl.col("store_code").cast(pl.Int64) * 2**24 + pl.col("origin_date").cast(pl.Int32)
    return origin * HORIZON_DAYS + pl.col("lead_days")


def feature_names(matrix: pl.DataFrame) -> list[str]:
    """Names of the feature columns: those that carry a family's prefix, in their order."""
    names = (name for name in matrix.columns if name not in KEY_COLUMNS)
    return [name for name in names if name.startswith(tuple(f"{family}_" for family in FAMILIES))]


def _nothing_known(records: Records, view: View, origins: Sequence[date]) -> str:
    first = records.first_demand_on(view.target)
    since = f"the first is on {first}" if first else "there is none at all"
    return f"no {view.target} before {max(origins)}: {since}; ingest demand or choose a later origin"


def _dated(dates: pl.DataFrame, past: demand_history.Past) -> pl.DataFrame:
    """Adds calendar, holiday and last-year features to rows of (store, origin, date).

    `history_last_year`: last year's week about the date over the four weeks that its incumbent rested on;
    `history_last_year_day`, `history_last_year_date`: total over what was usual on the same weekday of last
    year's week, and on last year's date.
    """
    unique = dates.select("store_id", "date").unique()
    marked = calendar.date_features(calendar.holiday_features(unique, past.outside.holidays))
    last_year, weeks = pl.duration(days=364), (pl.col("lead_days") // 7 + 1).cast(pl.Int64)
    rows = dates.join(marked, on=["store_id", "date"]).with_columns(
        week_on=pl.col("date") - last_year,
        month_on=pl.col("date") - last_year - pl.duration(days=7) * weeks + pl.duration(days=3),
        year_on=pl.col("date").dt.offset_by("-1y"),
    )
    means = [past.mean_total(rows, "week_on", 3, 3, 4), past.mean_total(rows, "month_on", 27, 0, 14)]
    return rows.with_columns(
        rows.select(*means).select(_ratio("week_on", "month_on")).to_series().alias("history_last_year"),
        past.departure(rows, "week_on").alias("history_last_year_day"),
        past.departure(rows, "year_on").alias("history_last_year_date"),
    ).drop("week_on", "month_on", "year_on")


def _with_outside(
    rows: pl.DataFrame, records: Records, view: View, past: demand_history.Past, hindsight: bool
) -> pl.DataFrame:
    """Adds weather as issued, labor as scheduled and events as known, where the chain records them."""
    if hindsight and view.weather == "issued" and records.weather.height:
        rows = weather.with_hindsight(rows, records.weather)
    elif view.weather != "none" and records.weather.height:
        rows = weather.with_weather(rows, records.weather, view.weather)
    if records.labor.height:
        rows = rows.with_columns(past.outside.scheduled_hours(rows))
    if records.events.height:
        rows = events.active_events(rows, past.outside.event_days, past.outside.event_codes)
    return rows


def _departures(rows: pl.DataFrame) -> list[pl.Expr]:
    """What differs outside between the target hour and the four days that the incumbent rests on."""
    columns: list[pl.Expr] = []
    if "temperature_c" in rows.columns:
        columns += weather.weather_features()
    if "scheduled_hours" in rows.columns:
        columns.append(_ratio("scheduled_hours", "scheduled_hours_base").alias("labor_scheduled_change"))
        # An hour without a schedule says nothing of the day: only hours that have one are compared.
        scheduled, base = (
            exact_sum(pl.when(pl.col("scheduled_hours").is_not_null()).then(name).fill_null(0.0)).over(LEAD)
            for name in ("scheduled_hours", "scheduled_hours_base")
        )
        columns.append(pl.when(base > 0).then(scheduled / base).alias("labor_day_change"))
    if "event_promotion" in rows.columns:
        columns += [pl.col(f"{name}_base") for name in events.EVENT_COLUMNS]
    return columns


def _ratio(value: str, base: str) -> pl.Expr:
    # Polars divides by a column that holds one value as multiplication by its inverse: always doing so gives the
    # same bits for one store as for many.
    return pl.when(pl.col(base) > 0).then(pl.col(value) * (1.0 / pl.col(base)))


def _history_family() -> list[pl.Expr]:
    same = {name: _ratio(name, "smooth") for name in ("last", "last_2", "last_8", "hour_mean_28")}
    states = ("hour_level_7", "hour_level_28", "day_level_3", "day_level_7", "day_level_14", "day_level_28",
              "day_trend", "weekday_last", "holidays_in_base", "holiday_ratio", "holiday_effect")  # fmt: skip
    return [
        *(value.alias(f"history_{name}") for name, value in same.items()),
        *(pl.col(name).alias(f"history_{name}") for name in states),
        _ratio("half_year", "smooth").alias("history_half_year_shape"),
        _ratio("smooth", "scale").alias("history_shape"),
        _ratio("incumbent", "smooth").alias("history_incumbent"),
        pl.col("open_days_known").clip(upper_bound=YOUNG_DAYS).alias("history_open_days"),
        (pl.col("origin_date") - pl.col("last_on")).dt.total_days().alias("history_silent_days"),
    ]


def _clock_family() -> list[pl.Expr]:
    return [
        pl.col("hour").cast(pl.Int32).alias("calendar_hour"),
        pl.col("lead_days").cast(pl.Int32).alias("calendar_lead_days"),
    ]
