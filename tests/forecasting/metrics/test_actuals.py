"""Which days without demand count as 0, held against loops that read as the rule does."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.features.tables.schemas import CLOSURES, DEMAND, HOURS, STORES, TARGETS
from daypart.forecasting.metrics.actuals import count_unscored, idle_days, with_actuals
from daypart.forecasting.metrics.score_tallies import count_unscored as count_unscored_tallies
from daypart.forecasting.metrics.score_tallies import score, tally
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData

MONDAY, DAYS = date(2024, 4, 1), 9
DATES = [MONDAY + timedelta(days=k) for k in range(DAYS)]
SINCE = DATES[1]
STORE_IDS = ("A", "B")
CELL = st.sampled_from([None, None, 0.0, 0.0, 5.0])
DEMANDS = st.dictionaries(
    st.tuples(st.sampled_from(STORE_IDS), st.integers(0, DAYS - 1)), st.tuples(CELL, CELL), min_size=1
)
OPENINGS = st.dictionaries(st.integers(1, 7), st.sampled_from([("08:00", "17:00"), ("20:00", "02:00")]), max_size=7)
FROM = st.sampled_from([None, DATES[3], DATES[6]])
CLOSED = st.dictionaries(
    st.tuples(st.sampled_from(STORE_IDS), st.integers(0, DAYS - 1)), st.sampled_from([None, 0, 12]), max_size=4
)


def at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour))


def chain(
    demand: dict[tuple[str, int], tuple[float | None, float | None]], hours: dict[int, tuple[str, str]],
    valid_from: date | None, closed: dict[tuple[str, int], int | None], closed_on: date | None,
) -> ChainData:  # fmt: skip
    """Two stores, of which A declares hours; a row of demand a day, at noon."""
    stores = [{"store_id": name, "timezone": "UTC", "country": "US", "closed_on": closed_on} for name in STORE_IDS]
    rows = [
        {"store_id": name, "hour_local": at(DATES[k], 12), "hour_utc": at(DATES[k], 12), "orders": o, "sales": s}
        for (name, k), (o, s) in demand.items()
    ]
    open_at = [("A", weekday, opens, closes, valid_from, None) for weekday, (opens, closes) in hours.items()]
    shut = [(name, DATES[k], first, None, None, None) for (name, k), first in closed.items()]
    return ChainData.from_tables({
        "stores": pl.DataFrame(stores, schema=STORES.schema), "demand": pl.DataFrame(rows, schema=DEMAND.schema),
        "hours": pl.DataFrame(open_at, schema=HOURS.schema, orient="row"),
        "closures": pl.DataFrame(shut, schema=CLOSURES.schema, orient="row"),
    })  # fmt: skip


def trades(records: ChainData, day: date) -> bool:
    """Whether A's hours have it trade at any clock hour of a date, its closures apart."""
    closed = {(row["date"], row["from_hour"]) for row in records.closures.to_dicts() if row["store_id"] == "A"}
    for business in (day, day - timedelta(days=1)):
        for row in records.hours.to_dicts():
            if row["weekday"] != business.isoweekday() or business < (row["valid_from"] or date.min):
                continue
            opens, closes = int(row["opens"][:2]), int(row["closes"][:2])
            for step in range(opens, closes + 24 * (closes <= opens)):
                hour = step % 24
                shut = (business, None) in closed or any(
                    first is not None and on == business and hour >= first for on, first in closed
                )
                if business + timedelta(days=step // 24) == day and not shut:
                    return True
    return False


def expected(records: ChainData) -> set[tuple[str, str, date, date]]:
    """The rule, a store, target and day at a time."""
    demand = {(r["store_id"], r["hour_local"].date(), t): r[t] for r in records.demand.to_dicts() for t in TARGETS}
    demand = {key: value for key, value in demand.items() if value is not None}
    closed_days = {(r["store_id"], r["date"]) for r in records.closures.to_dicts() if r["from_hour"] is None}
    ends = records.stores["closed_on"][0] or date.max
    idle_rows = set()
    for store in STORE_IDS:
        for target in TARGETS:
            days = sorted(day for name, day, kind in demand if (name, kind) == (store, target))
            for day in (day for day in DATES if days and max(SINCE, days[0]) <= day <= days[-1] and day < ends):
                rows = demand.get((store, day, target))
                if rows:
                    continue
                busy = any(demand.get((store, day, other)) for other in TARGETS)
                if store == "A" and any((row["valid_from"] or date.min) <= day for row in records.hours.to_dicts()):
                    idle = trades(records, day) and (rows is not None or not busy)
                else:
                    idle = rows is not None and (store, day) not in closed_days
                if idle:
                    idle_rows.add((store, target, day, next(later for later in days if later >= day)))
    return idle_rows


@given(DEMANDS, OPENINGS, FROM, CLOSED, st.sampled_from([None, None, DATES[5]]))
def test_idle_days_are_those_of_the_rule(demand: Any, hours: Any, since: Any, closed: Any, ends: Any) -> None:
    records = chain(demand, hours, since, closed, ends)
    idle_rows = idle_days(records, SINCE)
    assert set(idle_rows.iter_rows()) == expected(records)
    assert not idle_rows.select("store_id", "target", "date").is_duplicated().any()


ALL_WEEK = dict.fromkeys(range(1, 8), ("08:00", "17:00"))


def published(records: ChainData, forecast: float = 3.0) -> pl.DataFrame:
    """Every noon and midnight of both stores; nothing is forecast at midnight."""
    rows = [
        {"store_id": name, "target": target, "origin_date": MONDAY, "lead_days": k, "hour_local": at(day, hour),
         "hour_utc": at(day, hour), "business_date": day, "daypart": "lunch" if hour else None, "forecast": forecast * (hour > 0),
         "q10": 1.0 * (hour > 0), "q90": 9.0 * (hour > 0), "incumbent": 4.0, "model_version": "v1", "tier": "standard"}
        for name in STORE_IDS for target in TARGETS for k, day in enumerate(DATES) for hour in (0, 12)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"lead_days": pl.Int16})


