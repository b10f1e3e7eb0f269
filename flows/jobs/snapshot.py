"""What flows read: the lake's canonical tables as records, and the Delta version of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Self

import polars as pl

from daypart.features.business_day import business_clock, business_date
from daypart.features.chain_data import BY_STORE, ChainData, DataSource
from daypart.features.errors import DaypartError, NotKnownError
from daypart.features.history.last_days import END_WINDOW_DAYS, LastDays, chain_end
from daypart.features.matrix import HORIZON_DAYS
from daypart.features.signals import labor
from daypart.features.tables import keys
from daypart.features.tables.schemas import TABLES, TARGETS
from daypart.flows.compute.free_memory import available_gib
from daypart.flows.lake.lake import Lake

NEAR_DAYS = 31
STORE_DAY_BYTES = 10_000
"""What a store's day takes at most while a block is worked on: measured on a chain with weather, labor and events."""
BY_HOUR = {"demand": "hour", "labor": "hour", "weather": "valid"}
"""Tables of which no more is read than asked for, and the moment that their rows speak of."""


def read_records(lake: Lake) -> tuple[ChainData, dict[str, int]]:
    """All that is recorded, each table at one version and in order, and those versions by table name.

    Raises NotKnownError where stores or demand were never ingested.
    """
    versions = _newest(lake)
    tables = _tables(lake, versions, None, None)
    records = ChainData.from_tables({name: keys.sort_by_key(rows, TABLES[name].key) for name, rows in tables.items()})
    chain = Chain.at(lake, versions)
    records = replace(records, demand=records.demand.filter(chain.last_days.counts(chain.stores)))
    return _with_schedules_dated(records, chain.last_day()), versions


def _newest(lake: Lake) -> dict[str, int]:
    versions = {name: version for name in TABLES if (version := lake.version(name)) is not None}
    for needed in ("stores", "demand"):
        if needed not in versions:
            raise NotKnownError(f"no table {needed} in {lake.root}: run `daypart ingest {needed} FILE` first")
    return versions


def _tables(
    lake: Lake, versions: Mapping[str, int], store_ids: Sequence[str] | None, since: Mapping[str, date] | None
) -> dict[str, pl.DataFrame]:
    """The wanted rows of every table, in no order."""
    dates = since or {}
    return {name: _rows(lake, name, version, store_ids, dates.get(name)) for name, version in versions.items()}


def _rows(lake: Lake, name: str, version: int, store_ids: Sequence[str] | None, since: date | None) -> pl.DataFrame:
    """The wanted rows of one table, in no order."""
    rows = lake.scan(name, version)
    if store_ids is not None and name in BY_STORE:
        ids = pl.Series(sorted(store_ids), dtype=pl.String)
        # Rows lie sorted by store: the span lets whole groups of them be skipped, which the list does not.
        span = pl.col("store_id").is_between(pl.lit(ids.min(), pl.String), pl.lit(ids.max(), pl.String))
        rows = rows.filter(span & pl.col("store_id").is_in(ids.implode()))
    if since is not None and (moment := BY_HOUR.get(name)):
        rows = rows.filter(pl.col(f"{moment}_local") >= since, pl.col(f"{moment}_utc") >= since - timedelta(days=1))
    return rows.collect()


def _from_whole_days(
    tables: dict[str, pl.DataFrame], stores: pl.DataFrame, since: Mapping[str, date] | None
) -> dict[str, pl.DataFrame]:
    """The tables without the hours after midnight that belong to the business day before `since`."""
    first_days = {name: day for name, day in (since or {}).items() if name in tables}
    cut = {name: business_date(stores, f"{BY_HOUR[name]}_local") >= day for name, day in first_days.items()}
    return tables | {name: tables[name].filter(predicate) for name, predicate in cut.items()}


