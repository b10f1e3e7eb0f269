"""The tables that a run read, as MLflow's datasets: one per table and Delta version."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from daypart.features.tables.schemas import TABLES

TYPES = {pl.String: "string", pl.Float64: "double", pl.Date: "datetime", pl.Datetime: "datetime"}
"""MLflow's names for the types of columns; the other types of tables are integers."""


def dataset_inputs(lake: Path, reads: Mapping[str, int]) -> list[Any]:
    """Return the inputs of a run that read these versions of tables of a lake."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tags = [InputTag("mlflow.data.context", "records")]
    return [
        DatasetInput(
            Dataset(
                name=table,
                digest=f"version {version}",
                source_type="delta_table",
                source=json.dumps({"path": str(lake / table), "delta_table_version": version}),
                schema=_schema(table),
            ),
            tags,
        )
        for table, version in reads.items()
    ]


def _schema(table: str) -> str | None:
    """Return the columns of a canonical table as MLflow's page shows them."""
    if table not in TABLES:
        return None
    columns = TABLES[table].schema.items()
    specs = [{"name": name, "type": TYPES.get(dtype.base_type(), "long")} for name, dtype in columns]
    return json.dumps({"mlflow_colspec": specs})
