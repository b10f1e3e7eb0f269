"""Everything a chain has recorded, as one value that functions of features and forecasting take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Protocol, Self

import polars as pl

from daypart.features.business_day import business_date
from daypart.features.tables.schemas import TABLES

BY_STORE = ("stores", "demand", "hours", "closures", "weather", "labor")
"""Tables of which every row is some store's; the others are the whole chain's."""


def _empty(name: str) -> pl.DataFrame:
    return pl.DataFrame(schema=TABLES[name].schema)


class Source(Protocol):
    """Where the records of a chain come from, a block of stores at a time: what is in memory already, or a lake."""

    @property
    def stores(self) -> pl.DataFrame:
        """All stores of the chain."""
        ...

    def block(self, store_ids: Sequence[str]) -> "Records":
        """The records of some stores; chain-wide tables are whole."""
        ...

    def scan_demand(self) -> pl.LazyFrame:
        """The demand of all stores, of which no more is read than is asked for, in no order."""
        ...

    def first_demand_on(self, target: str) -> date | None:
        """First business date with any demand of the target, over all stores."""
        ...

    def last_demand_on(self, target: str) -> date | None:
        """Last business date with any demand of the target, over all stores."""
        ...


@dataclass(frozen=True)
class Records:
    """The canonical tables, conformed. A table that was never ingested is empty, never None."""

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
        """Records from tables by name; what is missing is empty."""
        return cls(**{field.name: tables.get(field.name, _empty(field.name)) for field in fields(cls)})

    def block(self, store_ids: Sequence[str]) -> Self:
        """The same records for some stores only; chain-wide tables stay whole."""
        ids = pl.Series(list(store_ids), dtype=pl.String).implode()
        tables = {name: getattr(self, name).filter(pl.col("store_id").is_in(ids)) for name in BY_STORE}
        return replace(self, **tables)

    def scan_demand(self) -> pl.LazyFrame:
        """The demand of all stores."""
        return self.demand.lazy()

    def without(self, *names: str) -> Self:
        """The same records with the named tables empty."""
        return replace(self, **{name: _empty(name) for name in names})

    def until(self, end: date) -> Self:
        """The same records without demand on business dates after `end`."""
        return replace(self, demand=self.demand.filter(business_date(self.stores) <= end))

    def last_demand_on(self, target: str) -> date | None:
        """Last business date with any demand of the target, over all stores."""
        traded = self.demand.filter(pl.col(target) > 0)
        last = traded.select(business_date(self.stores).max()).item()
        return last if isinstance(last, date) else None

    def first_demand_on(self, target: str) -> date | None:
        """First business date with any demand of the target, over all stores."""
        traded = self.demand.filter(pl.col(target) > 0)
        first = traded.select(business_date(self.stores).min()).item()
        return first if isinstance(first, date) else None


def days(first: date, last: date, every: int = 1) -> list[date]:
    """Dates from first to last, both included where the step meets them."""
    return [first + timedelta(days=k) for k in range(0, (last - first).days + 1, every)]
