from datetime import date, timedelta

import polars as pl
import pytest

from daypart.features.simulator import HORIZON_DAYS, Chain, ChainSpec, simulate
from daypart.features.simulator.demand import REGION_DAY_SD, STORE_DAY_SD

KEY = ["store_id", "hour_utc"]
WEEKS = 8


@pytest.fixture(scope="module")
def past(small: Chain, small_spec: ChainSpec) -> pl.DataFrame:
    truth = small.truth.filter(pl.col("hour_local").dt.date() < small_spec.end)
    demand = small.tables["demand"].drop("hour_local")
    return truth.join(demand, on=KEY, how="left").with_columns(pl.col("orders", "sales").fill_null(0.0))


def test_all_demand_falls_on_trading_hours(small: Chain) -> None:
    assert small.tables["demand"].join(small.truth, on=KEY, how="anti").is_empty()


def test_demand_is_drawn_about_the_truth(past: pl.DataFrame) -> None:
    sums = past.group_by("store_id").agg(pl.col("orders", "sales", "orders_mean", "sales_mean").sum())
    for target in ("orders", "sales"):
        assert sums.select((pl.col(target) / pl.col(f"{target}_mean") - 1).abs().max()).item() < 0.01


def test_orders_scatter_as_poisson_and_day_shocks_say(past: pl.DataFrame) -> None:
    mean = pl.col("orders_mean")
    variance = mean + (REGION_DAY_SD**2 + STORE_DAY_SD**2) * mean**2
    ratio = past.select(((pl.col("orders") - mean) ** 2 / variance).mean()).item()
    assert ratio == pytest.approx(1.0, abs=0.03)


def test_sales_are_0_exactly_where_orders_are_and_whole_cents(small: Chain) -> None:
    demand = small.tables["demand"]
    assert demand["orders"].min() >= 1
    assert demand["sales"].min() > 0
    assert demand["orders"].equals(demand["orders"].round(0))
    assert demand["sales"].equals(demand["sales"].round(2))


def test_a_promotion_lifts_its_region_by_what_its_name_says(small: Chain) -> None:
    """Days with the offer beside the same weekday a week before and after, in the truth."""
    stores = small.tables["stores"].select("store_id", "region")
    daily = small.truth.group_by("store_id", date=pl.col("hour_local").dt.date()).agg(pl.col("orders_mean").sum())
    offers = small.tables["events"].filter(pl.col("kind") == "promotion", pl.col("region").is_not_null())
    days = (
        offers.filter(pl.col("name").is_in(["10% off", "30% off"]))
        .with_columns(date=pl.date_ranges(pl.col("starts_local").dt.date(), pl.col("ends_local").dt.date()))
        .explode("date").drop("store_id").join(stores, on="region")
    )  # fmt: skip
    around = [daily.with_columns(date=pl.col("date") + timedelta(days=shift)) for shift in (-7, 7)]
    usual = pl.concat(around).group_by("store_id", "date").agg(usual=pl.col("orders_mean").mean())
    lifts = (
        days.join(daily, on=["store_id", "date"]).join(usual, on=["store_id", "date"])
        .group_by("name").agg(lift=(pl.col("orders_mean") / pl.col("usual")).median())
    )  # fmt: skip
    lift = dict(lifts.iter_rows())
    assert 1.0 < lift["10% off"] < lift["30% off"]


def test_a_price_rise_is_a_lasting_step_in_sales_an_order(small: Chain) -> None:
    price = pl.col("sales_mean") / pl.col("orders_mean")
    rise = small.tables["events"].filter(pl.col("kind") == "price", pl.col("region") == "Northeast").row(0, named=True)
    local = pl.col("hour_local")
    lunch = small.truth.filter(pl.col("store_id") == "S0001", local.dt.hour() == 12)
    before = lunch.filter(local < rise["starts_local"]).select(price.median()).item()
    after = lunch.filter(local >= rise["starts_local"]).select(price.median()).item()
    assert after / before == pytest.approx(1.06, abs=0.02)


def _four_week_mean(truth: pl.DataFrame, actual: pl.DataFrame, origin: date, target: str) -> pl.DataFrame:
    """For each hour of the horizon the mean of the last four known values of its weekday and hour."""
    local = pl.col("hour_local")
    horizon = truth.filter(local.dt.date().is_between(origin, origin + timedelta(days=HORIZON_DAYS - 1)))
    past_actuals = actual.filter(local.dt.date() < origin).with_columns(
        age=local.rank(descending=True).over("store_id", "slot")
    )
    base = past_actuals.filter(pl.col("age") <= 4).group_by("store_id", "slot").agg(naive=pl.col(target).mean())
    return horizon.join(base, on=["store_id", "slot"]).join(actual.select(*KEY, target), on=KEY)


@pytest.mark.parametrize("target", ["orders", "sales"])
def test_the_default_chain_leaves_a_planner_much_to_gain_and_the_oracle_little(target: str) -> None:
    """WAPE in bps over the last eight weeks: the truth keeps the draw's noise, a four-week mean far more."""
    spec = ChainSpec(issues_days=0)
    chain = simulate(spec)
    slot = pl.col("hour_local").dt.weekday() * 24 + pl.col("hour_local").dt.hour()
    recent = pl.col("hour_local").dt.date() >= spec.end - timedelta(weeks=WEEKS + 9)
    truth = chain.truth.filter(recent).with_columns(slot=slot)
    actual = truth.join(chain.tables["demand"].drop("hour_local"), on=KEY, how="left").with_columns(
        pl.col("orders", "sales").fill_null(0.0)
    )
    past = actual.filter(pl.col("hour_local").dt.date() < spec.end)
    origins = [spec.end - timedelta(weeks=weeks) for weeks in range(WEEKS, 1, -1)]
    scored = pl.concat(_four_week_mean(truth, past, origin, target) for origin in origins)
    total = scored[target].sum()
    oracle, naive = (
        10_000 * scored.select((pl.col(forecast) - pl.col(target)).abs().sum()).item() / total
        for forecast in (f"{target}_mean", "naive")
    )
    assert 1300 <= oracle <= 2000
    assert naive - oracle >= 850
