"""The home: the folder in which a chain's data, models, audit and configuration lie, opened once for a job."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from daypart.features.errors import InputError
from daypart.flows.audit.audit_log import Audit
from daypart.flows.config.governance import Governance
from daypart.flows.config.home_access import absolute, check_exists, check_writable, nearest_home
from daypart.flows.config.policies import Policies
from daypart.flows.config.portfolio import Portfolio
from daypart.flows.config.recipes import Recipes
from daypart.flows.config.settings import Settings, WithoutFile
from daypart.flows.lake.lake import Lake
from daypart.flows.registry.registry import Registry


@dataclass(frozen=True)
class Home:
    """What every job takes first: the settings, lake, registry, audit and configuration of one place.

    Opening creates nothing. The lake, the registry and the audit are the same objects for as long as the value lives.
    Configuration is read from its file each time it is asked for, so a job sees the file as it is when the job starts;
    InputError is raised for one that cannot be read. `notices` names files that were left out on opening.
    """

    settings: Settings
    notices: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: Path | str | None = None, *, tolerant: bool = False, **overrides: str | None) -> Self:
        """Return the home at a path (default: the nearest `.daypart`, here or above), with some settings overridden.

        `overrides` name settings; a null one is ignored. Raises InputError for a path that no home can have and for
        a settings.toml that cannot be read. With `tolerant` that file is left out instead, and a notice says so.
        """
        folder = nearest_home() if path is None else absolute(Path(path))
        chosen = {name: text for name, text in overrides.items() if text is not None}
        try:
            return cls(Settings(home=folder, **chosen))  # type: ignore[arg-type]
        except InputError as error:
            if not tolerant:
                raise
            return cls(WithoutFile(home=folder), (str(error),))

    @property
    def path(self) -> Path:
        """The folder."""
        return self.settings.home

    @cached_property
    def lake(self) -> Lake:
        """The Delta tables."""
        return Lake(self.settings.lake)

    @cached_property
    def registry(self) -> Registry:
        """The runs and model versions."""
        return Registry(self.settings)

    @cached_property
    def audit(self) -> Audit:
        """The audit, whose last record is noted in the registry too."""
        return Audit(self.lake, self.registry)

    @property
    def policies(self) -> Policies:
        """The policies of `policy.toml`."""
        return Policies.of_home(self.settings.policy)

    @property
    def recipes(self) -> Recipes:
        """The settings of models that `recipes.toml` changes."""
        return Recipes.read(self.settings.recipes)

    @property
    def portfolio(self) -> Portfolio:
        """The units and tiers of `portfolio.toml`."""
        return Portfolio.read(self.settings.portfolio)

    @property
    def governance(self) -> Governance:
        """The roles and rules of `governance.toml`."""
        return Governance.read(self.settings.governance)

    def must_exist(self) -> Self:
        """Return the same home. Raises NotKnownError where it is not there: what is absent can show nothing."""
        check_exists(self.path)
        return self

    def must_be_writable(self) -> Self:
        """Return the same home. Raises InputError where this user cannot write to it."""
        check_writable(self.path)
        return self
