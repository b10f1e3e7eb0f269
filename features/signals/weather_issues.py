"""Past issues of weather beside what came, and weather that came told as they might have told it.

A store keeps its own observations of years but issues of months: training on both needs the one made like the other.
"""

from dataclasses import dataclass
from datetime import date
from typing import Self

import polars as pl

from daypart.features import business_day, clock
from daypart.features.business_day import business_date
from daypart.features.signals.weather import DEPARTING, MEASURES, observed
from daypart.features.tables.schemas import WEATHER

FALLING = ("precipitation_mm", "snowfall_cm")
QUARTER_HOURS = 6
"""Rain is told to a few hours: a quarter of the day is dry, or it rains or snows in it."""

RAIN_MM, SNOW_CM = 0.2, 0.1
"""What falls in a quarter of the day that is not dry."""

ALIKE = ["store_id", "lead_days", "quarter", "fell"]


@dataclass(frozen=True)
class Issued:
    """Past issues beside what came, from which `degraded` draws.

    `issues` has one row per store and origin that an issue was fresh for: store_id, origin_date, issued_utc.
    `quarters` has one row per store, business date and quarter of the clock's day: `fell`, 0 for nothing, 1 rain,
    2 snow. `late` are the `business_day.late_stores`.
    """

    weather: pl.DataFrame
    issues: pl.DataFrame
    quarters: pl.DataFrame
    late: pl.DataFrame

    @classmethod
    def of(cls, weather: pl.DataFrame, stores: pl.DataFrame) -> Self:
        """Of the weather table of some stores."""
        issued = weather.select("store_id", "issued_utc").drop_nulls().unique()
        placed = issued.join(stores.select("store_id", "timezone"), on="store_id")
        fresh = clock.with_local(placed, "issued_utc", "local").select(
            "store_id", "issued_utc", origin_date=business_date(stores, "local") + pl.duration(days=1)
        )
        latest = fresh.group_by("store_id", "origin_date").agg(pl.col("issued_utc").max())
        rain, snow = (pl.col(name).sum() for name in FALLING)
        quarters = (
            observed(weather)
            .group_by(
                "store_id", date=business_date(stores, "valid_local"), quarter=_quarter(pl.col("valid_local").dt.hour())
            )
            .agg(fell=pl.when(snow >= SNOW_CM).then(2).when(rain >= RAIN_MM).then(1).otherwise(0))
        )
        return cls(weather, latest, quarters, business_day.late_stores(stores))

    def before(self, as_of: date) -> pl.DataFrame:
        """The quarters of days before a date that issues spoke of, numbered among those alike.

        Rows of store_id, lead_days, quarter, fell, number (from 0, in order of dates), alike (how many), day and
        issued_utc; lead_days are those of the origin that the issue was fresh for.
        """
        leads = pl.DataFrame({"lead_days": range(14)}, schema={"lead_days": pl.Int16})
        days = self.issues.join(leads, how="cross").with_columns(
            date=pl.col("origin_date") + pl.duration(days=1) * pl.col("lead_days")
        )
        past = days.filter(pl.col("date") < as_of).join(self.quarters, on=["store_id", "date"])
        return past.sort("date").select(
            *ALIKE, "issued_utc", day="date", number=pl.int_range(pl.len()).over(ALIKE), alike=pl.len().over(ALIKE)
        )  # fmt: skip

    def drawn(self, rows: pl.DataFrame, as_of: date) -> pl.DataFrame:
        """For each of the rows (store_id, origin_date, lead_days, date, hour), in order, an hour of the past.

        It is one of a day before `as_of`, of the same store, lead and hour of the day, in whose quarter as much fell.
        Measures are as they were issued then, those ending in `_came` as observed; null where there is none.
        """
        past = self.before(as_of)
        keyed = rows.select("store_id", "origin_date", "lead_days", "date", "hour", quarter=_quarter(pl.col("hour")))
        with_quarter = keyed.join(self.quarters, on=["store_id", "date", "quarter"], how="left", maintain_order="left")
        counts = past.select(*ALIKE, "alike").unique()
        chosen = with_quarter.join(counts, on=ALIKE, how="left", maintain_order="left").with_columns(number=_draw())
        hours = chosen.join(past.drop("alike"), on=[*ALIKE, "number"], how="left", maintain_order="left").select(
            "store_id", "issued_utc",
            valid_local=business_day.local_time(self.late, "day", "hour"),
        )  # fmt: skip
        return _joined(_joined(hours, self.weather, ["store_id", "issued_utc", "valid_local"]),
                       observed(self.weather).rename({name: f"{name}_came" for name in MEASURES}),
                       ["store_id", "valid_local"])  # fmt: skip


