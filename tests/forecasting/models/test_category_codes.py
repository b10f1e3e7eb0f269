"""Rows that have nothing to do with a horizon leave what a served model says of it equal to the last bit."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features.chain_data import ChainData
from daypart.features.cold_start import similar_stores
from daypart.features.simulator import ChainSpec, simulate
from daypart.features.tables.schemas import TABLES
from daypart.forecasting.explain.explanation import explain
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest
from daypart.forecasting.serving.night import NightInputs, forecast_night
from daypart.forecasting.serving.publication import ServedModel

SPEC = ChainSpec(stores=6, start=date(2024, 1, 15), days=140, seed=2, issues_days=30)
START, ORIGIN = SPEC.start, SPEC.end
"""No store has a holiday in the horizon: what a new store sold on holidays would count for all, as it should."""
BEYOND = ORIGIN + timedelta(days=14)
LEARNED, YOUNG, GROWN = "S0001", "S0003", "S0002"
RECIPE = Recipe(
    rounds=25, max_rows=10_000, folds=1, members=("ratio", "level", "linear"), left_out=("history_last_year_",)
)
EVERY = settings(max_examples=5)

Change = tuple[ChainData, set[str]]
"""ChainData after a change, and the stores whose forecasts it may move."""


@pytest.fixture(autouse=True, scope="module")
def _few_lend() -> Iterator[None]:
    """So that one more store may take a lender's place."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(similar_stores, "DONOR_STORES", 3)
        yield


@cache
def chain() -> ChainData:
    """One store learns its hours, another has been open for five weeks."""
    records = ChainData.from_tables(simulate(SPEC).tables)
    before = (pl.col("store_id") == YOUNG) & (pl.col("hour_local").dt.date() < ORIGIN - timedelta(days=35))
    hours = records.hours.filter(pl.col("store_id") != LEARNED)
    return replace(records, demand=records.demand.filter(~before), hours=hours)


@cache
def model() -> Model:
    """The model of orders as it comes back from its files."""
    return Model.from_files(ModelTrainer(TrainingData(chain(), "orders", ORIGIN), RECIPE).train(ORIGIN).files())


def night(records: ChainData, served: Model) -> pl.DataFrame:
    return forecast_night(NightInputs(records, records.block, records, ORIGIN), [ServedModel(served, "1")])


@cache
def published() -> pl.DataFrame:
    return night(chain(), model())


def with_rows(records: ChainData, table: str, *rows: dict[str, Any]) -> ChainData:
    """The records with some more rows of a table; columns that a row does not have are null."""
    schema = TABLES[table].schema
    added = pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    return replace(records, **{table: pl.concat([getattr(records, table), added])})


def like(records: ChainData, table: str, store: str, new: str, days: int = 0) -> ChainData:
    """The records with a store's rows of a table once more, for another store and so many days later."""
    rows = getattr(records, table).filter(pl.col("store_id") == store).with_columns(store_id=pl.lit(new))
    moments = [name for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)]
    return replace(
        records, **{table: pl.concat([getattr(records, table), rows.with_columns(pl.col(moments) + timedelta(days))])}
    )


def at(day: date, hour: int = 0) -> datetime:
    return datetime.combine(day, time(hour))


names = st.sampled_from(["!", "0", "AAA", "concert", "m", "zebra", "~", "été"])
past_days = st.integers(2, (ORIGIN - START).days).map(lambda back: ORIGIN - timedelta(days=back))
later_days = st.integers(0, 40).map(lambda ahead: BEYOND + timedelta(days=ahead))
any_days = st.integers(-300, 60).map(lambda step: ORIGIN + timedelta(days=step))
since_origin = st.integers(0, 30).map(lambda step: ORIGIN + timedelta(days=step))
store_ids = st.sampled_from(SPEC.store_ids)
regions = st.sampled_from(sorted(chain().stores["region"].unique()))


