"""A backtest's rows are what would have been published, hour for hour and bit for bit."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.metrics.actuals import idle_days, with_actuals
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import at_level, backtest, rolling_origins
from daypart.forecasting.serving.levels import aggregate
from daypart.forecasting.serving.publication import FORECAST_COLUMNS, ServedModel, forecast_stores

DAYS = 110
RECIPE = Recipe(rounds=10, max_rows=5000, folds=1, history_days=DAYS)
CLOCKS_FORWARD, CLOCKS_BACK = date(2024, 3, 10), date(2023, 11, 5)
UTC = ZoneInfo("UTC")


@cache
def chain(change: date, seed: int) -> ChainData:
    """Three stores in zones of North America; the clocks change seven days before the chain's end."""
    start = change - timedelta(days=DAYS - 7)
    records = ChainData.from_tables(
        simulate(ChainSpec(stores=3, start=start, days=DAYS, seed=seed, issues_days=DAYS)).tables
    )
    return replace(
        records,
        hours=records.hours.filter(pl.col("store_id") != "S0002"),
        closures=pl.concat([records.closures, surprises(records, change)]),
        labor=records.labor.with_columns(known_on=pl.col("hour_local").dt.date() - pl.duration(days=5)),
    )


def surprises(records: ChainData, change: date) -> pl.DataFrame:
    """Mornings on which the first store was closed, which became known on the day before."""
    days = [change + timedelta(days=step) for step in (-9, -3)]
    rows = [("S0001", day, 0, 11, "outage", day - timedelta(days=1)) for day in days]
    return pl.DataFrame(rows, schema=records.closures.schema, orient="row")


def end(change: date) -> date:
    return change + timedelta(days=7)


def known_at(records: ChainData, origin: date) -> ChainData:
    """What the records held at the origin, table by table."""
    before = datetime.combine(origin, time())
    zones = records.stores.select("store_id", "timezone")
    midnights = {
        store: before.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
        for store, zone in zones.iter_rows()
    }
    midnight = pl.col("store_id").replace_strict(midnights, return_dtype=pl.Datetime("us"))
    issued = pl.coalesce("issued_utc", "valid_utc") < midnight
    return replace(
        records.until(origin - timedelta(days=1)),
        weather=records.weather.filter(issued),
        macro=records.macro.filter(pl.col("released_on") < origin),
        events=records.events.filter(pl.col("known_on").is_null() | (pl.col("known_on") < origin)),
        closures=records.closures.filter(pl.col("known_on").is_null() | (pl.col("known_on") < origin)),
        labor=records.labor.filter(pl.col("known_on").is_null() | (pl.col("known_on") < origin)).with_columns(
            worked_hours=pl.lit(None, dtype=pl.Float64)
        ),
    )


CASES = [(CLOCKS_FORWARD, 1, "orders"), (CLOCKS_BACK, 2, "sales")]


@cache
def ran(change: date, seed: int, target: str) -> tuple[pl.DataFrame, dict[str, Model]]:
    """Weekly origins that train every other week, up to and beyond the clocks' change."""
    return backtest(
        ModelTrainer(TrainingData(chain(change, seed), target, origins(change)[-1]), RECIPE), origins(change), 14
    )


def run(change: date, seed: int, target: str) -> pl.DataFrame:
    return ran(change, seed, target)[0]


def origins(change: date) -> list[date]:
    return [change - timedelta(days=18 - 7 * k) for k in range(3)]


