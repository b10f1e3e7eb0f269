"""The code of a registered version. MLflow keeps a copy beside the model and runs it to load the model: no pickle."""

from mlflow.models import set_model

from daypart.flows.registry.pyfunc import RegisteredModel

set_model(RegisteredModel())
