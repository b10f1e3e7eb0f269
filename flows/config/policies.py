"""Policies: the thresholds of retraining and promotion by tier, in a file that people commit."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from daypart.features.errors import InputError
from daypart.flows.config import portfolio, toml_files
from daypart.forecasting.lifecycle.policy import Policy


@dataclass(frozen=True)
class Policies:
    """The settings that differ from the default policy, for all tiers and by tier.

    In the file: `[policy]`, `[policy.top]`.
    """

    common: Mapping[str, Any] = field(default_factory=dict)
    tiers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, needed: bool = False, tiers: Collection[str] | None = None) -> Self:
        """Return the policies of the file; the default ones where there is no file, unless it is `needed`.

        Raises InputError for an invalid key or value, for a missing file that is needed, and for a tier that is not
        one of `tiers`, where these are given.
        """
        expected = "expected a table [policy] with lines such as slip_bps = 20, and [policy.TIER] for a tier"
        loaded = toml_files.load(path, expected.removeprefix("expected "))
        if loaded is None and needed:
            raise InputError(f"no policy file {path}; {expected}")
        if loaded is None:
            return cls()
        text, document = loaded
        stray = next((name for name in document if name != "policy"), None)
        if stray or not isinstance(document.get("policy", {}), dict):
            stray = stray or "policy"
            raise InputError(f"{path}{toml_files.line_of(text, (stray,))}: {stray!r} is not known; {expected}")
        table = document.get("policy", {})
        tier_tables = {name: value for name, value in table.items() if isinstance(value, dict)}
        policies = cls({name: value for name, value in table.items() if name not in tier_tables}, tier_tables)
        for tier in (None, *tier_tables):
            policies._check(tier, path, text)
        unknown = next((tier for tier in tier_tables if tiers is not None and tier not in tiers), None)
        if unknown is not None:
            where = toml_files.line_of(text, ("policy", unknown))
            raise InputError(f"{path}{where}: {portfolio.no_such_tier(unknown, tiers or ())}")
        return policies

    @classmethod
    def of_home(cls, path: Path) -> Self:
        """Return the policies of the home that the file is in. Its tiers must be those that the home declares."""
        return cls.read(path, tiers=portfolio.tiers(path.parent))

    def policy(self, tier: str) -> Policy:
        """Return the policy of a tier."""
        return Policy.model_validate({**self.common, **self.tiers.get(tier, {})})

    def _check(self, tier: str | None, path: Path, text: str) -> None:
        figures = self.common if tier is None else self.tiers[tier]
        try:
            Policy.model_validate(figures)
        except ValidationError as wrong:
            error = wrong.errors()[0]
            name = str(error["loc"][0]) if error["loc"] else "retrain"
            where = ("policy", *(() if tier is None else (tier,)), name)
            expected = (
                f"expected one of {', '.join(Policy.model_fields)}"
                if error["type"] == "extra_forbidden"
                else error["msg"]
            )
            message = f"{name} is {figures.get(name)!r}: {expected}"
            raise InputError(f"{path}{toml_files.line_of(text, where)}: {message}") from None