@pytest.mark.parametrize(("change", "seed", "target"), CASES)
def test_rows_are_what_a_fresh_workshop_would_have_published(change: date, seed: int, target: str) -> None:
    rows = run(change, seed, target)
    first = origins(change)[0]
    for origin in origins(change):
        trained_on = origin - timedelta(days=(origin - first).days % 14)
        then = known_at(chain(change, seed), trained_on)
        model = ModelTrainer(TrainingData(then, target, trained_on), RECIPE).train(trained_on)
        now = known_at(chain(change, seed), origin)
        fresh = forecast_stores(
            ModelTrainer(TrainingData(now, target, origin), RECIPE),
            now,
            ServedModel(model, f"as-of-{trained_on}"),
            origin,
        )
        assert_frame_equal(rows.filter(pl.col("origin_date") == origin).drop("actual"), fresh, check_exact=True)
    assert rows["model_version"].unique().sort().to_list() == sorted(
        f"as-of-{first + timedelta(days=step)}" for step in (0, 14)
    )


def real_hours(zone: str, first: date, days: int) -> set[datetime]:
    """UTC starts of the full hours that the clock shows on those local dates, hour by hour."""
    at = datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=1)
    steps = (at + timedelta(hours=k) for k in range(24 * (days + 3)))
    last = first + timedelta(days=days - 1)
    return {step.replace(tzinfo=None) for step in steps if first <= step.astimezone(ZoneInfo(zone)).date() <= last}


@pytest.mark.parametrize(("change", "seed", "target"), CASES)
def test_every_store_has_every_real_clock_hour(change: date, seed: int, target: str) -> None:
    rows, records = run(change, seed, target), chain(change, seed)
    assert rows.columns == [*FORECAST_COLUMNS, "actual"]
    for store, zone in records.stores.select("store_id", "timezone").iter_rows():
        for origin in origins(change):
            hours = rows.filter(pl.col("store_id") == store, pl.col("origin_date") == origin)
            assert hours["hour_utc"].is_unique().all()
            assert set(hours["hour_utc"]) == real_hours(zone, origin, 14)
    lengths = rows.group_by("store_id", "origin_date", pl.col("hour_local").dt.date().alias("date")).len()
    odd = set(lengths.filter(pl.col("len") != 24).select("date", "len").iter_rows())
    assert odd == {(change, 23 if change == CLOCKS_FORWARD else 25)}
    lead = (pl.col("hour_local").dt.date() - pl.col("origin_date")).dt.total_days()
    assert rows.select((lead == pl.col("lead_days")).all()).item()


def test_rows_are_sorted_as_the_contract_has_it() -> None:
    rows = run(*CASES[0])
    assert_frame_equal(rows, rows.sort("store_id", "target", "origin_date", "hour_utc"))


@pytest.mark.parametrize(("change", "seed", "target"), CASES)
def test_bands_are_in_order_and_nothing_is_negative_or_missing(change: date, seed: int, target: str) -> None:
    rows = run(change, seed, target)
    for name in ("forecast", "q10", "q50", "q90", "incumbent"):
        assert rows[name].null_count() == 0
        assert rows[name].is_finite().all()
        assert rows[name].min() >= 0  # type: ignore[operator]
    assert rows.select((pl.col("q10") <= pl.col("q50")).all() & (pl.col("q50") <= pl.col("q90")).all()).item()


@pytest.mark.parametrize(("change", "seed", "target"), CASES)
def test_closed_hours_are_exactly_zero(change: date, seed: int, target: str) -> None:
    rows, records = run(change, seed, target), chain(change, seed)
    spans = {(row[0], row[1]): (row[2], row[3]) for row in records.hours.iter_rows()}
    day_closures = records.closures.filter(pl.col("from_hour").is_null() & pl.col("to_hour").is_null())
    shut = set(day_closures.select("store_id", "date").iter_rows())
    closed = opened = 0
    for row in rows.filter(pl.col("store_id") != "S0002").iter_rows(named=True):
        at = row["hour_local"]
        opens, closes = spans.get((row["store_id"], at.isoweekday()), ("24:00", "24:00"))
        closes = "24:00" if closes == "00:00" else closes
        assert opens <= closes, "no store of these chains trades past midnight"
        trading = int(opens[:2]) <= at.hour < int(closes[:2]) + (closes[3:] != "00")
        if trading and (row["store_id"], at.date()) not in shut:
            opened += row["forecast"] > 0
            continue
        closed += 1
        assert (row["forecast"], row["q10"], row["q50"], row["q90"], row["incumbent"]) == (0, 0, 0, 0, 0)
        assert row["scale"] == 0
    assert closed > 300
    assert opened > 300


