"""How the columns of a point-of-sale export are to be read."""

from collections.abc import Mapping as Mappable
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from features.clock import ClockChanges, MissingHour, RepeatedHour
from features.errors import InputError

Name = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Columns(_Part):
    """Names of the export's columns.

    The time of a line is `timestamp`, or `date` and `time`. Its money is `line_total`, or `unit_price` times
    `quantity` (1 where no quantity is named); an export without prices gives orders only. A line whose `item`
    is empty is no item and is dropped.
    """

    ticket: Name
    date: Name | None = None
    time: Name | None = None
    timestamp: Name | None = None
    quantity: Name | None = None
    unit_price: Name | None = None
    line_total: Name | None = None
    item: Name | None = None
    store: Name | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        parts = (self.date is not None, self.time is not None)
        if any(parts) == (self.timestamp is not None) or any(parts) != all(parts):
            raise ValueError("name either timestamp or both date and time")
        if self.unit_price and self.line_total:
            raise ValueError("name either unit_price or line_total")
        return self


class Formats(_Part):
    """How times are written, as strftime directives. Absent = ISO 8601. `%z` makes a timestamp an instant."""

    date: Name | None = None
    time: Name | None = None
    timestamp: Name | None = None


class Drop(_Part):
    """Lines whose `column` equals one of the values, as written, are voids or no items and are dropped."""

    column: Name
    equals: tuple[str, ...] = Field(min_length=1)


class Mapping(_Part):
    """One export's columns and habits.

    `store_id` is the store of all lines where no column says it. `decimal` is the decimal mark. Local times that
    the store's clock shows twice in autumn are read as `repeated_hour` says, those that it skips in spring as
    `missing_hour` says; see `features.clock.ClockChanges`.
    """

    columns: Columns
    formats: Formats = Formats()
    drop: tuple[Drop, ...] = ()
    store_id: Name | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: Name = "utf-8"
    decimal: Literal[".", ","] = "."
    repeated_hour: RepeatedHour = "refuse"
    missing_hour: MissingHour = "refuse"

    @field_validator("delimiter")
    @classmethod
    def _divides(cls, delimiter: str) -> str:
        if not delimiter.isascii() or delimiter in '"\r\n\0':
            raise ValueError(f"{delimiter!r} divides no columns; expected such as , or ; or a tab")
        return delimiter

    @model_validator(mode="after")
    def _one_store(self) -> Self:
        if (self.store_id is None) == (self.columns.store is None):
            raise ValueError("give either store_id or columns.store")
        return self

    @classmethod
    def of(cls, settings: Mappable[str, Any]) -> Self:
        """The mapping that a TOML file spells. Raises InputError, in one line, for what is wrong first."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            wrong = first["msg"].removeprefix("Value error, ")
            raise InputError(f"mapping: {f'{where}: ' if where else ''}{wrong}") from None

    def with_changes(self, changes: ClockChanges) -> Self:
        """The same mapping with the choices that `changes` makes instead of its own."""
        chosen = {name: choice for name, choice in asdict(changes).items() if choice is not None}
        return self.model_copy(update=chosen)

    @property
    def named(self) -> list[str]:
        """The export's columns that it names, each once, in order."""
        told = [name for name in self.columns.model_dump().values() if name is not None]
        return list(dict.fromkeys([*told, *(drop.column for drop in self.drop)]))

    @property
    def priced(self) -> bool:
        """Whether the export says what lines cost."""
        return self.columns.unit_price is not None or self.columns.line_total is not None
