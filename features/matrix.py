"""The one matrix: one row per store, target hour and origin, holding only what was known at that origin.

Training asks for many origins, the backtest for rolling ones and serving for one; all of them come here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from features import calendar, events, history, horizon, labor, macro, trading, weather
from features.errors import NotKnownError
from features.exact import exact_sum, ordered_mean
from features.outside import Outside
from features.records import Records
from features.weather import WeatherView

KEY = ["store_id", "origin_date", "hour_utc"]
KEY_COLUMNS = (
    "store_id", "origin_date", "lead_days", "hour_utc", "hour_local", "date", "hour", "business_date",
    "incumbent", "smooth", "scale",
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
    records: Records, view: View, last: date, chain: pl.DataFrame | None = None, outside: Outside | None = None
) -> history.Past:
    """All states of a target's history, with what went on outside from the first day of demand to `last`.

    `chain` is the stores table that a block of stores was cut from: it gives each store the same code in any block.
    `outside` is what `Outside.of` makes of the same records, where another target has had it made.
    """
    outside = outside or Outside.of(records, view.weather, last)
    codes = horizon.store_codes(records.stores if chain is None else chain)
    return history.Past.of(records.demand, view.target, outside, trading.declared_clock_hours(records.hours), codes)


def build(
    records: Records,
    view: View,
    origins: Sequence[date],
    known: history.Past | None = None,
    one_in: int = 1,
    hindsight: bool = False,
) -> pl.DataFrame:
    """The matrix of a block of stores for some origins, sorted by store, origin and hour.

    Guaranteed: a row depends on nothing that became known at or after its origin; it does not depend on which
    other origins are asked for. There is a row for every hour in which a store may trade, from its own history
    or its declared hours; hours without a row are closed. A store without history before an origin has none.
    `one_in` keeps a fixed sample of pairs of origin and lead. For training alone: with `hindsight` rows of an origin
    without any issue of weather hold the weather that came, and a column of that name says so, until
    `issues.degraded` makes forecasts of it.

    Columns: store_id, origin_date, lead_days, hour_utc, hour_local, date, hour, business_date, incumbent
    (target's unit per hour), smooth (the same of plain days, over a smoother shape and at the level of late),
    scale (the store's mean trading hour of late), then the features by family prefix. Raises NotKnownError where
    nothing is known.
    """
    known = known or past(records, view, max(origins) + timedelta(days=view.horizon_days - 1))
    at_origin = horizon.store_origins(records.stores, known, origins)
    if at_origin.is_empty():
        raise NotKnownError(_nothing_known(records, view, origins))
    dates = _dated(horizon.store_dates(records.stores, known, at_origin, view.horizon_days, one_in), known)
    rows = horizon.open_hours(records, known, at_origin, dates)
    rows = _with_outside(rows, records, view, known, hindsight).join(
        macro.macro_features(records.macro, origins), on="origin_date", how="left"
    )
    rows = _smoothed(rows.with_columns(_target_day().alias(LEAD)).sort(LEAD, "hour_utc"))
    features = [*_history_family(), *_clock_family(), *_departures(rows)]
    rows = rows.with_columns(features)
    return rows.select(*KEY_COLUMNS, pl.col("^hindsight$"), *feature_names(rows))


def _target_day() -> pl.Expr:
    origin = pl.col("store_code").cast(pl.Int64) * 2**24 + pl.col("origin_date").cast(pl.Int32)
    return origin * HORIZON_DAYS + pl.col("lead_days")


def feature_names(matrix: pl.DataFrame) -> list[str]:
    """Names of the feature columns: those that carry a family's prefix, in their order."""
    named = (name for name in matrix.columns if name not in KEY_COLUMNS)
    return [name for name in named if name.startswith(tuple(f"{family}_" for family in FAMILIES))]


def _nothing_known(records: Records, view: View, origins: Sequence[date]) -> str:
    first = records.first_demand_on(view.target)
    since = f"the first is on {first}" if first else "there is none at all"
    return f"no {view.target} before {max(origins)}: {since}; ingest demand or choose a later origin"


def _dated(dates: pl.DataFrame, known: history.Past) -> pl.DataFrame:
    """Adds calendar, holiday and last-year features to rows of (store, origin, date).

    `history_last_year`: last year's week about the date over the four weeks that its incumbent rested on;
    `history_last_year_day`, `history_last_year_date`: total over what was usual on the same weekday of last
    year's week, and on last year's date.
    """
    unique = dates.select("store_id", "date").unique()
    marked = calendar.date_features(calendar.holiday_features(unique, known.outside.holidays)).drop("holiday")
    last_year, weeks = pl.duration(days=364), (pl.col("lead_days") // 7 + 1).cast(pl.Int64)
    rows = dates.join(marked, on=["store_id", "date"]).with_columns(
        week_on=pl.col("date") - last_year,
        month_on=pl.col("date") - last_year - pl.duration(days=7) * weeks + pl.duration(days=3),
        year_on=pl.col("date").dt.offset_by("-1y"),
    )
    means = [known.mean_total(rows, "week_on", 3, 3, 4), known.mean_total(rows, "month_on", 27, 0, 14)]
    return rows.with_columns(
        rows.select(*means).select(_ratio("week_on", "month_on")).to_series().alias("history_last_year"),
        known.departure(rows, "week_on").alias("history_last_year_day"),
        known.departure(rows, "year_on").alias("history_last_year_date"),
    ).drop("week_on", "month_on", "year_on")


def _with_outside(
    rows: pl.DataFrame, records: Records, view: View, known: history.Past, hindsight: bool
) -> pl.DataFrame:
    """Adds weather as issued, labor as scheduled and events as known, where the chain records them."""
    if hindsight and view.weather == "issued" and records.weather.height:
        rows = weather.with_hindsight(rows, records.weather)
    elif view.weather != "none" and records.weather.height:
        rows = weather.weather_of(rows, records.weather, view.weather)
    if records.labor.height:
        rows = rows.with_columns(known.outside.at(rows, labor.SCHEDULED))
    if records.events.height:
        rows = events.active_events(rows, known.outside.event_days, known.outside.event_codes)
    return rows


def _departures(rows: pl.DataFrame) -> list[pl.Expr]:
    """What differs outside between the target hour and the four days that the incumbent rests on."""
    found: list[pl.Expr] = []
    if "temperature_c" in rows.columns:
        found += weather.weather_features()
    if "scheduled_hours" in rows.columns:
        found.append(_ratio("scheduled_hours", "scheduled_hours_base").alias("labor_scheduled_change"))
        whole, base = (
            exact_sum(pl.col(name).fill_null(0.0)).over(LEAD) for name in ("scheduled_hours", "scheduled_hours_base")
        )
        found.append(pl.when(base > 0).then(whole / base).alias("labor_day_change"))
    if "event_promotion" in rows.columns:
        found += [pl.col(f"{name}_base") for name in events.COLUMNS]
    return found


def _ratio(value: str, base: str) -> pl.Expr:
    # Polars divides by a column that holds one value as multiplication by its inverse: always doing so gives the
    # same bits for one store as for many.
    return pl.when(pl.col(base) > 0).then(pl.col(value) * (1.0 / pl.col(base)))


def _smoothed(rows: pl.DataFrame) -> pl.DataFrame:
    """Adds `smooth`: the incumbent of plain days over a smoother shape, moved to the level of the last two weeks.

    And `half_year`, the same over the shape of the last half year.
    """
    plain = pl.coalesce("plain_base", "incumbent")
    level = exact_sum(plain).over(LEAD) * _recent_level()
    usual = _shape("plain_12")
    return rows.with_columns(
        smooth=pl.when(usual.is_not_null()).then(usual * level).otherwise(plain),
        half_year=_shape("plain_26") * level,
    )


def _shape(hour: str) -> pl.Expr:
    """Each hour's share of its day in a column of hourly means; null where that knows of no trade."""
    filled = pl.coalesce(hour, "incumbent").fill_null(0.0)
    whole = exact_sum(filled).over(LEAD)
    return pl.when(whole > 0).then(filled / whole)


def _recent_level() -> pl.Expr:
    """How far the level has moved since the four weeks that the incumbent is the mean of, carried on to the target.

    Those lie two and a half weeks before a day in the first week of the horizon and three and a half before one
    in the second; the levels of the last 7 and 14 days have seen the first of these steps.
    """
    lately = ordered_mean(pl.col(f"day_level_{days}").fill_null(1.0).clip(0.5, 2.0).log() for days in (7, 14))
    weeks = 2.5 + pl.col("lead_days") // 7
    return (lately * (weeks / 2.5)).exp()


def _history_family() -> list[pl.Expr]:
    same = {name: _ratio(name, "smooth") for name in ("last", "last_2", "last_8", "hour_mean_28")}
    states = ("hour_level_7", "hour_level_28", "day_level_3", "day_level_7", "day_level_14", "day_level_28",
              "day_trend", "weekday_last", "holidays_in_base", "holiday_ratio")  # fmt: skip
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
