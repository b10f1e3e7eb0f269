"""Recipes: the settings by which each tier's models are made, in a file that people read and commit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic_core import ErrorDetails

from daypart.features.errors import NotKnownError
from daypart.features.tables.schemas import TARGETS
from daypart.flows.config import toml_files
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.tuning_space import TUNED_MEMBERS

STANDARD = "standard"
"""The tier of all stores, which needs no declaring."""

SAID_ELSEWHERE = ("seed", "weather", "horizon_days")
"""What the home's settings or a command's options say of a recipe."""

SETTINGS = {name: field_info for name, field_info in Recipe.model_fields.items() if name not in SAID_ELSEWHERE}

Table = Mapping[str, Any]


MEMBER = Literal[TUNED_MEMBERS]  # type: ignore[valid-type]
NAME = Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")]


def _table(name: str, **more: Any) -> type[BaseModel]:
    """A table in which every setting of a recipe may be given."""
    fields: dict[str, Any] = {setting: (field_info.annotation, field_info) for setting, field_info in SETTINGS.items()}
    fields["members"] = tuple[MEMBER, ...], Field(TUNED_MEMBERS, min_length=1)
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **fields, **more)  # type: ignore[no-any-return]


ForTarget = _table("ForTarget")
ForTier = _table("ForTier", **dict.fromkeys(TARGETS, (ForTarget, None)))
File = create_model("File", __config__=ConfigDict(extra="forbid"), recipe=(dict[NAME, ForTier], {}))  # type: ignore[valid-type]


@dataclass(frozen=True)
class Recipes:
    """By tier, the settings that differ from the usual ones: for all targets, and in a table of its own for one.

    In the file: `[recipe.standard]`, `[recipe.standard.orders]`.
    """

    tiers: Mapping[str, Table] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the file says; nothing where there is none. Raises InputError for a key or a value that cannot be."""
        document = toml_files.read(path, File, "tables such as [recipe.standard]", _worded)
        return cls(document.get("recipe", {}))

    def recipe(self, target: str, base: Recipe, tier: str = STANDARD) -> Recipe:
        """The target's recipe: the tier's settings over those of `base`. NotKnownError for an undeclared tier."""
        if tier not in (STANDARD, *self.tiers):
            expected = ", ".join(dict.fromkeys((STANDARD, *self.tiers)))
            raise NotKnownError(
                f"no tier {tier!r}: expected {expected}, or add [recipe.{tier}] to recipes.toml in the home"
            )
        common, by_target = self._parts(tier)
        return _made(base, {**common, **by_target.get(target, {})})

    def with_recipe(self, target: str, recipe: Recipe, base: Recipe, tier: str = STANDARD) -> Self:
        """The same recipes, but for one target's, told as what differs from the tier's settings for all targets."""
        common, by_target = self._parts(tier)
        usual, new_settings = (model.model_dump(mode="json") for model in (_made(base, common), recipe))
        differs = {name: new_settings[name] for name in SETTINGS if new_settings[name] != usual[name]}
        target_tables = {name: table for name, table in {**by_target, target: differs}.items() if table}
        return type(self)({**self.tiers, tier: {**common, **target_tables}})

    def text(self) -> str:
        """The file's text, without comments; reading it gives the same recipes."""
        tables: dict[str, Table] = {}
        for tier in self.tiers:
            common, by_target = self._parts(tier)
            if common or not by_target:
                tables[f"recipe.{tier}"] = common
            tables |= {f"recipe.{tier}.{target}": by_target[target] for target in sorted(by_target)}
        return "\n".join(_written(header, table) for header, table in tables.items())

    def _parts(self, tier: str) -> tuple[Table, dict[str, Table]]:
        """The tier's settings for all targets, and those by target."""
        table = self.tiers.get(tier, {})
        by_target = {name: table[name] for name in TARGETS if name in table}
        return {name: value for name, value in table.items() if name not in by_target}, by_target


USUAL = Recipes()
"""Nothing differs."""


def _made(base: Recipe, settings: Table) -> Recipe:
    return Recipe.model_validate(base.model_dump() | dict(settings))


def _written(header: str, table: Table) -> str:
    # JSON's numbers, texts and lists are TOML's as well.
    return f"[{header}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())


def _worded(error: ErrorDetails) -> str:
    """What was found and expected."""
    *table, name = [str(part) for part in error["loc"] if isinstance(part, str) and part != "[key]"]
    if error["type"] == "extra_forbidden":
        expected = [*SETTINGS, *(TARGETS if len(table) == 2 else ())] if table else ["tables such as [recipe.standard]"]
        return f"{name!r} is not known here; expected {', '.join(expected)}"
    if error["type"] in ("model_type", "dict_type"):
        return f"{name} is {error['input']!r}; expected a table such as [recipe.standard]"
    return f"{name} is {error['input']!r}: {error['msg']}"
