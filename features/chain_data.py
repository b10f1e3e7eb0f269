"""A chain's recorded data, as one value that functions of features and forecasting take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Protocol, Self

import polars as pl

from daypart.features.business_day import business_date
from daypart.features.tables.schemas import TABLES

BY_STORE = ("stores", "demand", "hours", "closures", "weather", "labor")
"""Tables whose rows each belong to a store; the other tables belong to the whole chain."""


def _empty(name: str) -> pl.DataFrame:
    return pl.DataFrame(schema=TABLES[name].schema)


class DataSource(Protocol):
    """A source of a chain's data, a block of stores at a time: data in memory, or a lake."""

    @property
    def stores(self) -> pl.DataFrame:
        """All stores of the chain."""
        ...

    def block(self, store_ids: Sequence[str]) -> "ChainData":
        """Return the data of some stores; chain-wide tables are complete."""
        ...

    def scan_demand(self) -> pl.LazyFrame:
        """Return the demand of all stores lazily, in no order; a query reads only what it needs."""
        ...

    def first_demand_on(self, target: str) -> date | None:
        """Return the first business date with any demand of the target, over all stores."""
        ...

    def last_demand_on(self, target: str) -> date | None:
        """Return the last business date with any demand of the target, over all stores."""
        ...


@dataclass(frozen=True)
class ChainData:
    """The canonical tables of a chain, conformed. A table that was never ingested is empty, never None."""

    stores: pl.DataFrame
    demand: pl.DataFrame
    hours: pl.DataFrame
    closures: pl.DataFrame
    weather: pl.DataFrame
    macro: pl.DataFrame
    labor: pl.DataFrame
    events: pl.DataFrame

    @classmethod
    def from_tables(cls, tables: Mapping[str, pl.DataFrame]) -> Self:
        """Return the data of tables by name; a missing table is empty."""
        return cls(**{field.name: tables.get(field.name, _empty(field.name)) for field in fields(cls)})

    def block(self, store_ids: Sequence[str]) -> Self:
        """Return the data of some stores; chain-wide tables stay complete."""
        ids = pl.Series(list(store_ids), dtype=pl.String).implode()
        tables = {name: getattr(self, name).filter(pl.col("store_id").is_in(ids)) for name in BY_STORE}
        return replace(self, **tables)

    def scan_demand(self) -> pl.LazyFrame:
        """Return the demand of all stores."""
        return self.demand.lazy()

    def without(self, *names: str) -> Self:
        """Return the data with the named tables empty."""
        return replace(self, **{name: _empty(name) for name in names})

    def until(self, end: date) -> Self:
        """Return the data without demand on business dates after `end`."""
        return replace(self, demand=self.demand.filter(business_date(self.stores) <= end))

    def last_demand_on(self, target: str) -> date | None:
        """Return the last business date with any demand of the target, over all stores."""
        traded = self.demand.filter(pl.col(target) > 0)
        last = traded.select(business_date(self.stores).max()).item()
        return last if isinstance(last, date) else None

    def first_demand_on(self, target: str) -> date | None:
        """Return the first business date with any demand of the target, over all stores."""
        traded = self.demand.filter(pl.col(target) > 0)
        first = traded.select(business_date(self.stores).min()).item()
        return first if isinstance(first, date) else None


def days(first: date, last: date, every: int = 1) -> list[date]:
    """Return the dates from `first`, in steps of `every` days, up to `last` inclusive."""
    return [first + timedelta(days=k) for k in range(0, (last - first).days + 1, every)]
