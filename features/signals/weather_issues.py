"""Past issues of weather compared with observations, and observations made as uncertain as issues.

A store has years of observations but months of issues. Training on both needs observations that err like issues.
"""

from dataclasses import dataclass
from datetime import date
from typing import Self

import polars as pl

from daypart.features import business_day, clock
from daypart.features.business_day import business_date
from daypart.features.signals.weather import DEPARTING, MEASURES, observations
from daypart.features.tables.schemas import WEATHER

PRECIPITATION = ("precipitation_mm", "snowfall_cm")
QUARTER_HOURS = 6
"""Forecasts time rain to a few hours: each quarter of a day is dry, rainy or snowy."""

RAINY_QUARTER_MM, SNOWY_QUARTER_CM = 0.2, 0.1
"""Least precipitation in a quarter of the day that is rainy or snowy."""

DRAW_KEY = ["store_id", "lead_days", "quarter", "precipitation_kind"]
"""A quarter of the past is a candidate for a quarter of a row with equal values of these."""


@dataclass(frozen=True)
class WeatherIssues:
    """Past issues and observations, from which `degrade_hindsight` draws.

    `issues` has one row per store and origin with a fresh issue: store_id, origin_date, issued_utc. `quarters` has one
    row per store, business date and quarter of the clock's day: `precipitation_kind`, 0 for none, 1 rain, 2 snow.
    `late` are the `business_day.late_stores`.
    """

    weather: pl.DataFrame
    issues: pl.DataFrame
    quarters: pl.DataFrame
    late: pl.DataFrame

    @classmethod
    def from_weather(cls, weather: pl.DataFrame, stores: pl.DataFrame) -> Self:
        """Return the issues of some stores' weather table."""
        issued = weather.select("store_id", "issued_utc").drop_nulls().unique()
        placed = issued.join(stores.select("store_id", "timezone"), on="store_id")
        fresh = clock.with_local(placed, "issued_utc", "local").select(
            "store_id", "issued_utc", origin_date=business_date(stores, "local") + pl.duration(days=1)
        )
        latest = fresh.group_by("store_id", "origin_date").agg(pl.col("issued_utc").max())
        rain, snow = (pl.col(name).sum() for name in PRECIPITATION)
        quarters = (
            observations(weather)
            .group_by(
                "store_id", date=business_date(stores, "valid_local"), quarter=_quarter(pl.col("valid_local").dt.hour())
            )
            .agg(
                precipitation_kind=pl.when(snow >= SNOWY_QUARTER_CM)
                .then(2)
                .when(rain >= RAINY_QUARTER_MM)
                .then(1)
                .otherwise(0)
            )
        )
        return cls(weather, latest, quarters, business_day.late_stores(stores))

    def quarters_before(self, as_of: date) -> pl.DataFrame:
        """Return the forecast quarters of days before a date, numbered within each DRAW_KEY.

        Columns: DRAW_KEY, number (from 0, in order of dates), candidates (their count), day and issued_utc. `lead_days`
        are those of the origin for which the issue was fresh.
        """
        leads = pl.DataFrame({"lead_days": range(14)}, schema={"lead_days": pl.Int16})
        days = self.issues.join(leads, how="cross").with_columns(
            date=pl.col("origin_date") + pl.duration(days=1) * pl.col("lead_days")
        )
        past = days.filter(pl.col("date") < as_of).join(self.quarters, on=["store_id", "date"])
        return past.sort("date").select(
            *DRAW_KEY, "issued_utc", day="date",
            number=pl.int_range(pl.len()).over(DRAW_KEY), candidates=pl.len().over(DRAW_KEY),
        )  # fmt: skip

    def draw(self, rows: pl.DataFrame, as_of: date) -> pl.DataFrame:
        """Return an hour of the past for each row (store_id, origin_date, lead_days, date, hour), in order.

        It lies on a day before `as_of` and has the same store, lead, hour of the day and kind of precipitation in its
        quarter. Measures are as issued then, those ending in `_observed` as observed; null where there is no such hour.
        """
        past = self.quarters_before(as_of)
        keyed = rows.select("store_id", "origin_date", "lead_days", "date", "hour", quarter=_quarter(pl.col("hour")))
        with_quarter = keyed.join(self.quarters, on=["store_id", "date", "quarter"], how="left", maintain_order="left")
        counts = past.select(*DRAW_KEY, "candidates").unique()
        chosen = with_quarter.join(counts, on=DRAW_KEY, how="left", maintain_order="left").with_columns(
            number=_drawn_number()
        )
        hours = chosen.join(past.drop("candidates"), on=[*DRAW_KEY, "number"], how="left", maintain_order="left")
        hours = hours.select(
            "store_id", "issued_utc",
            valid_local=business_day.local_time(self.late, "day", "hour"),
        )  # fmt: skip
        return _with_measures(_with_measures(hours, self.weather, ["store_id", "issued_utc", "valid_local"]),
                       observations(self.weather).rename({name: f"{name}_observed" for name in MEASURES}),
                       ["store_id", "valid_local"])  # fmt: skip


