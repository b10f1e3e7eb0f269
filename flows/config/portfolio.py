"""Portfolio: which models there are and how much care each gets, in a file that people read and commit."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator
from pydantic_core import ErrorDetails

from daypart.features import segments
from daypart.features.errors import InputError
from daypart.features.segments import Rule
from daypart.features.tables.schemas import TARGETS
from daypart.flows.config import toml_files
from daypart.flows.config.recipes import NAME, STANDARD, Recipes

TRIALS = 30
CADENCE_DAYS = 28

TARGET = Literal[TARGETS]  # type: ignore[valid-type]
EXPECTED = "tables such as [segments], [tiers.top] and [[assign]]"


class Table(BaseModel):
    """A table of the file, in which nothing may stand that is not known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Tier(Table):
    """How much care a tier's models get; what they are made of stands in `recipes.toml`, `[recipe.TIER]`.

    `trials` of tuning, days between retrainings, where they are trained (null = where the home says), whose they are.
    """

    trials: int = Field(TRIALS, ge=1, le=100_000)
    retrain_days: int = Field(CADENCE_DAYS, ge=1, le=3_660)
    engine: Literal["local", "dask"] | None = None
    owner: str = ""


class Assign(Table):
    """The tier of the units of a target whose segment matches, as file names do: `vol*`. Absent = any."""

    target: TARGET | None = None  # type: ignore[valid-type]
    segment: str = "*"
    tier: str
    owner: str | None = None

    def matches(self, target: str, segment: str | None) -> bool:
        """Whether the row is about that unit."""
        return self.target in (None, target) and fnmatchcase(segment or "", self.segment)


class ForTarget(Table):
    """A rule of segments."""

    by: segments.By = "chain"
    classes: int = Field(4, ge=2, le=999)
    cuts: tuple[Annotated[float, Field(gt=0)], ...] = ()

    @field_validator("cuts")
    @classmethod
    def _rising(cls, cuts: tuple[float, ...]) -> tuple[float, ...]:
        if list(cuts) != sorted(set(cuts)):
            raise ValueError("expected cuts that rise, such as [50, 200]")
        return cuts

    def rule(self) -> Rule:
        """The same for `daypart.features.segments`."""
        return Rule(self.by, self.classes, self.cuts)


ForAll = create_model("ForAll", __base__=ForTarget, **dict.fromkeys(TARGETS, (ForTarget | None, None)))  # type: ignore[call-overload]


class File(Table):
    """The whole file."""

    segments: ForAll = ForAll()  # type: ignore[valid-type]
    tiers: dict[NAME, Tier] = Field(default_factory=dict)
    assign: tuple[Assign, ...] = ()


@dataclass(frozen=True)
class Unit:
    """One model of the portfolio: a target for a segment of stores (null = the whole chain), its tier and owner."""

    name: str
    target: str
    segment: str | None
    tier: str
    owner: str