def _quarter(hour: pl.Expr) -> pl.Expr:
    return (hour // QUARTER_HOURS).cast(pl.Int8)


def _draw() -> pl.Expr:
    """A number below `alike`, by origin, lead and quarter of the day; by multiplicative hashing as `horizon` has it."""
    days = pl.col("origin_date").cast(pl.Int32).cast(pl.UInt64) * 31 + pl.col("lead_days").cast(pl.UInt64)
    mixed = ((days * 4 + pl.col("quarter").cast(pl.UInt64)) * 2_654_435_761) % 2**32
    return (mixed * pl.col("alike") // 2**32).cast(pl.Int64)


def _joined(rows: pl.DataFrame, weather: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """The rows in order with the weather that is theirs; of an hour that the clock shows twice, the first."""
    # The many issues are searched for the few that are wanted, not the other way round.
    matching = weather.join(rows.select(on).drop_nulls().unique(), on=on, how="semi", maintain_order="left")
    measures = matching.select(*on, pl.col(pl.Float64)).unique(on, keep="first", maintain_order=True)
    return rows.join(measures, on=on, how="left", maintain_order="left")


def degraded(rows: pl.DataFrame, issued: Issued, as_of: date) -> pl.DataFrame:
    """Training rows, in order, whose weather of `hindsight` is made as uncertain as a forecast of their lead.

    Temperature, wind, humidity and cloud are what came, moved by the error of an issue of the same lead that spoke of
    as dry, wet or snowy a quarter of a day; rain and snow are what that issue said, so that hits, misses and false
    alarms are as frequent as they were. Rows without such an issue have no weather. Nothing of `as_of` or later is
    used but what the rows hold: give rows of dates before it. Drops `hindsight`; other rows are as they were.
    """
    ordered = rows.with_row_index("row")
    unsaid = pl.col("hindsight").fill_null(value=False)
    issued_rows, hindsight = ordered.filter(~unsaid), ordered.filter(unsaid)
    issues = issued.drawn(hindsight, as_of).select(pl.col(pl.Float64).name.prefix("drawn_"))
    expressions = {name: _as_issued(name).cast(rows.schema[f"weather_{name}"]) for name in MEASURES}
    columns = {f"weather_{name}": value for name, value in expressions.items()}
    for name in DEPARTING:
        departure = f"weather_{name}_departure"
        columns[departure] = pl.col(departure) + expressions[name] - pl.col(f"weather_{name}")
    degraded_rows = pl.concat([hindsight, issues], how="horizontal").with_columns(**columns).select(ordered.columns)
    return pl.concat([issued_rows, degraded_rows]).sort("row").drop("row", "hindsight")


def _as_issued(name: str) -> pl.Expr:
    """What came at a row as the drawn hour's issue might have told it."""
    actual, forecast = pl.col(f"weather_{name}"), pl.col(f"drawn_{name}")
    if name in FALLING:
        return pl.when(actual.is_not_null()).then(forecast)
    column = WEATHER[name]
    return (actual + forecast - pl.col(f"drawn_{name}_came")).clip(column.low, column.high)
