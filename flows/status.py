"""Status: what a home holds, without changing it."""

from dataclasses import dataclass

import polars as pl

from features.tables import TABLES, TARGETS
from flows.adapters.lake import Lake
from flows.adapters.registry import Registry

CLOCKS = ("hour_local", "valid_local", "released_on", "date", "starts_local", "at_utc")
"""The column that says which time a table spans; stores and declared hours have none."""


@dataclass(frozen=True)
class Status:
    """Tables with rows, Delta version, first and last time; champion and challenger by target; the last publication."""

    tables: list[dict[str, object]]
    models: list[dict[str, object]]
    published: dict[str, object]


def status(lake: Lake, registry: Registry) -> Status:
    """What is in the lake and the registry now; empty where nothing is."""
    names = [*TABLES, "forecasts", "scores", "audit"]
    tables: list[dict[str, object]] = [_table(lake, name) for name in names if lake.exists(name)]
    models = [_model(registry, target) for target in TARGETS] if tables else []
    return Status(tables, [model for model in models if model], _published(lake))


def _table(lake: Lake, name: str) -> dict[str, object]:
    rows = lake.scan(name)
    columns = rows.collect_schema().names()
    clock = next((pl.col(column) for column in CLOCKS if column in columns), pl.lit(None))
    found = rows.select(rows=pl.len(), first=clock.min(), last=clock.max()).collect().row(0, named=True)
    return {"table": name, "version": lake.version(name), **found}


def _model(registry: Registry, target: str) -> dict[str, object]:
    version = registry.version_of(target, "champion")
    if version is None:
        return {}
    about = registry.describe(target, version)
    return {
        "target": target,
        "champion": version,
        "challenger": registry.version_of(target, "challenger"),
        "as_of": about["params"].get("as_of"),
        "rolling_wape_bps": about["metrics"].get("rolling_model_wape_bps"),
        "rolling_incumbent_wape_bps": about["metrics"].get("rolling_incumbent_wape_bps"),
    }


def _published(lake: Lake) -> dict[str, object]:
    if not lake.exists("forecasts"):
        return {}
    rows = lake.scan("forecasts")
    last = rows.filter(pl.col("origin_date") == pl.col("origin_date").max())
    return last.select(
        origin=pl.col("origin_date").first(), stores=pl.col("store_id").n_unique(), rows=pl.len()
    ).collect().row(0, named=True)  # fmt: skip