@dataclass(frozen=True)
class Portfolio:
    """By target a rule of segments, the tiers, and which units are in which: the first row that matches tells.

    In the file: `[segments]`, or `[segments.orders]` for one target; `[tiers.top]`; `[[assign]]`. Without one there
    is a unit for each target, in the tier `standard`.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    rows: tuple[Assign, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the file says; nothing where there is none. Raises InputError for a key or a value that cannot be."""
        document = toml_files.read(path, File, EXPECTED, _worded)
        # Lists of TOML stand for the tuples of the models.
        file = File.model_validate(document, strict=False)
        common_table = {name: value for name, value in document.get("segments", {}).items() if name not in TARGETS}
        by_target = {target: getattr(file.segments, target) for target in TARGETS}
        common = ForTarget.model_validate(common_table, strict=False)
        allowed = list(dict.fromkeys((STANDARD, *file.tiers)))
        for number, row in enumerate(file.assign):
            if row.tier not in allowed:
                where = toml_files.line_of(path.read_text("utf-8"), ("assign", number, "tier"))
                raise InputError(
                    f"{path}{where}: tier is {row.tier!r}; expected {', '.join(allowed)}, or a table [tiers.{row.tier}]"
                )
        rules = {target: (by_target[target] or common).rule() for target in TARGETS}
        return cls(rules, file.tiers, file.assign)

    def rule(self, target: str) -> Rule:
        """What tells the target's segments apart."""
        return self.rules.get(target, Rule())

    def tier(self, name: str) -> Tier:
        """A tier's settings; the usual ones where the file has none."""
        return self.tiers.get(name, Tier())

    def unit(self, target: str, segment: str | None) -> Unit:
        """The unit of a target and segment."""
        row = next((row for row in self.rows if row.matches(target, segment)), Assign(tier=STANDARD))
        name = target if segment is None else f"{target}.{segment}"
        return Unit(name, target, segment, row.tier, self.tier(row.tier).owner if row.owner is None else row.owner)

    def named(self, name: str) -> Unit:
        """The unit of that name: `orders`, or `orders.West` for a segment's."""
        target, _, segment = name.partition(".")
        return self.unit(target, segment or None)

    def members(
        self, stores: pl.DataFrame, volumes: Mapping[str, pl.DataFrame], targets: Sequence[str] = TARGETS
    ) -> dict[Unit, tuple[str, ...]]:
        """The units of some targets in order of segments, each with its stores, sorted: every store is in one a target.

        `volumes` has `segments.mean_daily` of the targets whose segments are classes of volume.
        """
        unit_stores: dict[Unit, tuple[str, ...]] = {}
        for target in targets:
            segment_rows = segments.segments(stores, self.rule(target), volumes.get(target, segments.NO_VOLUMES))
            parts = segment_rows.partition_by("segment", as_dict=True, maintain_order=True)
            for (segment,), part in sorted(parts.items(), key=lambda item: item[0][0] or ""):
                unit_stores[self.unit(target, segment)] = tuple(part["store_id"])
        return unit_stores

    def units(
        self, stores: pl.DataFrame, volumes: Mapping[str, pl.DataFrame], targets: Sequence[str] = TARGETS
    ) -> list[Unit]:
        """The units of `members`."""
        return list(self.members(stores, volumes, targets))

    def idle(self, units: Sequence[Unit]) -> list[str]:
        """Rows of `[[assign]]` that no unit goes by, in words: mistyped, or out of date."""
        placed = [(unit.target, unit.segment) for unit in units]
        first = {next((n for n, row in enumerate(self.rows) if row.matches(*at)), None) for at in placed}
        return [
            f"row {number + 1} of [[assign]] is idle: no {row.target or 'unit'} of segment {row.segment!r} goes by it"
            for number, row in enumerate(self.rows)
            if number not in first
        ]

    def engines(self) -> list[str]:
        """The engines that tiers ask for."""
        return sorted({tier.engine for tier in self.tiers.values() if tier.engine})


def tiers(home: Path) -> list[str]:
    """The tiers that a home's portfolio.toml and recipes.toml declare. Raises as `Portfolio.read`."""
    declared = Portfolio.read(home / "portfolio.toml").tiers, Recipes.read(home / "recipes.toml").tiers
    return list(dict.fromkeys((STANDARD, *declared[0], *declared[1])))


def no_such_tier(name: str, expected_tiers: Collection[str]) -> str:
    """Why a table for a tier is refused, and what to do."""
    return f"no tier {name!r}; expected {', '.join(expected_tiers)}, or declare [tiers.{name}] in portfolio.toml first"


ONE = Portfolio()
"""A unit for each target."""


def _worded(error: ErrorDetails) -> str:
    """What was found and expected."""
    *table, name = [str(part) for part in error["loc"] if part != "[key]"]
    if error["type"] == "extra_forbidden":
        return f"{name!r} is not known here; expected {', '.join(_known(table))}"
    if error["type"] in ("model_type", "dict_type", "tuple_type") and table[:1] != ["segments"]:
        return f"{name} is {error['input']!r}; expected {EXPECTED}"
    if error["type"] == "missing":
        return f"{name} is missing; expected {', '.join(_known(table))}"
    if error["type"] == "value_error":
        return f"{name}: {error['msg'].removeprefix('Value error, ')}"
    return f"{name} is {error['input']!r}: {error['msg']}"


def _known(table: Sequence[str]) -> list[str]:
    """What may stand in a table."""
    if not table:
        return [EXPECTED]
    if table[0] == "segments":
        return [*ForTarget.model_fields, *(TARGETS if len(table) == 1 else ())]
    fields: dict[str, Any] = Tier.model_fields if table[0] == "tiers" else Assign.model_fields
    return list(fields)