@st.composite
def an_event(draw: st.DrawFn, records: ChainData) -> Change:
    """One of the past or of the horizon moves the stores that it touches, and none if it became known too late."""
    when = draw(st.sampled_from(["past", "ahead", "before", "beyond", "late"]))
    days = {"past": past_days, "ahead": st.just(ORIGIN + timedelta(days=3)), "beyond": later_days, "late": any_days,
            "before": st.just(START - timedelta(days=9))}  # fmt: skip
    day = draw(days[when])
    store = draw(store_ids) if draw(st.booleans()) else None
    region = draw(st.one_of(regions, st.just("a new region"))) if store is None else None
    row = {
        "name": draw(names), "kind": draw(st.sampled_from(["promotion", "local event", "price", "a new kind"])),
        "starts_local": at(day), "ends_local": at(day, 23), "store_id": store, "region": region,
        "known_on": draw(since_origin) if when == "late" else None,
    }  # fmt: skip
    there = chain().stores.filter(pl.col("region") == region)["store_id"] if store is None else [store]
    return with_rows(records, "events", row), set(there) if when in ("past", "ahead") else set()


@st.composite
def a_store(draw: st.DrawFn, records: ChainData) -> Change:
    """One that sold nothing yet, at the door of the young one."""
    name = draw(st.sampled_from(["!", "A", "S0003b", "zz"]))
    place = chain().stores.filter(pl.col("store_id") == YOUNG).row(0, named=True)
    country, zone = draw(st.sampled_from([("DE", "Europe/Berlin"), ("XX", "UTC"), (place["country"], "UTC")]))
    opened = draw(st.sampled_from([None, START, ORIGIN + timedelta(days=5), BEYOND]))
    new = {
        **place, "store_id": name, "timezone": zone, "country": country, "subdivision": None, "opened_on": opened,
        "region": draw(st.sampled_from([place["region"], "a new region", None])),
        "format": draw(st.sampled_from([place["format"], "a new format", None])),
    }  # fmt: skip
    other_stores = records.stores.filter(pl.col("store_id") != name)
    return with_rows(replace(records, stores=other_stores), "stores", new), {name}


def of_a_new_store(table: str) -> Callable[[st.DrawFn, ChainData], Change]:
    """Its own rows of a table, of the chain's days or of a year before them."""

    def change(draw: st.DrawFn, records: ChainData) -> Change:
        records, touched = draw(a_store(records))
        return like(records, table, GROWN, *touched, draw(st.sampled_from([0, -400]))), touched

    return change


@st.composite
def some_demand(draw: st.DrawFn, records: ChainData) -> Change:
    """Of a new store, or of days since the origin."""
    if draw(st.booleans()):
        return of_a_new_store("demand")(draw, records)
    rows = records.demand.filter(pl.col("hour_local").dt.date() >= ORIGIN - timedelta(days=20))
    day, hour = timedelta(days=20), draw(st.sampled_from([0, 12]))
    later = rows.with_columns(pl.col("hour_local", "hour_utc") + day + timedelta(hours=hour), pl.col("orders") * 9)
    demand = pl.concat([records.demand, later]).unique(["store_id", "hour_utc"], keep="first", maintain_order=True)
    return replace(records, demand=demand), set()


@st.composite
def some_hours(draw: st.DrawFn, records: ChainData) -> Change:
    """Of a new store, or of one whose hours are declared or learned, valid before the horizon or after it alone."""
    if draw(st.booleans()):
        return of_a_new_store("hours")(draw, records)
    times = {"opens": "03:00", "closes": draw(st.sampled_from(["05:00", "02:00"]))}
    valid = {"valid_from": draw(later_days)} if draw(st.booleans()) else {"valid_to": draw(past_days)}
    row = {"store_id": draw(store_ids), "weekday": draw(st.integers(1, 7)), **times, **valid}
    return with_rows(records, "hours", row), set()


@st.composite
def a_closure(draw: st.DrawFn, records: ChainData) -> Change:
    """Of a day before the horizon or after it."""
    hours = draw(st.sampled_from([{}, {"from_hour": 9, "to_hour": 12}]))
    row = {"store_id": draw(store_ids), "date": draw(st.one_of(past_days, later_days)), "reason": draw(names)}
    return with_rows(records, "closures", row | hours), set()