@pytest.mark.parametrize(("change", "seed", "target"), CASES)
def test_actuals_are_what_came(change: date, seed: int, target: str) -> None:
    demand = chain(change, seed).demand
    sold = {(store, at): value for store, at, value in demand.select("store_id", "hour_utc", target).iter_rows()}
    open_days = set(demand.filter(pl.col(target) > 0).select("store_id", pl.col("hour_local").dt.date()).iter_rows())
    for row in run(change, seed, target).iter_rows(named=True):
        is_open = (row["store_id"], row["hour_local"].date()) in open_days
        expected = sold.get((row["store_id"], row["hour_utc"]), 0.0) if is_open else None
        assert row["actual"] == expected


def test_scores_lose_no_row() -> None:
    rows = run(*CASES[0])
    records = chain(*CASES[0][:2])
    again = with_actuals(
        rows.drop("actual"), records.demand, idle_days(records, rows["origin_date"].min()), records.stores
    )
    assert_frame_equal(again.drop("idle"), rows, check_exact=True)


def test_levels_of_a_backtest_are_those_of_its_origins() -> None:
    rows, models = ran(*CASES[0])
    stores = chain(*CASES[0][:2]).stores
    assert set(models) == set(rows["model_version"])
    day_rows = at_level(rows, models, stores, "day")
    scored_rows = rows.filter(pl.col("actual").is_not_null())
    days = scored_rows.group_by("store_id", "origin_date", "lead_days").agg(pl.col("forecast", "actual").sum())
    keys = ["store_id", "origin_date", "lead_days"]
    assert_frame_equal(day_rows.select(days.columns).sort(keys), days.sort(keys), check_dtypes=False)
    last = origins(CASES[0][0])[-1]
    alone = aggregate(scored_rows.filter(pl.col("origin_date") == last), list(models.values())[-1], stores, "day")
    assert_frame_equal(day_rows.filter(pl.col("origin_date") == last), alone, check_exact=True)


def test_a_store_that_closes_for_good_is_zero_from_then_on_and_gone_after() -> None:
    records, origin = chain(*CASES[0][:2]), end(CLOCKS_FORWARD)
    closing = pl.when(pl.col("store_id") == "S0001").then(origin + timedelta(days=5))
    records = replace(records, stores=records.stores.with_columns(closed_on=closing))
    shop = ModelTrainer(TrainingData(records, "orders", origin), RECIPE)
    forecasts = forecast_stores(shop, records, ServedModel(shop.train(origin), "1"), origin).filter(
        pl.col("store_id") == "S0001"
    )
    assert forecasts.height == 14 * 24
    late = pl.col("lead_days") >= 5
    assert forecasts.filter(late)["q90"].sum() == 0 < forecasts.filter(~late)["q10"].sum()
    closed_records = replace(records, stores=records.stores.with_columns(closed_on=pl.lit(origin)))
    assert forecast_stores(shop, closed_records, ServedModel(shop.train(origin), "1"), origin).is_empty()


@pytest.mark.parametrize(
    ("every", "horizon", "expected"),
    [(7, 14, ["2024-01-01", "2024-01-08"]), (14, 14, ["2024-01-01"]), (1, 21, ["2024-01-01"]), (1, 22, [])],
)
def test_rolling_origins_end_with_their_horizon(every: int, horizon: int, expected: Sequence[str]) -> None:
    origin_dates = rolling_origins(date(2024, 1, 1), date(2024, 1, 21), every, horizon)
    assert [day.isoformat() for day in origin_dates] == expected
