"""The canonical tables: the meaning, unit and valid range of every column."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

Kind = Literal["text", "zone", "number", "count", "weekday", "hour", "date", "clock", "local", "utc"]

DTYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "zone": pl.String(),
    "number": pl.Float64(),
    "count": pl.Float64(),
    "weekday": pl.Int8(),
    "hour": pl.Int8(),
    "date": pl.Date(),
    "clock": pl.String(),
    "local": pl.Datetime("us"),
    "utc": pl.Datetime("us"),
}
"""Polars dtype of each kind of column. Both sorts of time are naive; the name's suffix says the clock."""


@dataclass(frozen=True)
class Column:
    """One column: its kind (and so its dtype), unit, closed range of values and meaning."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    required: bool = True

    @property
    def dtype(self) -> pl.DataType:
        """Polars dtype of the column."""
        return DTYPES[self.kind]


@dataclass(frozen=True)
class Table:
    """One canonical table. `key` identifies a row; `any_of` are groups of columns of which one must be there.

    A `*_local` column may arrive as `*_utc` instead; the lake keeps both where `clocks` names the stem.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    any_of: tuple[tuple[str, ...], ...] = ()
    clocks: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> list[str]:
        """Names of the columns, in order."""
        return [column.name for column in self.columns]

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Dtypes of the conformed table, in order."""
        return {column.name: column.dtype for column in self.columns}


def _local(name: str, meaning: str, required: bool = True) -> Column:
    return Column(name, "local", meaning, "store's own clock", required=required)


def _utc(name: str, meaning: str, required: bool = True) -> Column:
    return Column(name, "utc", meaning, "UTC", required=required)


def _number(name: str, meaning: str, unit: str, low: float | None = None, high: float | None = None) -> Column:
    return Column(name, "number", meaning, unit, low, high, required=False)


STORE = Column("store_id", "text", "the store, as its point of sale names it")

STORES = Table(
    "stores",
    "one row per store",
    (
        STORE,
        Column("timezone", "zone", "IANA time zone of the store's clock"),
        Column("country", "text", "ISO 3166-1 alpha-2 code; chooses the public holidays. Names are read too"),
        Column("subdivision", "text", "ISO 3166-2 part after the country, such as CA or ON", required=False),
        Column("region", "text", "the chain's own region", required=False),
        Column("name", "text", "what people call the store", required=False),
        Column("format", "text", "kind of store: street, drive-through, kiosk, ...", required=False),
        _number("latitude", "where it stands", "degrees north", -90, 90),
        _number("longitude", "where it stands", "degrees east", -180, 180),
        Column("opened_on", "date", "first day of trade", required=False),
        Column("closed_on", "date", "first day on which it trades no more", required=False),
        Column("currency", "text", "ISO 4217 code of its sales; absent = its country's", required=False),
        Column("day_starts", "hour", "clock hour at which its business day begins", "clock hour", 0, 23, False),
    ),
    ("store_id",),
)

DEMAND = Table(
    "demand",
    "one row per store and clock hour with trade",
    (
        STORE,
        _local("hour_local", "start of the hour"),
        _utc("hour_utc", "start of the hour"),
        Column("orders", "count", "tickets", "tickets", 0, 1e9, required=False),
        Column("sales", "number", "takings net of tax and voids", "store's currency", 0, 1e12, required=False),
    ),
    ("store_id", "hour_utc"),
    any_of=(("orders", "sales"),),
    clocks=("hour",),
)

HOURS = Table(
    "hours",
    "one row per store, weekday and period of validity: when it trades",
    (
        STORE,
        Column("weekday", "weekday", "ISO day of the week, 1 = Monday", low=1, high=7),
        Column("opens", "clock", "opening time HH:MM"),
        Column("closes", "clock", "closing time HH:MM; at or before `opens` = after midnight"),
        Column("valid_from", "date", "first day on which this holds; null = always", required=False),
        Column("valid_to", "date", "last day on which this holds; null = until further notice", required=False),
    ),
    ("store_id", "weekday", "valid_from"),
)

CLOSURES = Table(
    "closures",
    "one row per planned closure of a store on a day",
    (
        STORE,
        Column("date", "date", "business day on which it is closed"),
        Column("from_hour", "hour", "first closed hour; null = the whole day", "clock hour", 0, 23, False),
        Column("to_hour", "hour", "last closed hour; null = to the end of the day", "clock hour", 0, 23, False),
        Column("reason", "text", "why", required=False),
        Column("known_on", "date", "day on which it was known; null = always", required=False),
    ),
    ("store_id", "date", "from_hour"),
)

WEATHER = Table(
    "weather",
    "one row per store, hour and issue: a forecast as it was issued, or an observation (issued_utc is null)",
    (
        STORE,
        _local("valid_local", "hour that it speaks of"),
        _utc("valid_utc", "hour that it speaks of"),
        _utc("issued_utc", "when the forecast was issued; null = observed", required=False),
        _number("temperature_c", "air temperature", "degrees Celsius", -70, 60),
        _number("precipitation_mm", "rain and melted snow in the hour", "mm", 0, 400),
        _number("snowfall_cm", "fresh snow in the hour", "cm", 0, 100),
        _number("wind_speed_kmh", "mean wind", "km/h", 0, 400),
        _number("humidity_pct", "relative humidity", "%", 0, 100),
        _number("cloud_cover_pct", "sky covered", "%", 0, 100),
    ),
    ("store_id", "valid_utc", "issued_utc"),
    clocks=("valid", "issued"),
)

MACRO = Table(
    "macro",
    "one row per series, observation and release",
    (
        Column("series", "text", "name of the series"),
        Column("observation_date", "date", "period that the value speaks of"),
        Column("released_on", "date", "day on which the value became public"),
        Column("value", "number", "the value", "the series' own", -1e15, 1e15),
    ),
    ("series", "observation_date", "released_on"),
)

LABOR = Table(
    "labor",
    "one row per store and clock hour",
    (
        STORE,
        _local("hour_local", "start of the hour"),
        _utc("hour_utc", "start of the hour"),
        _number("scheduled_hours", "labor planned", "person-hours", 0, 1000),
        _number("worked_hours", "labor worked; never a feature of its own hour", "person-hours", 0, 1000),
        _number("hourly_wage", "mean wage", "store's currency per hour", 0, 10000),
        Column("known_on", "date", "day on which the schedule was known; null = always", required=False),
    ),
    ("store_id", "hour_utc"),
    any_of=(("scheduled_hours", "worked_hours", "hourly_wage"),),
    clocks=("hour",),
)

EVENT_KINDS = ("promotion", "local event")
"""Kinds of events that get a feature of their own; every other kind shares one."""

EVENTS = Table(
    "events",
    "one row per event and the store or region that it touches (neither = the whole chain)",
    (
        Column("name", "text", "what it is called"),
        Column("kind", "text", "promotion, price, local event, ..."),
        _local("starts_local", "first moment"),
        _local("ends_local", "last moment"),
        Column("store_id", "text", "store it touches; null = see region", required=False),
        Column("region", "text", "region it touches; null = the whole chain", required=False),
        Column("known_on", "date", "day on which it was known; null = always", required=False),
    ),
    ("name", "starts_local", "store_id", "region"),
)


def known_before(origin: pl.Expr | date) -> pl.Expr:
    """Return whether a row was known before an origin, by its `known_on`; a row without one always was."""
    return pl.col("known_on").is_null() | (pl.col("known_on") < origin)


TABLES: dict[str, Table] = {
    table.name: table for table in (STORES, DEMAND, HOURS, CLOSURES, WEATHER, MACRO, LABOR, EVENTS)
}
TARGETS = ("orders", "sales")
