"""The matrix knows nothing of an origin or later, and is the same whoever asks."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features import matrix
from daypart.features.chain_data import ChainData
from daypart.features.errors import NotKnownError
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.models import trainer, training_data
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.training_data import TrainingData

DAYS = 100
START = date(2023, 11, 6)
EVERY = settings(max_examples=6)
seeds = st.integers(1, 4)
origin_days = st.integers(15, DAYS)
targets = st.sampled_from(["orders", "sales"])


@cache
def chain(seed: int) -> ChainData:
    """Three stores: the first declares no hours and learns them, the others declare them."""
    records = ChainData.from_tables(simulate(ChainSpec(stores=3, days=DAYS, seed=seed, issues_days=DAYS)).tables)
    return replace(records, hours=records.hours.filter(pl.col("store_id") != "S0001"))


def day(step: int) -> date:
    return START + timedelta(days=step)


def rows(records: ChainData, target: str, origins: list[date]) -> pl.DataFrame:
    return matrix.build(records, matrix.View(target), origins)


def same(actual: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Equal to the last bit, columns, rows and their order included."""
    assert expected.height > 0
    assert_frame_equal(actual, expected, check_exact=True)


def from_origin(origin: date) -> pl.Expr:
    return pl.col("hour_local").dt.date() >= origin


def midnight_utc(records: ChainData, origin: date) -> pl.Expr:
    """Each store's origin in UTC, by Python's own time zones."""
    starts = {
        store: datetime.combine(origin, time(), ZoneInfo(zone)).astimezone(ZoneInfo("UTC")).replace(tzinfo=None)
        for store, zone in records.stores.select("store_id", "timezone").iter_rows()
    }
    return pl.col("store_id").replace_strict(starts, return_dtype=pl.Datetime("us"))


def demand_multiplied(records: ChainData, origin: date) -> ChainData:
    later = pl.when(from_origin(origin))
    changed = records.demand.with_columns(
        later.then(pl.col(name) * 7 + 3).otherwise(name).alias(name) for name in ("orders", "sales")
    )
    return replace(records, demand=changed)


def demand_deleted(records: ChainData, origin: date) -> ChainData:
    return replace(records, demand=records.demand.filter(~from_origin(origin)))


def demand_added_at_new_hours(records: ChainData, origin: date) -> ChainData:
    """From the origin on every store also trades in the hours in which it never did."""
    near = records.demand.filter(from_origin(origin - timedelta(days=7)) & ~from_origin(origin))
    shifted = [
        near.with_columns(
            pl.col("hour_local") + timedelta(days=7, hours=12),
            pl.col("hour_utc") + timedelta(days=7, hours=12),
        ),
        near.with_columns(
            pl.col("hour_local") + timedelta(days=15, hours=3),
            pl.col("hour_utc") + timedelta(days=15, hours=3),
        ),
    ]
    new = pl.concat(shifted).filter(from_origin(origin))
    return replace(records, demand=pl.concat([records.demand, new]).unique(["store_id", "hour_utc"], keep="first"))


def weather_issued_later(records: ChainData, origin: date) -> ChainData:
    later = pl.col("issued_utc") >= midnight_utc(records, origin)
    wild = records.weather.with_columns(pl.when(later).then(-30.0).otherwise("temperature_c").alias("temperature_c"))
    # One more issue, made at the very origin, that speaks of the whole horizon.
    last = records.weather.filter(pl.col("issued_utc").is_not_null()).with_columns(
        issued_utc=midnight_utc(records, origin), temperature_c=pl.lit(44.0)
    )
    extra = last.unique(["store_id", "valid_utc"], keep="first")
    unrevised = wild.join(extra, on=["store_id", "valid_utc", "issued_utc"], how="anti", nulls_equal=True)
    return replace(records, weather=pl.concat([unrevised, extra]))


def weather_observed_later(records: ChainData, origin: date) -> ChainData:
    later = pl.col("issued_utc").is_null() & (pl.col("valid_local").dt.date() >= origin)
    changed = [pl.when(later).then(0.5).otherwise(name).alias(name) for name in ("temperature_c", "snowfall_cm")]
    return replace(records, weather=records.weather.with_columns(changed))


