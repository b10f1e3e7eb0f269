"""The names that a model is trained with: each keeps its code or its column for as long as the model serves.

Event names become codes and macro series become columns. Store ids say which stores may lend demand to young stores.
Kinds of events have fixed columns (`schemas.EVENT_KINDS`). Formats, regions and holidays are compared as text and have
no codes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Self

import polars as pl

from daypart.features.signals import events, macro
from daypart.features.tables.schemas import known_before


@dataclass(frozen=True)
class Vocabulary:
    """Names known when a model was trained.

    `events` are names of events in the order of their codes, `series` names of macro series, sorted, and `stores` the
    ids of the chain's stores, sorted. A name that is not here is unknown to the model: it has no code and no column.
    """

    events: tuple[str, ...]
    series: tuple[str, ...]
    stores: tuple[str, ...]

    @classmethod
    def known_at(cls, as_of: date, stores: pl.DataFrame, event_rows: pl.DataFrame, macro_rows: pl.DataFrame) -> Self:
        """Return the names in a chain's tables that were known before `as_of`.

        Stores have no date on which they became known, so all of them count.
        """
        known_events = event_rows.filter(known_before(as_of))
        released = macro_rows.filter(pl.col("released_on") < as_of)
        return cls(
            tuple(events.name_codes(known_events)["name"]),
            tuple(released["series"].unique().sort()),
            tuple(stores["store_id"].unique().sort()),
        )

    def encode(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return matrix rows, in order, with event codes and macro columns by this vocabulary.

        `event_code` is that of the active event with the highest code, null where none of the active ones has a code.
        """
        columns = macro.feature_columns(self.series)
        unknown = [name for name in rows.columns if name.startswith(macro.MACRO_PREFIX) and name not in columns]
        coded = rows.drop(unknown).rename(columns, strict=False)
        if events.ACTIVE not in coded.columns:
            return coded
        codes = pl.DataFrame({"name": self.events}, schema={"name": pl.String}).with_row_index("code")
        return coded.with_columns(events.active_code(coded[events.ACTIVE], codes))

    def to_json(self) -> str:
        """Return the vocabulary as a JSON object of three lists."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the vocabulary that `to_json` wrote."""
        names: Mapping[str, list[str]] = json.loads(text)
        return cls(**{field: tuple(values) for field, values in names.items()})


def encode_categories(rows: pl.DataFrame, vocabulary: Vocabulary | None) -> pl.DataFrame:
    """Return matrix rows with codes and columns as a model reads them.

    A model that was stored without a vocabulary reads the codes of the events table as it is (`events.name_codes`).
    """
    if vocabulary is not None:
        return vocabulary.encode(rows)
    return rows.rename(macro.feature_columns(macro.series_of(rows)), strict=False)
