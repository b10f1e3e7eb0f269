"""Recipes: the settings by which the models of each tier are trained, in a file that people commit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic_core import ErrorDetails

from daypart.features.errors import NotKnownError
from daypart.features.tables.schemas import TARGETS
from daypart.flows.config import toml_files
from daypart.flows.config.toml_files import Name
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.tuning_space import TUNED_MEMBERS

STANDARD = "standard"
"""The tier of all stores, which is always declared."""

SET_ELSEWHERE = ("seed", "weather", "horizon_days")
"""Fields of a recipe that the home's settings or a command's options set."""

RECIPE_SETTINGS = {name: field_info for name, field_info in Recipe.model_fields.items() if name not in SET_ELSEWHERE}

Table = Mapping[str, Any]


MemberName = Literal[TUNED_MEMBERS]  # type: ignore[valid-type]


def _table(name: str, **more: Any) -> type[BaseModel]:
    """Return the model of a table that may have every setting of a recipe."""
    fields: dict[str, Any] = {
        setting: (field_info.annotation, field_info) for setting, field_info in RECIPE_SETTINGS.items()
    }
    fields["members"] = tuple[MemberName, ...], Field(TUNED_MEMBERS, min_length=1)
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **fields, **more)  # type: ignore[no-any-return]


TargetTable = _table("TargetTable")
TierTable = _table("TierTable", **dict.fromkeys(TARGETS, (TargetTable, None)))
File = create_model("File", __config__=ConfigDict(extra="forbid"), recipe=(dict[Name, TierTable], {}))  # type: ignore[valid-type]


@dataclass(frozen=True)
class Recipes:
    """The settings of each tier that differ from the default ones, for all targets and by target.

    In the file: `[recipe.standard]`, `[recipe.standard.orders]`.
    """

    tiers: Mapping[str, Table] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the recipes of the file, or the default ones. Raises InputError for an invalid key or value."""
        document = toml_files.read(path, File, "tables such as [recipe.standard]", _error_message)
        return cls(document.get("recipe", {}))

    def recipe(self, target: str, base: Recipe, tier: str = STANDARD) -> Recipe:
        """Return the target's recipe: the tier's settings over those of `base`.

        Raises NotKnownError for an undeclared tier.
        """
        if tier not in (STANDARD, *self.tiers):
            expected = ", ".join(dict.fromkeys((STANDARD, *self.tiers)))
            raise NotKnownError(
                f"no tier {tier!r}: expected {expected}, or add [recipe.{tier}] to recipes.toml in the home"
            )
        common, by_target = self._parts(tier)
        return _with_settings(base, {**common, **by_target.get(target, {})})

    def with_recipe(self, target: str, recipe: Recipe, base: Recipe, tier: str = STANDARD) -> Self:
        """Return the recipes with another one for a target, as its difference from the tier's common settings."""
        common, by_target = self._parts(tier)
        common_settings, new_settings = (
            model.model_dump(mode="json") for model in (_with_settings(base, common), recipe)
        )
        target_settings = {
            name: new_settings[name] for name in RECIPE_SETTINGS if new_settings[name] != common_settings[name]
        }
        target_tables = {name: table for name, table in {**by_target, target: target_settings}.items() if table}
        return type(self)({**self.tiers, tier: {**common, **target_tables}})

    def text(self) -> str:
        """Return the text of the file, without comments; reading it gives the same recipes."""
        tables: dict[str, Table] = {}
        for tier in self.tiers:
            common, by_target = self._parts(tier)
            if common or not by_target:
                tables[f"recipe.{tier}"] = common
            tables |= {f"recipe.{tier}.{target}": by_target[target] for target in sorted(by_target)}
        return "\n".join(_toml_table(header, table) for header, table in tables.items())

    def _parts(self, tier: str) -> tuple[Table, dict[str, Table]]:
        """Return the tier's settings for all targets, and those by target."""
        table = self.tiers.get(tier, {})
        by_target = {name: table[name] for name in TARGETS if name in table}
        return {name: value for name, value in table.items() if name not in by_target}, by_target


def _with_settings(base: Recipe, settings: Table) -> Recipe:
    return Recipe.model_validate(base.model_dump() | dict(settings))


def _toml_table(header: str, table: Table) -> str:
    # Numbers, texts and lists of JSON are also valid TOML.
    return f"[{header}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())


def _error_message(error: ErrorDetails) -> str:
    """Return what the file says and what is expected."""
    *table, name = [str(part) for part in error["loc"] if isinstance(part, str) and part != "[key]"]
    if error["type"] == "extra_forbidden":
        expected = (
            [*RECIPE_SETTINGS, *(TARGETS if len(table) == 2 else ())] if table else ["tables such as [recipe.standard]"]
        )
        return f"{name!r} is not known here; expected {', '.join(expected)}"
    if error["type"] in ("model_type", "dict_type"):
        return f"{name} is {error['input']!r}; expected a table such as [recipe.standard]"
    return f"{name} is {error['input']!r}: {error['msg']}"