@st.composite
def some_weather(draw: st.DrawFn, records: ChainData) -> Change:
    """Of a new store, issued at the origin or later, observed since then, or of other times."""
    kind = draw(st.sampled_from(["new", "issued", "observed", "beyond"]))
    if kind == "new":
        return of_a_new_store("weather")(draw, records)
    day = {"issued": any_days, "observed": since_origin, "beyond": later_days}[kind]
    valid = at(draw(day), 12)
    issued = {"issued": at(draw(since_origin), 12), "observed": None, "beyond": at(ORIGIN - timedelta(days=2))}[kind]
    row = {"store_id": draw(store_ids), "valid_local": valid, "valid_utc": valid, "issued_utc": issued}
    return with_rows(records, "weather", row | {"temperature_c": -40.0, "precipitation_mm": 9.0}), set()


@st.composite
def a_release(draw: st.DrawFn, records: ChainData) -> Change:
    """Of a series that the model does not know, or of one that it knows, at the origin or later."""
    unknown = draw(st.booleans())
    series = draw(st.sampled_from(["!", "unrate", "UnRate", "gasregw", "CPI: all [2015]", "zz"] if unknown else
                                  ["UNRATE", "GASREGW"]))  # fmt: skip
    released = [ORIGIN - timedelta(days=back) for back in (150, 3)] if unknown else [draw(since_origin)]
    rows = [{"series": series, "observation_date": day - timedelta(days=2), "released_on": day, "value": 10.0 + k}
            for k, day in enumerate(released)]  # fmt: skip
    return with_rows(records, "macro", *rows), set()


@st.composite
def some_labor(draw: st.DrawFn, records: ChainData) -> Change:
    """Of a new store, after the horizon, or in the past of a store."""
    kind = draw(st.sampled_from(["new", "beyond", "past"]))
    if kind == "new":
        return of_a_new_store("labor")(draw, records)
    hour, store = at(draw(later_days if kind == "beyond" else past_days), 3), draw(store_ids)
    row = {"store_id": store, "hour_local": hour, "hour_utc": hour, "scheduled_hours": 500.0}
    return with_rows(records, "labor", row), {store} if kind == "past" else set()


CHANGES: dict[str, Callable[[ChainData], st.SearchStrategy[Change]]] = {
    "stores": a_store, "demand": some_demand, "hours": some_hours, "closures": a_closure, "weather": some_weather,
    "macro": a_release, "labor": some_labor, "events": an_event,
}  # fmt: skip


@pytest.mark.parametrize("table", CHANGES)
@EVERY
@given(data=st.data())
def test_a_served_model_says_the_same_of_stores_that_no_new_row_touches(table: str, data: st.DataObject) -> None:
    """Three changes at once: what one of them moves is found as well as alone, in a third of the time."""
    records, touched = chain(), set[str]()
    for _ in range(3):
        records, stores = data.draw(CHANGES[table](records))
        touched |= stores
    untouched = ~pl.col("store_id").is_in(sorted(touched))
    assert_frame_equal(night(records, model()).filter(untouched), published().filter(untouched), check_exact=True)


def test_every_table_has_its_changes() -> None:
    assert set(CHANGES) == set(TABLES)


def early(records: ChainData) -> ChainData:
    """An undated event of one store on one past day, under a name that sorts first."""
    day = ORIGIN - timedelta(days=60)
    row = {"name": "!", "kind": "local event", "starts_local": at(day, 8), "ends_local": at(day, 20), "store_id": GROWN}
    return with_rows(records, "events", row)


def test_a_model_without_a_vocabulary_is_served_as_before_it_by_the_codes_of_the_table() -> None:
    files = model().files()
    assert json.loads(files.pop("vocabulary.json"))["stores"] == SPEC.store_ids
    old = Model.from_files(files)
    assert old.vocabulary is None
    assert "vocabulary.json" not in old.files()
    assert_frame_equal(night(chain(), old), published(), check_exact=True)
    # Its codes move with the table: the property above can fail.
    moved = night(early(chain()), old).join(published(), on=["store_id", "hour_utc"], suffix="_before")
    assert moved.filter(pl.col("forecast") != pl.col("forecast_before"))["store_id"].n_unique() > 1