def macro_released_later(records: ChainData, origin: date) -> ChainData:
    later = pl.col("released_on") >= origin
    wild = records.macro.with_columns(pl.when(later).then(1e4).otherwise("value").alias("value"))
    revised = records.macro.with_columns(released_on=pl.lit(origin), value=pl.col("value") * 2)
    return replace(records, macro=pl.concat([wild, revised]))


def events_known_later(records: ChainData, origin: date) -> ChainData:
    """Every event once more under other names, those of days gone by among them, but known too late."""
    last = records.events.select(pl.col("known_on").max()).item()
    later = pl.concat(
        records.events.with_columns(
            name=pl.format("{}{}", pl.lit(prefix), "name"), known_on=pl.max_horizontal("known_on", pl.lit(on))
        )
        for prefix, on in (("!", origin), ("~", max(origin, last)))
    )
    known_events = records.events.filter(pl.col("known_on").is_null() | (pl.col("known_on") < origin))
    return replace(records, events=pl.concat([known_events, later]))


def schedules_known_later(records: ChainData, origin: date) -> ChainData:
    """Every schedule of the origin and later becomes known on it, and those of days gone by a day too late."""
    on = pl.col("hour_local").dt.date()
    near = on >= origin - timedelta(days=28)
    changed = records.labor.with_columns(
        scheduled_hours=pl.when(near).then(pl.col("scheduled_hours") * 3 + 5).otherwise("scheduled_hours"),
        known_on=pl.when(on >= origin).then(pl.lit(origin)).when(near).then(on + pl.duration(days=1)),
    )
    return replace(records, labor=changed)


def closures_known_later(records: ChainData, origin: date) -> ChainData:
    """Every store closes on every other day of the horizon, which nobody knew, and for the mornings of the others."""
    days = pl.DataFrame({"date": [origin + timedelta(days=step) for step in range(60)]})
    surprises = records.stores.select("store_id").join(days, how="cross").with_columns(
        from_hour=pl.when(pl.col("date").dt.day() % 2 == 0).then(pl.lit(0, pl.Int8)), to_hour=pl.lit(None, pl.Int8),
        reason=pl.lit("outage"), known_on=pl.lit(origin),
    )  # fmt: skip
    return replace(records, closures=pl.concat([records.closures, surprises.select(records.closures.columns)]))


def labor_worked(records: ChainData, origin: date) -> ChainData:
    return replace(records, labor=records.labor.with_columns(worked_hours=pl.lit(999.0)))


