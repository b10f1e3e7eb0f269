"""Where a home keeps what, and the few settings that are not a recipe's."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from DAYPART_* variables; the command line's --home rules over DAYPART_HOME."""

    model_config = SettingsConfigDict(env_prefix="DAYPART_", frozen=True)

    home: Path = Path(".daypart")
    seed: int = 7

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    @property
    def mlflow_database(self) -> Path:
        return self.home / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"
