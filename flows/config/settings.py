"""Settings: where a home stores its state, and the few choices that apply to all of it."""

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

ENV_PREFIX = "DAYPART_"
RETENTIONS = ("versions_days", "forecasts_days", "scores_days", "refusals_days", "runs_days", "lines_days")
WHOLE_NUMBERS = ("seed", "workers", "day_starts", *RETENTIONS)
MIN_RETENTION_DAYS, MAX_RETENTION_DAYS = 2, 36_500
"""A reader may read the same version for hours: nothing younger than MIN_RETENTION_DAYS is ever removed."""
NUMBERS = (*WHOLE_NUMBERS, "cpu_hour_dollars", "gib_hour_dollars")


class Settings(BaseSettings):
    """One home folder (default: `nearest_home`) and the settings that apply to everything in it.

    The cost of a job is computed with `cpu_hour_dollars` per processor hour and `gib_hour_dollars` per GiB of memory
    and hour. `engine` says where training and forecasting run. `scheduler` is the address of the Dask cluster; without
    one, a cluster of `workers` processes (default: one per core) is started for the run. Deployments run by the clock
    of `timezone`, an IANA name (default: that of most stores). `day_starts` is the clock hour at which the business
    day begins of stores that have none of their own (default: after their last hour of trade).

    `daypart maintain` keeps data for these numbers of days: `versions_days` for earlier versions of tables, from which
    published forecasts can be rebuilt; `refusals_days` for lists of refused rows; `runs_days` for MLflow's runs;
    `forecasts_days` and `scores_days` for origins before the latest one; `lines_days` for dates of point-of-sale lines
    before the latest one that is not in the future. Demand stays, but a file whose lines are removed can no longer be
    taken back. Monitoring and health reports read the last three months of forecasts and scores.

    Arguments override the environment (DAYPART_HOME, DAYPART_SEED, ...), which overrides `settings.toml` in the home,
    which overrides the defaults. Nothing is created. Raises InputError for an invalid key or value.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, allow_inf_nan=False
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
    versions_days: int = Field(90, ge=MIN_RETENTION_DAYS, le=MAX_RETENTION_DAYS)
    forecasts_days: int = Field(1096, ge=90, le=MAX_RETENTION_DAYS)
    scores_days: int = Field(1096, ge=90, le=MAX_RETENTION_DAYS)
    refusals_days: int = Field(90, ge=MIN_RETENTION_DAYS, le=MAX_RETENTION_DAYS)
    runs_days: int = Field(400, ge=MIN_RETENTION_DAYS, le=MAX_RETENTION_DAYS)
    lines_days: int = Field(400, ge=MIN_RETENTION_DAYS, le=MAX_RETENTION_DAYS)

    def __init__(self, **arguments: Any) -> None:
        check_readable(_file(arguments).parent.absolute())
        try:
            super().__init__(**arguments)
        except ValidationError as wrong:
            messages = [_error_message(error, arguments) for error in wrong.errors()]
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
        """Return arguments, then the environment, then the file in the home that those two choose."""
        file_values = _read(_file(init_settings()), [name for name in cls.model_fields if name != "home"])
        return init_settings, env_settings, InitSettingsSource(settings_cls, file_values)

    @field_validator(*NUMBERS, mode="before")
    @classmethod
    def _number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true and, for a whole number, 1e20: pydantic would read them as other numbers than were written."""
        is_whole = info.field_name in WHOLE_NUMBERS
        if isinstance(value, bool) or (is_whole and isinstance(value, float)):
            raise ValueError(f"expected a {'whole ' * is_whole}number")
        return value

    @field_validator("home", mode="after")
    @classmethod
    def _check_home(cls, home: Path) -> Path:
        """Return the absolute path of the home; refuse a path that no home can have."""
        home = absolute(home)
        if (fault := fault_of_name(home)) is not None:
            raise ValueError(fault)
        if home.exists() and not home.is_dir():
            raise ValueError("that is a file, expected a folder or a name that is free")
        return home

    @field_validator("timezone", mode="after")
    @classmethod
    def _check_timezone(cls, timezone: str | None) -> str | None:
        from daypart.features.clock import known_zones

        if timezone is not None and not known_zones([timezone]):
            raise ValueError("no such time zone; expected an IANA name such as America/New_York")
        return timezone

    @field_validator("scores_days", mode="after")
    @classmethod
    def _check_scores_days(cls, days: int, info: ValidationInfo) -> int:
        """Refuse fewer days than forecasts_days: forecasts without scores would be scored again."""
        least = info.data.get("forecasts_days", days)
        if days < least:
            raise ValueError(f"expected at least forecasts_days, which is {least}")
        return days

    @property
    def prices(self) -> Prices:
        """Return the prices of processors and memory."""
        return Prices(self.cpu_hour_dollars, self.gib_hour_dollars)

    @property
    def lake(self) -> Path:
        """Return the folder of the Delta tables."""
        return self.home / "lake"

    @property
    def mlflow_database(self) -> Path:
        """Return the path of MLflow's SQLite database."""
        return self.home / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Return the folder of MLflow's artifacts, which has one folder per run."""
        return self.home / "artifacts"

    @property
    def prefect(self) -> Path:
        """Return the folder of Prefect's own store."""
        return self.home / "prefect"

    @property
    def recipes(self) -> Path:
        """Return the path of the file of recipes; see `daypart.flows.config.recipes`."""
        return self.home / "recipes.toml"

    @property
    def policy(self) -> Path:
        """Return the path of the file of policies; see `daypart.flows.config.policies`."""
        return self.home / "policy.toml"

    @property
    def portfolio(self) -> Path:
        """Return the path of the file of segments and tiers; see `daypart.flows.config.portfolio`."""
        return self.home / "portfolio.toml"

    @property
    def governance(self) -> Path:
        """Return the path of the file of roles and rules; see `daypart.flows.config.governance`."""
        return self.home / "governance.toml"

    @property
    def studies(self) -> Path:
        """Return the folder of tuning studies, one file each, and of the recipes that they propose."""
        return self.home / "tune"

    @property
    def reports(self) -> Path:
        """Return the folder of reports, and of files of refused rows."""
        return self.home / "reports"


class WithoutFile(Settings):
    """Settings that ignore `settings.toml`: for commands that show a home whose file cannot be read."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *rest: Any, **options: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the arguments only."""
        return (init_settings,)


def _file(arguments: Mapping[str, Any]) -> Path:
    home = arguments.get("home") or os.environ.get(f"{ENV_PREFIX}HOME") or nearest_home()
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


def _error_message(error: ErrorDetails, arguments: Mapping[str, Any]) -> str:
    """Return where a setting comes from, what it is and what is expected."""
    name = str(error["loc"][0])
    if name in arguments:
        where = name
    elif os.environ.get(ENV_PREFIX + name.upper()):
        where = ENV_PREFIX + name.upper()
    else:
        path = _file(arguments)
        text, _ = toml_files.load(path, "settings") or ("", {})
        where = f"{path}{toml_files.line_of(text, (name,))}: {name}"
    if error["type"] == "extra_forbidden":
        return f"{where} is not a setting; expected {', '.join(Settings.model_fields)}"
    return f"{where} is {str(error['input'])!r}: {error['msg'].removeprefix('Value error, ')}"