@dataclass(frozen=True)
class Chain:
    """The records of a lake at fixed versions, of which no more is in memory than a block of stores."""

    lake: Lake
    versions: Mapping[str, int]
    stores: pl.DataFrame
    found: dict[tuple[str, str], date | None] = field(default_factory=dict, compare=False, repr=False)
    """First and last dates of demand that were looked for already."""

    @classmethod
    def newest(cls, lake: Lake) -> Self:
        """The chain as the lake has it now. Raises as `read_records`."""
        return cls.at(lake, _newest(lake))

    @classmethod
    def at(cls, lake: Lake, versions: Mapping[str, int]) -> Self:
        """The chain as the lake had it at those versions of its tables. NotKnownError for one that is not there."""
        return cls(lake, versions, _rows(lake, "stores", versions["stores"], None, None))

    def block(self, store_ids: Sequence[str], since: Mapping[str, date] | None = None) -> ChainData:
        """The records of some stores, in no order; what is not wanted is not read.

        `since` drops a table's rows of earlier business dates (demand, weather and labor). Raises DaypartError where
        memory would not do for the stores and what is made of them.
        """
        self._check_memory(len(store_ids), since)
        tables = _from_whole_days(_tables(self.lake, self.versions, store_ids, since), self.stores, since)
        tables["demand"] = tables["demand"].filter(self.last_days.counts(self.stores))
        records = ChainData.from_tables(tables)
        return _with_schedules_dated(records, self.last_day() if records.labor.height else None)

    def scan_demand(self) -> pl.LazyFrame:
        """The demand of all stores that counts (`LastDays`); no more is read than is asked for, in no order."""
        return self._all_demand().filter(self.last_days.counts(self.stores))

    def _all_demand(self) -> pl.LazyFrame:
        return self.lake.scan("demand", self.versions["demand"])

    @cached_property
    def last_days(self) -> LastDays:
        """Where the demand of the chain ends, and which last days are incomplete or ahead of the chain's."""
        recent = self._demand_since(self.edges[1])
        if recent["store_id"].n_unique() * 2 <= self.stores["closed_on"].null_count():
            # The last rows are of few stores: one that is dated ahead may hide the end of the others.
            by_date = self._all_demand().group_by(date=business_date(self.stores))
            end = chain_end(by_date.agg(stores=pl.col("store_id").n_unique()).collect())
            recent = self._demand_since(datetime.combine(end or self.edges[1].date(), time()))
        return LastDays.from_demand(recent, self.stores)

    def _demand_since(self, end: datetime) -> pl.DataFrame:
        """The demand from END_WINDOW_DAYS before a moment on."""
        late = self._all_demand().filter(pl.col("hour_utc") >= end - timedelta(days=END_WINDOW_DAYS))
        return late.select("store_id", "hour_local", *TARGETS).collect()

    def first_demand_on(self, target: str) -> date | None:
        """First business date with any demand of the target, over all stores."""
        return self._once(target, "first", self.edges[0], pl.Expr.min)

    def last_demand_on(self, target: str) -> date | None:
        """Last business date with any demand of the target, over all stores."""
        return self._once(target, "last", self.edges[1], pl.Expr.max)

    def last_day(self) -> date | None:
        """Last business date with any demand of any target, over all stores."""
        days = [day for target in TARGETS if (day := self.last_demand_on(target))]
        return max(days, default=None)

    @cached_property
    def edges(self) -> tuple[datetime, datetime]:
        """The first and the last hour that a row of demand is of, in UTC."""
        first, last = (self.lake.edge("demand", "hour_utc", end, self.versions["demand"]) for end in ("min", "max"))
        return first, last

    def _check_memory(self, stores: int, since: Mapping[str, date] | None) -> None:
        first, last = self.edges[0].date(), self.last_days.chain_on or self.edges[1].date()
        days = (last - max(first, (since or {}).get("demand", first))).days + 1
        needed, free = stores * days * STORE_DAY_BYTES / 2**30, available_gib()
        if needed > free:
            raise DaypartError(
                f"{stores} stores of {days} days need about {needed:.1f} GiB of memory, {free:.1f} GiB are left: end "
                "other programs, or use a bigger machine or a cluster (--engine dask); what was published stands"
            )

    def _once(self, target: str, end: str, edge: datetime, of: Callable[[pl.Expr], pl.Expr]) -> date | None:
        if (target, end) not in self.found:
            self.found[target, end] = self._demand_on(target, edge, of)
        return self.found[target, end]

    def _demand_on(self, target: str, edge: datetime, of: Callable[[pl.Expr], pl.Expr]) -> date | None:
        """The outermost date of demand that counts; looked for at that edge of the table first."""
        rows = self.scan_demand().filter(pl.col(target) > 0)
        month = timedelta(days=NEAR_DAYS)
        near = rows.filter(pl.col("hour_utc").is_between(edge - month, edge + month))
        clock = business_clock(self.stores)
        moment = near.select(of(clock)).collect().item()
        # Clocks differ by up to 26 hours: beyond the month there may be a later date than on its own edge.
        if not isinstance(moment, datetime) or abs(moment - edge) > month - timedelta(days=2):
            moment = rows.select(of(clock)).collect().item()
        return moment.date() if isinstance(moment, datetime) else None


def _with_schedules_dated(records: ChainData, last_demand: date | None) -> ChainData:
    """The records with an estimated `known_on` where a schedule has none (`labor.with_known_on`)."""
    if last_demand is None:
        return records
    return replace(records, labor=labor.with_known_on(records.labor, records.stores, last_demand, HORIZON_DAYS))


def as_of_day(records: DataSource, target: str, as_of: date | None) -> date:
    """The date as of which to train: as asked, or the day after the last demand. NotKnownError outside the data."""
    last, first = records.last_demand_on(target), records.first_demand_on(target)
    assert last is not None
    assert first is not None
    if as_of is not None and not first < as_of <= last + timedelta(days=1):
        raise NotKnownError(
            f"--as-of {as_of} is outside the data: {target} runs from {first} to {last}; "
            f"give a date from {first + timedelta(days=1)} to {last + timedelta(days=1)}"
        )
    return as_of or last + timedelta(days=1)


def with_demand(records: DataSource, targets: tuple[str, ...] | None) -> tuple[str, ...]:
    """The asked targets, or all that have any demand. Raises NotKnownError for one that has none."""
    present = tuple(name for name in TARGETS if records.first_demand_on(name))
    missing = [name for name in targets or () if name not in present]
    if missing or not present:
        raise NotKnownError(
            f"no {' or '.join(missing) or 'demand'} in the lake; it has {', '.join(present) or 'nothing'}: "
            "ingest demand with that column first"
        )
    return targets or present