CHANGES = [
    demand_multiplied, demand_deleted, demand_added_at_new_hours, weather_issued_later,
    weather_observed_later, macro_released_later, events_known_later, closures_known_later, labor_worked,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@EVERY
@given(seed=seeds, step=origin_days, target=targets)
def test_what_became_known_later_changes_no_cell(
    change: Callable[[ChainData, date], ChainData], seed: int, step: int, target: str
) -> None:
    records, origin = chain(seed), day(step)
    same(rows(change(records, origin), target, [origin]), rows(records, target, [origin]))


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_changes_show_once_they_are_known(change: Callable[[ChainData, date], ChainData]) -> None:
    """The property above can fail: what changes there is read by later origins."""
    records, origin = chain(2), day(70)
    late = [day(DAYS)]
    before, after = rows(records, "orders", late), rows(change(records, origin), "orders", late)
    assert before.equals(after) == (change is labor_worked)


@EVERY
@given(seed=seeds, steps=st.sets(origin_days, min_size=2, max_size=4), target=targets)
def test_many_origins_at_once_equal_each_alone(seed: int, steps: set[int], target: str) -> None:
    records, origins = chain(seed), [day(step) for step in sorted(steps)]
    alone = pl.concat(rows(records, target, [origin]) for origin in origins)
    same(rows(records, target, origins), alone.sort(matrix.ROW_KEY))


@EVERY
@given(seed=seeds, steps=st.sets(origin_days, min_size=1, max_size=3), target=targets)
def test_training_rows_equal_serving_rows(seed: int, steps: set[int], target: str) -> None:
    records = chain(seed)
    recipe = Recipe(rounds=10, max_rows=5000, folds=1)
    trained = trainer.ModelTrainer(TrainingData(records, target, day(DAYS)), recipe).rows(
        [day(step) for step in sorted(steps)]
    )
    for origin in (day(step) for step in steps):
        served = rows(records.until(origin - timedelta(days=1)), target, [origin])
        same(trained.filter(pl.col("origin_date") == origin), served)


@EVERY
@given(seed=seeds, one_in=st.integers(2, 40), steps=st.sets(origin_days, min_size=3, max_size=8))
def test_sampled_rows_are_rows_of_the_whole(seed: int, one_in: int, steps: set[int]) -> None:
    records, origins = chain(seed), [day(step) for step in sorted(steps)]
    view = matrix.View("orders")
    sample = matrix.build(records, view, origins, options=matrix.TrainingOptions(one_in=one_in))
    full_matrix = matrix.build(records, view, origins)
    same(sample, full_matrix.join(sample, on=matrix.ROW_KEY, how="semi", maintain_order="left"))
    pair = ["store_id", "origin_date", "lead_days"]
    assert full_matrix.join(sample.select(pair).unique(), on=pair, how="semi").height == sample.height


def test_a_sample_holds_its_share_of_every_store_and_lead() -> None:
    origins = [day(step) for step in range(15, DAYS)]
    pairs = matrix.build(chain(1), matrix.View("orders"), origins).select("store_id", "origin_date", "lead_days")
    sampled = matrix.build(chain(1), matrix.View("orders"), origins, options=matrix.TrainingOptions(one_in=5))
    for by in ("store_id", "lead_days"):
        sampled_counts = sampled.select("store_id", "origin_date", "lead_days").unique().group_by(by).len("kept")
        share = pairs.unique().group_by(by).len().join(sampled_counts, on=by)
        assert share.height == pairs[by].n_unique()
        assert share.select((pl.col("kept") / pl.col("len")).is_between(0.1, 0.3).all()).item()


@pytest.mark.parametrize("name", ["!", "S0002b"])
def test_another_store_moves_no_store_in_or_out_of_a_sample_and_a_smaller_one_is_part_of_it(name: str) -> None:
    records, origins, view = chain(1), [day(step) for step in range(40, DAYS, 3)], matrix.View("orders")
    tables = {
        table: pl.concat([rows, rows.filter(pl.col("store_id") == "S0002").with_columns(store_id=pl.lit(name))])
        for table in ("stores", "demand", "hours")
        if (rows := getattr(records, table)).height
    }
    sample, smaller = (
        matrix.build(records, view, origins, options=matrix.TrainingOptions(one_in=one_in)).select(matrix.ROW_KEY)
        for one_in in (5, 7)
    )
    wider = matrix.build(replace(records, **tables), view, origins, options=matrix.TrainingOptions(one_in=5)).select(
        matrix.ROW_KEY
    )
    same(wider.filter(pl.col("store_id") != name), sample)
    assert 0 < smaller.height < sample.height
    assert smaller.join(sample, on=matrix.ROW_KEY, how="anti").is_empty()


def test_rows_do_not_depend_on_the_blocks_of_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe(rounds=10, max_rows=5000, folds=1)
    origins = [day(60), day(90)]
    expected_rows = trainer.ModelTrainer(TrainingData(chain(1), "orders", day(DAYS)), recipe).rows(origins)
    monkeypatch.setattr(training_data, "BLOCK_STORES", 1)
    same(trainer.ModelTrainer(TrainingData(chain(1), "orders", day(DAYS)), recipe).rows(origins), expected_rows)


@pytest.mark.parametrize("table", ["weather", "labor"])
def test_a_block_without_a_table_has_rows_like_the_others(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    records = chain(1)
    part = getattr(records, table).filter(pl.col("store_id") != "S0002")
    records = replace(records, **{table: part})
    recipe = Recipe(rounds=10, max_rows=5000, folds=1)
    expected_rows = trainer.ModelTrainer(TrainingData(records, "orders", day(DAYS)), recipe).rows([day(90)])
    monkeypatch.setattr(training_data, "BLOCK_STORES", 1)
    blocked_rows = trainer.ModelTrainer(TrainingData(records, "orders", day(DAYS)), recipe).rows([day(90)])
    same(blocked_rows, expected_rows)


@EVERY
@given(seed=seeds, step=st.integers(40, DAYS), target=targets)
def test_a_schedule_that_became_known_later_is_as_one_that_is_absent(seed: int, step: int, target: str) -> None:
    records, origin = chain(seed), day(step)
    near = pl.col("hour_local").dt.date() >= origin - timedelta(days=28)
    absent = replace(records, labor=records.labor.filter(~near))
    same(rows(schedules_known_later(records, origin), target, [origin]), rows(absent, target, [origin]))
    late = [day(DAYS)]
    assert step == DAYS or not rows(schedules_known_later(records, origin), target, late).equals(
        rows(absent, target, late)
    )


def test_a_day_without_a_schedule_has_no_change_of_labor_and_others_keep_theirs() -> None:
    records, origin = chain(1), day(90)
    last = origin + timedelta(days=7)
    cut = replace(records, labor=records.labor.filter(pl.col("hour_local").dt.date() < last))
    full_rows, cut_rows = rows(records, "orders", [origin]), rows(cut, "orders", [origin])
    entered = pl.col("date") < last
    labor = ["labor_scheduled_change", "labor_day_change"]
    assert full_rows.select(pl.col(labor).is_not_null().all()).row(0) == (True, True)
    same(cut_rows.filter(entered), full_rows.filter(entered))
    same(cut_rows.drop(labor), full_rows.drop(labor))
    assert cut_rows.filter(~entered).select(pl.col(labor).is_null().all()).row(0) == (True, True)


def test_a_block_without_history_yet_has_the_rows_of_its_like(monkeypatch: pytest.MonkeyPatch) -> None:
    records = chain(1)
    young = (pl.col("store_id") == "S0003") & (pl.col("hour_local").dt.date() < day(80))
    records = replace(records, demand=records.demand.filter(~young))
    recipe, origins = Recipe(rounds=10, max_rows=5000, folds=1), [day(20), day(60), day(90)]
    expected_rows = trainer.ModelTrainer(TrainingData(records, "orders", day(DAYS)), recipe).rows(origins)
    monkeypatch.setattr(training_data, "BLOCK_STORES", 1)
    blocked_rows = trainer.ModelTrainer(TrainingData(records, "orders", day(DAYS)), recipe).rows(origins)
    same(blocked_rows, expected_rows)
    # No store is established yet on the twentieth day.
    assert set(blocked_rows.filter(pl.col("store_id") == "S0003")["origin_date"]) == set(origins[1:])


def test_a_holiday_on_the_eve_of_the_origin_is_known_as_with_later_demand() -> None:
    """New Year's Day 2023 is a Sunday, kept on the Monday too: on Monday the closed Sunday is history."""
    records, origin = weekly_store(date(2022, 10, 3), 120, closed=[date(2023, 1, 1)]), date(2023, 1, 2)
    same(rows(records, "orders", [origin]), rows(records.until(date(2023, 1, 1)), "orders", [origin]))


def test_a_declared_hour_first_traded_after_the_origin_is_as_it_was() -> None:
    records, origin = weekly_store(date(2024, 4, 1), 60), date(2024, 5, 20)
    declared = pl.DataFrame(
        [("A", weekday, "08:00", "20:00", None, None) for weekday in range(1, 8)],
        schema=records.hours.schema, orient="row",
    )  # fmt: skip
    records = replace(records, hours=declared)
    late = records.demand.filter(pl.col("hour_local").dt.date() > origin, pl.col("hour_local").dt.hour() == 17)
    moved = late.with_columns(pl.col("hour_local", "hour_utc") + timedelta(hours=1))
    wider = replace(records, demand=pl.concat([records.demand, moved]))
    same(rows(wider, "orders", [origin]), rows(records, "orders", [origin]))


def test_the_code_of_a_known_event_does_not_change_when_another_becomes_known() -> None:
    records, origin = weekly_store(date(2024, 4, 1), 60), date(2024, 5, 20)
    always = event("fair", date(2024, 5, 25), None)
    later = event("bargain", date(2024, 5, 28), date(2024, 5, 21))
    one = rows(replace(records, events=always), "orders", [origin])
    both = rows(replace(records, events=pl.concat([always, later])), "orders", [origin])
    assert one["event_code"].drop_nulls().len() > 0
    same(both, one)


def test_an_event_of_a_past_day_that_was_recorded_late_changes_no_cell() -> None:
    records, origin = weekly_store(date(2024, 4, 1), 60), date(2024, 5, 20)
    doubled = pl.when(pl.col("hour_local").dt.date() == date(2024, 5, 15)).then(pl.col("orders") * 2)
    records = replace(records, demand=records.demand.with_columns(orders=doubled.otherwise("orders")))
    other = event("fair", date(2024, 4, 20), date(2024, 4, 2))
    late = event("parade", date(2024, 5, 15), date(2024, 5, 21))
    one = rows(replace(records, events=other), "orders", [origin])
    same(rows(replace(records, events=pl.concat([other, late])), "orders", [origin]), one)


@pytest.mark.parametrize("known_on", [None, date(2024, 4, 2)])
def test_an_event_on_one_of_the_incumbents_days_is_told(known_on: date | None) -> None:
    records, origin = weekly_store(date(2024, 4, 1), 60), date(2024, 5, 20)
    matrix_rows = rows(replace(records, events=event("fair", date(2024, 5, 15), known_on)), "orders", [origin])
    event_rows = matrix_rows.filter(pl.col("event_local_event_base") > 0)
    assert set(event_rows["date"]) == {date(2024, 5, 22), date(2024, 5, 29)}


def event(name: str, on: date, known_on: date | None) -> pl.DataFrame:
    schema = ChainData.from_tables({}).events.schema
    starts = datetime.combine(on, time())
    row = (name, "local event", starts, starts + timedelta(hours=20), None, None, known_on)
    return pl.DataFrame([row], schema=schema, orient="row")


def weekly_store(first: date, days: int, closed: list[date] | None = None) -> ChainData:
    """One store in New York that sells as many orders in an hour as the hour's number, 8 to 17 every day."""
    hours = pl.datetime_range(
        datetime.combine(first, time()), datetime.combine(first, time()) + timedelta(days=days, hours=-1),
        "1h", eager=True,
    ).dt.cast_time_unit("us")  # fmt: skip
    local = pl.DataFrame({"hour_local": hours}).filter(
        pl.col("hour_local").dt.hour().is_between(8, 17), ~pl.col("hour_local").dt.date().is_in(closed or [])
    )
    zoned = pl.col("hour_local").dt.replace_time_zone("America/New_York").dt.convert_time_zone("UTC")
    demand = local.select(
        pl.lit("A").alias("store_id"), "hour_local", hour_utc=zoned.dt.replace_time_zone(None),
        orders=pl.col("hour_local").dt.hour().cast(pl.Float64), sales=pl.col("hour_local").dt.hour() * 10.0,
    )  # fmt: skip
    empty = ChainData.from_tables({})
    store = {"store_id": "A", "timezone": "America/New_York", "country": "US", "subdivision": "NY"}
    stores = pl.DataFrame({**store}).select(
        pl.col(name).cast(kind) if name in store else pl.lit(None, dtype=kind).alias(name)
        for name, kind in empty.stores.schema.items()
    )
    return replace(empty, stores=stores, demand=demand)


def test_history_columns_of_a_steady_store_say_so() -> None:
    matrix_rows = rows(weekly_store(date(2024, 4, 1), 60), "orders", [date(2024, 5, 31)])
    assert matrix_rows.height == 14 * 10
    assert matrix_rows["incumbent"].to_list() == matrix_rows["hour"].cast(pl.Float64).to_list()
    steady = [
        "history_last",
        "history_last_2",
        "history_last_8",
        "history_day_level_7",
        "history_hour_level_28",
    ]
    for name in steady:
        assert matrix_rows[name].to_list() == pytest.approx([1.0] * 140), name
    assert matrix_rows["scale"].to_list() == pytest.approx([12.5] * 140)


def test_no_history_before_any_origin_is_an_error_of_one_line() -> None:
    with pytest.raises(NotKnownError, match=r"no orders before 2023-11-06: the first is on 2023-11-06") as caught:
        rows(chain(1), "orders", [START])
    assert "\n" not in str(caught.value)
