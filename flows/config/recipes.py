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
from daypart.forecasting.models.tuning_space import MEMBERS

STANDARD = "standard"
"""The tier of all stores, which needs no declaring."""

SAID_ELSEWHERE = ("seed", "weather", "horizon_days")
"""What the home's settings or a command's options say of a recipe."""

SETTINGS = {name: told for name, told in Recipe.model_fields.items() if name not in SAID_ELSEWHERE}

Table = Mapping[str, Any]


MEMBER = Literal[MEMBERS]  # type: ignore[valid-type]
NAME = Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")]


def _table(name: str, **more: Any) -> type[BaseModel]:
    """A table in which every setting of a recipe may be given."""
    given: dict[str, Any] = {setting: (told.annotation, told) for setting, told in SETTINGS.items()}
    given["members"] = tuple[MEMBER, ...], Field(MEMBERS, min_length=1)
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **given, **more)  # type: ignore[no-any-return]


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
        found = toml_files.read(path, File, "tables such as [recipe.standard]", _worded)
        return cls(found.get("recipe", {}))

    def recipe(self, target: str, base: Recipe, tier: str = STANDARD) -> Recipe:
        """The target's recipe: the tier's settings over those of `base`. NotKnownError for an undeclared tier."""
        if tier not in (STANDARD, *self.tiers):
            known = ", ".join(dict.fromkeys((STANDARD, *self.tiers)))
            raise NotKnownError(
                f"no tier {tier!r}: expected {known}, or add [recipe.{tier}] to recipes.toml in the home"
            )
        common, own = self._parts(tier)
        return _made(base, {**common, **own.get(target, {})})

    def with_recipe(self, target: str, recipe: Recipe, base: Recipe, tier: str = STANDARD) -> Self:
        """The same recipes, but for one target's, told as what differs from the tier's settings for all targets."""
        common, own = self._parts(tier)
        usual, wanted = (each.model_dump(mode="json") for each in (_made(base, common), recipe))
        differs = {name: wanted[name] for name in SETTINGS if wanted[name] != usual[name]}
        kept = {name: table for name, table in {**own, target: differs}.items() if table}
        return type(self)({**self.tiers, tier: {**common, **kept}})

    def text(self) -> str:
        """The file's text, without comments; reading it gives the same recipes."""
        tables: dict[str, Table] = {}
        for tier in self.tiers:
            common, own = self._parts(tier)
            if common or not own:
                tables[f"recipe.{tier}"] = common
            tables |= {f"recipe.{tier}.{target}": own[target] for target in sorted(own)}
        return "\n".join(_written(header, table) for header, table in tables.items())

    def _parts(self, tier: str) -> tuple[Table, dict[str, Table]]:
        """The tier's settings for all targets, and those by target."""
        table = self.tiers.get(tier, {})
        own = {name: table[name] for name in TARGETS if name in table}
        return {name: value for name, value in table.items() if name not in own}, own


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
