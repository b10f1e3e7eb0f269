"""How the columns of a point-of-sale export are to be read."""

from collections.abc import Mapping as Mappable
from dataclasses import asdict
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from daypart.features.clock import ClockChanges, MissingHour, RepeatedHour
from daypart.features.errors import InputError
from daypart.features.pos import time_zones, timestamps

Name = Annotated[str, Field(min_length=1)]
Names = Annotated[
    tuple[Name, ...], BeforeValidator(lambda names: names if isinstance(names, list | tuple) else (names,))
]
"""One name or a list of them."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Columns(_Part):
    """Names of the export's columns.

    The time of a line is `timestamp`, or `date` and `time`; `timezone` is the column with the zone that it is
    written in. The number of a ticket is in one column or in several together, such as till and receipt. Where
    an export has none, name the column of the time instead. Two words may name one column. Money is `line_total`,
    or `unit_price` times `quantity` (1 where no quantity is named). An export without prices gives orders only. A
    line whose `item` is empty is dropped.
    """

    ticket: Annotated[Names, Field(min_length=1)]
    date: Name | None = None
    time: Name | None = None
    timestamp: Name | None = None
    timezone: Name | None = None
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
        if len(set(self.ticket)) < len(self.ticket):
            raise ValueError(f"ticket names one column twice: {', '.join(self.ticket)}")
        return self

    @property
    def words(self) -> dict[str, str]:
        """The export's column by word: `ticket`, `ticket 2`, ... where several make up the number of a ticket."""
        words = self.model_dump(exclude_none=True, exclude={"ticket"})
        return {**dict(zip(self.ticket_words, self.ticket, strict=True)), **words}

    @property
    def ticket_words(self) -> list[str]:
        """The words of `words` that make up the number of a ticket, in order."""
        return ["ticket", *(f"ticket {n}" for n in range(2, len(self.ticket) + 1))]

    @property
    def ticket_label(self) -> str:
        """The columns of the ticket's number, for messages."""
        return ", ".join(self.ticket)


class Formats(_Part):
    """How times are written, as strftime directives; by default ISO 8601.

    A time with an offset (`%z`, `%:z`, `%#z`), a literal `Z` at its end or a Unix epoch (`%s`) is an instant.
    """

    date: Name | None = None
    time: Name | None = None
    timestamp: Name | None = None

    @field_validator("date")
    @classmethod
    def _no_zone(cls, written: str | None) -> str | None:
        if written and timestamps.says_instant(written):
            raise ValueError(f"{written!r} has an offset, which a date alone has not; map the column as timestamp")
        return written


class Drop(_Part):
    """A rule that drops lines whose `column` equals one of the values, as written: voids, or lines without an item.

    The value `""` is an empty cell, which lines of totals have in place of a ticket.
    """

    column: Name
    equals: tuple[str, ...] = Field(min_length=1)


class Mapping(_Part):
    """How one export is read: its columns, formats and rules.

    `store_id` is the store of all lines where no column says it. `skip_lines` is the number of lines above the header,
    `sheet` the sheet of an Excel file that has several. `decimal` is the decimal mark. Times without an offset are on
    the clock of `timezone` (a name of IANA or of Rails), by default the store's own. Those that this clock shows twice
    in autumn are read as `repeated_hour` says, those that it skips in spring as `missing_hour` says; see
    `daypart.features.clock.ClockChanges`.
    """

    columns: Columns
    formats: Formats = Formats()
    drop: tuple[Drop, ...] = ()
    store_id: Name | None = None
    timezone: Name | None = None
    skip_lines: Annotated[int, Field(ge=0, le=1000)] = 0
    sheet: Name | None = None
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

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, timezone: str | None) -> str | None:
        if timezone and not time_zones.iana_zones([timezone]):
            raise ValueError(f"{timezone!r} {time_zones.UNKNOWN_ZONE}")
        return timezone

    @model_validator(mode="after")
    def _one_zone(self) -> Self:
        if self.timezone and self.columns.timezone:
            raise ValueError("give either timezone or columns.timezone")
        return self

    @model_validator(mode="after")
    def _one_store(self) -> Self:
        if (self.store_id is None) == (self.columns.store is None):
            raise ValueError("give either store_id or columns.store")
        return self

    @classmethod
    def from_settings(cls, settings: Mappable[str, Any]) -> Self:
        """Return the mapping of a TOML file. Raises InputError, in one line, for the first error."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            wrong = first["msg"].removeprefix("Value error, ")
            if where == "columns.ticket" and first["type"] == "missing":
                wrong += "; where the export has no numbers, name the column of the time"
            raise InputError(f"mapping: {f'{where}: ' if where else ''}{wrong}") from None

    def with_changes(self, changes: ClockChanges) -> Self:
        """Return the same mapping with the choices of `changes` instead of its own."""
        chosen = {name: choice for name, choice in asdict(changes).items() if choice is not None}
        return self.model_copy(update=chosen)

    @property
    def column_names(self) -> list[str]:
        """Columns of the export that the mapping names, each once, in order."""
        return list(dict.fromkeys([*self.columns.words.values(), *(drop.column for drop in self.drop)]))

    @property
    def has_prices(self) -> bool:
        """Whether the export has prices."""
        return self.columns.unit_price is not None or self.columns.line_total is not None