def test_an_idle_day_costs_its_forecast_and_a_closed_one_is_counted() -> None:
    traded = {(name, k): (5.0, 5.0) for name in STORE_IDS for k in range(DAYS) if k not in (2, 4)}
    records = chain(traded, ALL_WEEK, None, {("A", 4): None}, None)
    rows = with_actuals(published(records), records.demand, idle_days(records, MONDAY), records.stores)
    of_a = rows.filter(pl.col("store_id") == "A", pl.col("target") == "orders")
    actuals = {
        at.date(): value for at, value in of_a.filter(pl.col("forecast") > 0).select("hour_local", "actual").rows()
    }
    assert [actuals[day] for day in DATES] == [5.0, 5.0, 0.0, 5.0, None, 5.0, 5.0, 5.0, 5.0]
    assert of_a.filter("idle")["hour_local"].dt.date().unique().to_list() == [DATES[2]]
    # B declares no hours: both of its silent days may be closed.
    assert count_unscored(rows) == {"orders": 3, "sales": 3}
    tallies = tally(rows)
    assert count_unscored_tallies(tallies.lazy()) == count_unscored(rows)
    (orders, _) = score(tallies.lazy(), "hour", ["target"]).to_dicts()
    assert orders["cells"] == rows.filter(pl.col("target") == "orders")["actual"].count()
    # Of 18 store-days 14 sold 5, one is idle and three are left out.
    assert orders["bias_bps"] == pytest.approx(1e4 * (15 * 3 - 14 * 5) / (14 * 5))
    (by_day, _) = score(tallies.lazy(), "day", ["target"]).to_dicts()
    assert by_day["cells"] == 15


def test_rows_of_0_say_that_a_store_without_hours_was_open() -> None:
    traded = {("B", k): (5.0, None) for k in range(DAYS) if k != 3} | {("B", 3): (0.0, None)}
    records = chain(traded, {}, None, {}, None)
    assert idle_days(records, MONDAY).rows() == [("B", "orders", DATES[3], DATES[3])]
    shut = chain(traded, {}, None, {("B", 3): None}, None)
    assert idle_days(shut, MONDAY).is_empty()


def test_what_is_after_the_last_row_is_not_known_yet() -> None:
    traded = {("A", k): (5.0, 5.0) for k in range(5)}
    assert idle_days(chain(traded, ALL_WEEK, None, {}, None), MONDAY).is_empty()


SPEC = ChainSpec(stores=3, days=120, seed=5, issues_days=0, observed_days=0)
AS_OF = SPEC.start + timedelta(days=110)
RECIPE = Recipe(weather="none", rounds=5, folds=1, max_rows=2000, members=("ratio", "statistical"))


def without_days(closed: bool, *days: date) -> ChainData:
    """A simulated chain in which S0001 sold nothing on some days, its closures saying so or not."""
    records = ChainData.from_tables(simulate(SPEC).tables)
    silent_hours = (pl.col("store_id") == "S0001") & pl.col("hour_local").dt.date().is_in(days)
    rows = [("S0001", day, None, None, None, None) for day in days if closed]
    more = pl.DataFrame(rows, schema=CLOSURES.schema, orient="row")
    return replace(records, demand=records.demand.filter(~silent_hours), closures=pl.concat([records.closures, more]))


def test_an_idle_day_counts_in_what_a_model_is_expected_to_reach_and_in_nothing_that_it_learns() -> None:
    day = AS_OF - timedelta(days=10)
    idle, closed = (
        ModelTrainer(TrainingData(without_days(shut, day), "orders", SPEC.end), RECIPE).train(AS_OF)
        for shut in (False, True)
    )
    assert idle.files().keys() == closed.files().keys()
    ours, theirs = idle.trained_on, closed.trained_on
    assert {name for name in ours if ours[name] != theirs[name]} == {
        "rolling_model_wape_bps", "rolling_incumbent_wape_bps",
    }  # fmt: skip
    assert ours["rolling_model_wape_bps"] > theirs["rolling_model_wape_bps"]
    assert replace(idle, trained_on=theirs).files() == closed.files()


def test_a_day_is_known_as_idle_only_once_the_store_has_sold_again() -> None:
    """The two days before a model is made are silent: as of then nobody knows whether the store is shut."""
    records = without_days(False, AS_OF - timedelta(days=1), AS_OF - timedelta(days=2))
    past_records = records.until(AS_OF - timedelta(days=1))
    assert idle_days(records, SPEC.start)["known_on"].unique().to_list() == [AS_OF]
    assert idle_days(past_records, SPEC.start).is_empty()
    full_model, cut = (
        ModelTrainer(TrainingData(data, "orders", SPEC.end), RECIPE).train(AS_OF) for data in (records, past_records)
    )
    assert full_model.files() == cut.files()
