"""Settings: where a home keeps its state, and the few choices that hold for all of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from daypart.features.errors import InputError
from daypart.flows.config import toml_files
from daypart.flows.config.home_access import absolute, check_readable, fault_of_name, nearest_home
from daypart.flows.config.prices import Prices

PREFIX = "DAYPART_"
RETENTIONS = ("versions_days", "forecasts_days", "scores_days", "refusals_days", "runs_days", "lines_days")
COUNTS = ("seed", "workers", "day_starts", *RETENTIONS)
LEAST_DAYS, MOST_DAYS = 2, 36_500
"""A reader may hold what it has begun to read for hours: nothing younger than LEAST_DAYS is ever removed."""
NUMBERS = (*COUNTS, "cpu_hour_dollars", "gib_hour_dollars")


class Settings(BaseSettings):
    """One home folder and what holds for everything in it; by default `nearest_home`.

    What a job costs is told at `cpu_hour_dollars` for each processor's hour of work and `gib_hour_dollars` for each
    hour of a GiB of memory. `engine` says where training and forecasting run, `scheduler` at which address the
    Dask cluster is; without one a cluster of so many `workers` (default: one a core) is started for the run.
    Deployments run by the clock of `timezone`, an IANA name (default: that of most stores). `day_starts` is the clock
    hour at which the business days of stores begin that say none themselves (default: after their last hour of trade).

    `daypart maintain` keeps for so many days: `versions_days` earlier versions of tables, from which published
    forecasts can be made again; `refusals_days` lists of refused rows; `runs_days` MLflow's runs; `forecasts_days` and
    `scores_days` origins before the latest one; `lines_days` dates of point-of-sale lines before the latest one that is
    not ahead of the clock. Demand stays, but a file without lines can no longer be taken back. Monitoring and health
    reports read the last three months of forecasts and scores.

    Arguments win over the environment (DAYPART_HOME, DAYPART_SEED, ...), that over `settings.toml` in the home,
    and that over the defaults. Nothing is created. Raises InputError for a key or a value that cannot be.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, allow_inf_nan=False
    )

    home: Path = Field(default_factory=nearest_home)
    seed: int = Field(7, ge=0, le=2**31 - 1)
    cpu_hour_dollars: float = Field(Prices().cpu_hour, ge=0)
    gib_hour_dollars: float = Field(Prices().gib_hour, ge=0)
    engine: Literal["local", "dask"] = "local"
    scheduler: str | None = Field(None, min_length=1)
    workers: int | None = Field(None, ge=1, le=10_000)
    timezone: str | None = None
    day_starts: int | None = Field(None, ge=0, le=23)
    versions_days: int = Field(90, ge=LEAST_DAYS, le=MOST_DAYS)
    forecasts_days: int = Field(1096, ge=90, le=MOST_DAYS)
    scores_days: int = Field(1096, ge=90, le=MOST_DAYS)
    refusals_days: int = Field(90, ge=LEAST_DAYS, le=MOST_DAYS)
    runs_days: int = Field(400, ge=LEAST_DAYS, le=MOST_DAYS)
    lines_days: int = Field(400, ge=LEAST_DAYS, le=MOST_DAYS)

    def __init__(self, **arguments: Any) -> None:
        check_readable(_file(arguments).parent.absolute())
        try:
            super().__init__(**arguments)
        except ValidationError as wrong:
            messages = [_worded(error, arguments) for error in wrong.errors()]
            raise InputError("; ".join(messages)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file in the home that those two choose."""
        file_values = _read(_file(init_settings()), [name for name in cls.model_fields if name != "home"])
        return init_settings, env_settings, InitSettingsSource(settings_cls, file_values)

    @field_validator(*NUMBERS, mode="before")
    @classmethod
    def _number(cls, value: object, about: ValidationInfo) -> object:
        """Neither true nor, for a count, 1e20: what reads as another number than it was written as."""
        counts = about.field_name in COUNTS
        if isinstance(value, bool) or (counts and isinstance(value, float)):
            raise ValueError(f"expected a {'whole ' * counts}number")
        return value

    @field_validator("home", mode="after")
    @classmethod
    def _whole(cls, home: Path) -> Path:
        """The same folder whatever the working folder becomes."""
        home = absolute(home)
        if (fault := fault_of_name(home)) is not None:
            raise ValueError(fault)
        if home.exists() and not home.is_dir():
            raise ValueError("that is a file, expected a folder or a name that is free")
        return home

    @field_validator("timezone", mode="after")
    @classmethod
    def _known(cls, timezone: str | None) -> str | None:
        from daypart.features.clock import known_zones

        if timezone is not None and not known_zones([timezone]):
            raise ValueError("no such time zone; expected an IANA name such as America/New_York")
        return timezone

    @field_validator("scores_days", mode="after")
    @classmethod
    def _not_below_forecasts(cls, days: int, about: ValidationInfo) -> int:
        """What is published and has no scores is scored, so scores go no earlier than forecasts."""
        least = about.data.get("forecasts_days", days)
        if days < least:
            raise ValueError(f"expected at least forecasts_days, which is {least}")
        return days

    @property
    def prices(self) -> Prices:
        """What a job's processor and memory cost."""
        return Prices(self.cpu_hour_dollars, self.gib_hour_dollars)

    @property
    def lake(self) -> Path:
        """Folder of the Delta tables."""
        return self.home / "lake"

    @property
    def mlflow_database(self) -> Path:
        """MLflow's SQLite database."""
        return self.home / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Folder of MLflow's artifacts, one folder a run."""
        return self.home / "artifacts"

    @property
    def prefect(self) -> Path:
        """Folder of Prefect's own store."""
        return self.home / "prefect"

    @property
    def recipes(self) -> Path:
        """The file of how models are made, where it differs from the usual; see `daypart.flows.config.recipes`."""
        return self.home / "recipes.toml"

    @property
    def policy(self) -> Path:
        """The file of what the loop acts on, where it differs from the usual; see `daypart.flows.config.policies`."""
        return self.home / "policy.toml"

    @property
    def portfolio(self) -> Path:
        """The file of segments and tiers, where there is more than a model a target."""
        return self.home / "portfolio.toml"

    @property
    def governance(self) -> Path:
        """The file of who is responsible and accountable for what."""
        return self.home / "governance.toml"

    @property
    def studies(self) -> Path:
        """Folder of tuning's studies, one file each, and of what they propose."""
        return self.home / "tune"

    @property
    def reports(self) -> Path:
        """Folder of reports, and of files of refused rows."""
        return self.home / "reports"


class WithoutFile(Settings):
    """The same without what `settings.toml` says: for commands that show a home whose file cannot be read."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *rest: Any, **options: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only."""
        return (init_settings,)


def _file(arguments: Mapping[str, Any]) -> Path:
    home = arguments.get("home") or os.environ.get(f"{PREFIX}HOME") or nearest_home()
    return absolute(Path(home)) / "settings.toml"


def _read(path: Path, names: list[str]) -> dict[str, Any]:
    text, values = toml_files.load(path, "lines such as seed = 7") or ("", {})
    for name in values:
        if name not in names:
            where = toml_files.line_of(text, (name,))
            raise InputError(f"{path}{where}: {name!r} is not a setting; expected {', '.join(names)}")
        if name in NUMBERS and isinstance(values[name], str):
            where = toml_files.line_of(text, (name,))
            raise InputError(f"{path}{where}: {name} is {values[name]!r}: expected a number without quotes")
    return values


def _worded(error: ErrorDetails, arguments: Mapping[str, Any]) -> str:
    """What was found and expected, and where it was said."""
    name = str(error["loc"][0])
    if name in arguments:
        where = name
    elif os.environ.get(PREFIX + name.upper()):
        where = PREFIX + name.upper()
    else:
        path = _file(arguments)
        text, _ = toml_files.load(path, "settings") or ("", {})
        where = f"{path}{toml_files.line_of(text, (name,))}: {name}"
    if error["type"] == "extra_forbidden":
        return f"{where} is not a setting; expected {', '.join(Settings.model_fields)}"
    return f"{where} is {str(error['input'])!r}: {error['msg'].removeprefix('Value error, ')}"
