"""A trained model as an MLflow model: its own files, with a signature, an example and pinned requirements around them.

MLflow loads it from code (`model_code`), so nothing is unpickled.
"""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from daypart.flows.registry.model_files import ARTIFACT, files_in
from daypart.forecasting.models.model import Model
from daypart.forecasting.serving.forecast_limits import FORECAST_VALUES, LIMIT

REQUIREMENTS = ("daypart", "lightgbm", "mlflow", "numpy", "pandas", "polars", "pyarrow")
"""What a prediction rests on, pinned to the versions that trained the model."""
UNREAD = ("hour_utc", "hour_local")
"""Columns of features that name a row and that no prediction reads."""
KEY_TYPES: dict[str, tuple[pl.DataType, str]] = {
    "store_id": (pl.String(), "string"),
    "origin_date": (pl.Date(), "datetime"),
    "date": (pl.Date(), "datetime"),
    "hour": (pl.Int8(), "long"),
    "lead_days": (pl.Int64(), "long"),
}
"""The types of columns in Polars and in MLflow; all others are floats."""
CODE = Path(__file__).with_name("model_code.py")


def mlflow_files(model: Model, example: pl.DataFrame) -> dict[str, bytes]:
    """Return the files of an MLflow model by path: the model's own lie in `artifacts/daypart`.

    `example` has rows of `publication.block_features`; without any the version has no example.
    """
    with tempfile.TemporaryDirectory(prefix="daypart-") as folder, _quiet():
        from mlflow.pyfunc import save_model

        own_folder, saved = Path(folder) / ARTIFACT, Path(folder) / "model"
        own_folder.mkdir()
        for name, content in model.files().items():
            (own_folder / name).write_bytes(content)
        save_model(
            saved,
            python_model=str(CODE),
            artifacts={ARTIFACT: str(own_folder)},
            signature=_signature(model),
            input_example=None if example.is_empty() else example.drop(UNREAD).to_pandas(),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        )
        return files_in(saved)


def as_features(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows as they come from pandas or JSON with the types of features."""
    types = {name: dtype for name, (dtype, _) in KEY_TYPES.items()}
    return rows.cast({name: types.get(name, pl.Float64()) for name in rows.columns})


def _signature(model: Model) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    names = [name for name in (*model.feature_columns, LIMIT) if name not in UNREAD]
    inputs = [ColSpec(KEY_TYPES[name][1] if name in KEY_TYPES else "double", name) for name in names]
    return ModelSignature(Schema(inputs), Schema([ColSpec("double", name) for name in FORECAST_VALUES]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MLflow's hints about its own defaults, and its progress bars, from the user."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logger = logging.getLogger("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The import sets the level of the logger.
        import_module("mlflow.pyfunc")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)