def _quarter(hour: pl.Expr) -> pl.Expr:
    return (hour // QUARTER_HOURS).cast(pl.Int8)


def _drawn_number() -> pl.Expr:
    """Return a number below `candidates` by origin, lead and quarter: a multiplicative hash as in `horizon`."""
    days = pl.col("origin_date").cast(pl.Int32).cast(pl.UInt64) * 31 + pl.col("lead_days").cast(pl.UInt64)
    mixed = ((days * 4 + pl.col("quarter").cast(pl.UInt64)) * 2_654_435_761) % 2**32
    return (mixed * pl.col("candidates") // 2**32).cast(pl.Int64)


def _with_measures(rows: pl.DataFrame, weather: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """Add to the rows, in order, their weather; of an hour that the clock shows twice, the first."""
    # Filter the many issues by the few rows first: it is faster than the other way round.
    matching = weather.join(rows.select(on).drop_nulls().unique(), on=on, how="semi", maintain_order="left")
    measures = matching.select(*on, pl.col(pl.Float64)).unique(on, keep="first", maintain_order=True)
    return rows.join(measures, on=on, how="left", maintain_order="left")


def degrade_hindsight(rows: pl.DataFrame, past: WeatherIssues, as_of: date) -> pl.DataFrame:
    """Return training rows, in order, with the observed weather of `hindsight` rows as uncertain as a forecast.

    Temperature, wind, humidity and cloud are observations plus the error of an issue of the same lead for a quarter of
    a day with the same kind of precipitation. Rain and snow are those of that issue, so that hits, misses and false
    alarms are as frequent as in the past. Rows without such an issue have no weather. Apart from the rows themselves,
    nothing of `as_of` or later is used: give rows of earlier dates. Drops `hindsight`; other rows stay as they are.
    """
    ordered = rows.with_row_index("row")
    is_hindsight = pl.col("hindsight").fill_null(value=False)
    issued_rows, hindsight = ordered.filter(~is_hindsight), ordered.filter(is_hindsight)
    issues = past.draw(hindsight, as_of).select(pl.col(pl.Float64).name.prefix("drawn_"))
    expressions = {name: _degraded_measure(name).cast(rows.schema[f"weather_{name}"]) for name in MEASURES}
    columns = {f"weather_{name}": value for name, value in expressions.items()}
    for name in DEPARTING:
        departure = f"weather_{name}_departure"
        columns[departure] = pl.col(departure) + expressions[name] - pl.col(f"weather_{name}")
    degraded_rows = pl.concat([hindsight, issues], how="horizontal").with_columns(**columns).select(ordered.columns)
    return pl.concat([issued_rows, degraded_rows]).sort("row").drop("row", "hindsight")


def _degraded_measure(name: str) -> pl.Expr:
    """Return a row's observed measure with the error of the drawn hour's issue."""
    actual, forecast = pl.col(f"weather_{name}"), pl.col(f"drawn_{name}")
    if name in PRECIPITATION:
        return pl.when(actual.is_not_null()).then(forecast)
    column = WEATHER[name]
    return (actual + forecast - pl.col(f"drawn_{name}_observed")).clip(column.low, column.high)