def test_an_unknown_event_counts_where_it_is_active_though_it_has_no_code() -> None:
    day = ORIGIN + timedelta(days=2)
    row = {"name": "!", "kind": "promotion", "starts_local": at(day), "ends_local": at(day, 23), "store_id": GROWN}
    forecasts = night(with_rows(chain(), "events", row), model())
    moved = forecasts.join(published(), on=["store_id", "hour_utc"], suffix="_before")
    moved = moved.filter(pl.col("forecast") != pl.col("forecast_before"))
    assert set(moved["store_id"]) == {GROWN}
    assert set(moved["hour_local"].dt.date()) == {day}


def test_explanations_and_comparisons_read_the_vocabulary_too() -> None:
    store = SPEC.store_ids[-1]
    before, after = (
        explain(NightInputs(records.block([store]), records.block, records, ORIGIN), model())
        for records in (chain(), early(chain()))
    )
    assert_frame_equal(after.parts, before.parts, check_exact=True)
    days = [ORIGIN - timedelta(days=back) for back in (21, 14)]
    predictions = [
        model().predict(shop.rows(days), shop.totals).filter(pl.col("store_id") == store)
        for shop in (
            ModelTrainer(TrainingData(records, "orders", ORIGIN), RECIPE) for records in (chain(), early(chain()))
        )
    ]
    assert_frame_equal(*predictions, check_exact=True)


def test_a_model_knows_the_names_of_its_date_and_none_that_came_later() -> None:
    start = ORIGIN - timedelta(days=28)
    event = {
        "name": "!",
        "kind": "promotion",
        "starts_local": at(start),
        "ends_local": at(start, 23),
        "known_on": start,
    }
    release = {"series": "!", "observation_date": START, "released_on": start, "value": 1.0}
    later = with_rows(with_rows(chain(), "events", event), "macro", release)
    files = [
        ModelTrainer(TrainingData(records, "orders", ORIGIN), RECIPE).train(start).files()
        for records in (chain(), later)
    ]
    assert files[0] == files[1]
    _, models = backtest(
        ModelTrainer(
            TrainingData(later, "orders", [start, ORIGIN - timedelta(14)][-1]), RECIPE.model_copy(update={"rounds": 3})
        ),
        [start, ORIGIN - timedelta(14)],
        14,
    )
    new_names = [{"!"} & {*fit.vocabulary.events, *fit.vocabulary.series} for fit in models.values() if fit.vocabulary]
    assert new_names == [set(), {"!"}]


def test_a_young_store_borrows_from_the_stores_that_its_own_model_knows() -> None:
    """Two models serve the chain, of which one does not know the stores that are most like the young one."""
    vocabulary = model().vocabulary
    assert vocabulary is not None
    stores = chain().stores
    like = similar_stores.nearest_stores(stores.filter(pl.col("store_id") == YOUNG), stores)["donor_id"]
    fewer = replace(vocabulary, stores=tuple(name for name in vocabulary.stores if name not in set(like)))
    other = replace(model(), vocabulary=fewer)
    young, grown = frozenset({YOUNG}), frozenset(SPEC.store_ids) - {YOUNG}

    def forecast(*serving: ServedModel) -> pl.DataFrame:
        return forecast_night(NightInputs(chain(), chain().block, chain(), ORIGIN), serving)

    both = forecast(ServedModel(model(), "1", store_ids=grown), ServedModel(other, "1", store_ids=young))
    alone = pl.concat([published().filter(pl.col("store_id") != YOUNG),
                       forecast(ServedModel(other, "1")).filter(pl.col("store_id") == YOUNG)])  # fmt: skip
    assert_frame_equal(both, alone.sort("store_id", "hour_utc"), check_exact=True)
    assert not both.equals(published())
