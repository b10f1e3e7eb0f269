"""Portfolio: which models there are and how much effort each gets, in a file that people commit."""

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
from daypart.flows.config.recipes import STANDARD, Recipes
from daypart.flows.config.toml_files import Name

DEFAULT_TRIALS = 30
DEFAULT_RETRAIN_DAYS = 28

TargetName = Literal[TARGETS]  # type: ignore[valid-type]
PORTFOLIO_TABLES = "tables such as [segments], [tiers.top] and [[assign]]"


class Table(BaseModel):
    """A table of the file, which refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Tier(Table):
    """How much effort the models of a tier get; their recipe is in `recipes.toml`, `[recipe.TIER]`.

    `trials` of tuning, days between retrainings, the `engine` that trains them (null = that of the settings), and
    their `owner`.
    """

    trials: int = Field(DEFAULT_TRIALS, ge=1, le=100_000)
    retrain_days: int = Field(DEFAULT_RETRAIN_DAYS, ge=1, le=3_660)
    engine: Literal["local", "dask"] | None = None
    owner: str = ""


class Assignment(Table):
    """The tier of the units of a target whose segment matches a pattern of file names such as `vol*`. Absent = any."""

    target: TargetName | None = None  # type: ignore[valid-type]
    segment: str = "*"
    tier: str
    owner: str | None = None

    def matches(self, target: str, segment: str | None) -> bool:
        """Return whether the row applies to that unit."""
        return self.target in (None, target) and fnmatchcase(segment or "", self.segment)


class SegmentRule(Table):
    """The rule that divides the stores of a target into segments."""

    by: segments.By = "chain"
    classes: int = Field(4, ge=2, le=999)
    cuts: tuple[Annotated[float, Field(gt=0)], ...] = ()

    @field_validator("cuts")
    @classmethod
    def _check_cuts(cls, cuts: tuple[float, ...]) -> tuple[float, ...]:
        if list(cuts) != sorted(set(cuts)):
            raise ValueError("expected cuts that rise, such as [50, 200]")
        return cuts

    def rule(self) -> Rule:
        """Return the rule as `daypart.features.segments` takes it."""
        return Rule(self.by, self.classes, self.cuts)


SegmentTable = create_model("SegmentTable", __base__=SegmentRule, **dict.fromkeys(TARGETS, (SegmentRule | None, None)))  # type: ignore[call-overload]


class File(Table):
    """The whole file."""

    segments: SegmentTable = SegmentTable()  # type: ignore[valid-type]
    tiers: dict[Name, Tier] = Field(default_factory=dict)
    assign: tuple[Assignment, ...] = ()


@dataclass(frozen=True)
class Unit:
    """One model of the portfolio: a target for a segment of stores (null = all stores), its tier and owner."""

    name: str
    target: str
    segment: str | None
    tier: str
    owner: str


@dataclass(frozen=True)
class Portfolio:
    """The rule of segments by target, the tiers, and the rows that assign units to tiers: the first match decides.

    In the file: `[segments]`, or `[segments.orders]` for one target; `[tiers.top]`; `[[assign]]`. Without a file there
    is one unit per target, in the tier `standard`.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)
    tiers: Mapping[str, Tier] = field(default_factory=dict)
    rows: tuple[Assignment, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the portfolio of the file, or the default one. Raises InputError for an invalid key or value."""
        document = toml_files.read(path, File, PORTFOLIO_TABLES, _error_message)
        # The models have tuples where TOML has lists.
        file = File.model_validate(document, strict=False)
        common_table = {name: value for name, value in document.get("segments", {}).items() if name not in TARGETS}
        by_target = {target: getattr(file.segments, target) for target in TARGETS}
        common = SegmentRule.model_validate(common_table, strict=False)
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
        """Return the rule that divides the target's stores into segments."""
        return self.rules.get(target, Rule())

    def tier(self, name: str) -> Tier:
        """Return the settings of a tier; the default ones where the file has none."""
        return self.tiers.get(name, Tier())

    def unit(self, target: str, segment: str | None) -> Unit:
        """Return the unit of a target and segment."""
        row = next((row for row in self.rows if row.matches(target, segment)), Assignment(tier=STANDARD))
        name = target if segment is None else f"{target}.{segment}"
        return Unit(name, target, segment, row.tier, self.tier(row.tier).owner if row.owner is None else row.owner)

    def parse_unit(self, name: str) -> Unit:
        """Return the unit of a name: `orders`, or `orders.West` for a segment."""
        target, _, segment = name.partition(".")
        return self.unit(target, segment or None)

    def members(
        self, stores: pl.DataFrame, volumes: Mapping[str, pl.DataFrame], targets: Sequence[str] = TARGETS
    ) -> dict[Unit, tuple[str, ...]]:
        """Return the units of some targets with their store ids, sorted; each store is in one unit per target.

        Units are in the order of their segments. `volumes` has `segments.mean_daily` of the targets whose segments are
        classes of volume.
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
        """Return the units of `members`."""
        return list(self.members(stores, volumes, targets))

    def idle(self, units: Sequence[Unit]) -> list[str]:
        """Return a message for each row of `[[assign]]` that applies to no unit: it is misspelt or out of date."""
        pairs = [(unit.target, unit.segment) for unit in units]
        used_rows = {next((n for n, row in enumerate(self.rows) if row.matches(*pair)), None) for pair in pairs}
        return [
            f"row {number + 1} of [[assign]] is idle: no {row.target or 'unit'} of segment {row.segment!r} goes by it"
            for number, row in enumerate(self.rows)
            if number not in used_rows
        ]

    def engines(self) -> list[str]:
        """Return the engines that tiers name, sorted."""
        return sorted({tier.engine for tier in self.tiers.values() if tier.engine})


def tiers(home: Path) -> list[str]:
    """Return the tiers that a home's portfolio.toml and recipes.toml declare. Raises as `Portfolio.read`."""
    declared = Portfolio.read(home / "portfolio.toml").tiers, Recipes.read(home / "recipes.toml").tiers
    return list(dict.fromkeys((STANDARD, *declared[0], *declared[1])))


def no_such_tier(name: str, expected_tiers: Collection[str]) -> str:
    """Return why a table for a tier is refused, and the remedy."""
    return f"no tier {name!r}; expected {', '.join(expected_tiers)}, or declare [tiers.{name}] in portfolio.toml first"


DEFAULT_PORTFOLIO = Portfolio()
"""One unit per target."""


def _error_message(error: ErrorDetails) -> str:
    """Return what the file says and what is expected."""
    *table, name = [str(part) for part in error["loc"] if part != "[key]"]
    if error["type"] == "extra_forbidden":
        return f"{name!r} is not known here; expected {', '.join(_allowed_keys(table))}"
    if error["type"] in ("model_type", "dict_type", "tuple_type") and table[:1] != ["segments"]:
        return f"{name} is {error['input']!r}; expected {PORTFOLIO_TABLES}"
    if error["type"] == "missing":
        return f"{name} is missing; expected {', '.join(_allowed_keys(table))}"
    if error["type"] == "value_error":
        return f"{name}: {error['msg'].removeprefix('Value error, ')}"
    return f"{name} is {error['input']!r}: {error['msg']}"


def _allowed_keys(table: Sequence[str]) -> list[str]:
    """Return the keys that a table may have."""
    if not table:
        return [PORTFOLIO_TABLES]
    if table[0] == "segments":
        return [*SegmentRule.model_fields, *(TARGETS if len(table) == 1 else ())]
    fields: dict[str, Any] = Tier.model_fields if table[0] == "tiers" else Assignment.model_fields
    return list(fields)
