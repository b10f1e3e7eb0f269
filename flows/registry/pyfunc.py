"""The registered model as MLflow's python_function: features in, forecasts out."""

import warnings
from pathlib import Path
from typing import Any

import polars as pl
from mlflow.pyfunc import PythonModel

from daypart.flows.registry.mlflow_model import as_features
from daypart.flows.registry.model_files import ARTIFACT, files_in
from daypart.forecasting.models.model import Model
from daypart.forecasting.serving.publication import predict_features

# MLflow asks for types of the arguments: it would take them for the schema, which is the version's signature.
with warnings.catch_warnings(record=True):

    class RegisteredModel(PythonModel):  # type: ignore[misc]
        """A version of a unit's model. It takes rows of `jobs.model_input.model_input`, whole days of each store."""

        def load_context(self, context: Any) -> None:
            """Read the model from the version's files."""
            self._model = Model.from_files(files_in(Path(context.artifacts[ARTIFACT])))

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            """Return forecast, q10, q50 and q90 of each row, in order, as `daypart forecast` publishes them."""
            return predict_features(self._model, as_features(pl.from_pandas(model_input))).to_pandas()
