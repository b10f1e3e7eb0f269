"""Sums at every level agree with their hours, and their bands hold what comes where errors go together."""

import math
from datetime import date, datetime, time, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features.dayparts import daypart
from daypart.features.errors import InputError
from daypart.forecasting.leads import lead_week
from daypart.forecasting.metrics.accuracy import band_score
from daypart.forecasting.models import ensemble
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.serving.levels import (
    AGGREGATE_CELL_KEYS,
    AGGREGATE_COLUMNS,
    AGGREGATE_LEVELS,
    Level,
    aggregate,
    small_sample_factor,
)
from daypart.forecasting.uncertainty import bands
from daypart.forecasting.uncertainty.residual_paths import Paths

FIRST = date(2023, 1, 2)
HOURS = range(7, 23)
STORES = pl.DataFrame({
    "store_id": ["A", "B", "C", "D"], "region": ["north", "north", "south", None], "currency": ["USD", "USD", "CAD", None],
})  # fmt: skip


def horizons(seed: int, first: date, count: int, stores: tuple[str, ...] = ("A", "B", "C", "D")) -> pl.DataFrame:
    """Weekly origins whose errors are a date's, a store's date's and an hour's own, as factors of the forecast."""
    chance = np.random.default_rng(seed)
    shape = (count, 14, len(stores), len(HOURS))
    of_hour = chance.normal(size=shape)
    of_date, of_store = chance.normal(size=(*shape[:2], 1, 1)), chance.normal(size=(*shape[:3], 1))
    forecast = 20.0 * np.ones(shape) * (1 + 0.5 * np.sin(np.array(HOURS) / 3))
    y = forecast * np.exp(0.1 * of_date + 0.1 * of_store + 0.2 * of_hour)
    origin, lead, store, hour = (index.ravel() for index in np.indices(shape))
    frame = pl.DataFrame({
        "store_id": np.array(stores)[store], "hour": np.array(HOURS)[hour].astype(np.int8),
        "lead_days": lead.astype(np.int16), "forecast": forecast.ravel(), "y": y.ravel(),
        "origin_date": [first + timedelta(days=7 * int(k)) for k in origin],
    })  # fmt: skip
    return frame.with_columns(scale=pl.lit(20.0), date=pl.col("origin_date") + pl.duration(days=pl.col("lead_days")))


@cache
def model(target: str = "orders", weeks: int = 56) -> Model:
    evidence = horizons(1, FIRST, weeks)
    fitted = bands.fit_bands(evidence)
    weights = ensemble.prior_weights(["ratio", "incumbent"], 10**9)
    return Model(target, FIRST, Recipe(), (), weights, fitted, {}, Paths.fit(evidence, fitted))


def published(rows: pl.DataFrame, target: str = "orders") -> pl.DataFrame:
    """As published, with closed hours, banded by the model."""
    hours = pl.DataFrame({"hour": pl.Series(range(24), dtype=pl.Int8)})
    days = rows.select("store_id", "origin_date", "lead_days", "date").unique()
    open_rows = rows.select("store_id", "date", "origin_date", "hour", "forecast", "scale", "y")
    grid = days.join(hours, how="cross").join(open_rows, on=["store_id", "date", "origin_date", "hour"], how="left")
    grid = bands.with_bands(grid.with_columns(pl.col("forecast", "scale", "y").fill_null(0.0)), model().bands)
    at = pl.col("date").cast(pl.Datetime("us")) + pl.duration(hours=pl.col("hour"))
    return grid.select(
        "store_id", "origin_date", "lead_days", "forecast", "q10", "q50", "q90", "scale", target=pl.lit(target),
        hour_local=at, hour_utc=at + pl.duration(hours=5), business_date="date", daypart=daypart(pl.col("hour")),
        incumbent=0.9 * pl.col("forecast"), actual="y", model_version=pl.lit("1"), tier=pl.lit("standard"),
        basis=pl.lit(None, pl.String), youth=pl.lit(0.0),
    ).sort("store_id", "origin_date", "hour_utc")  # fmt: skip


def one() -> pl.DataFrame:
    return published(horizons(2, FIRST + timedelta(days=700), 1))


@cache
def many(level: str) -> pl.DataFrame:
    rows = published(horizons(3, FIRST + timedelta(days=700), 30)).partition_by("origin_date")
    if level == "hour":
        return pl.concat(rows)
    return pl.concat(aggregate(origin_rows, model(), STORES, level) for origin_rows in rows)  # type: ignore[arg-type]


@pytest.mark.parametrize(("level", "near"), [("hour", 0.02), ("daypart", 0.03), ("day", 0.03), ("chain", 0.06)])
def test_bands_cover_eighty_percent_where_errors_go_together(level: str, near: float) -> None:
    score = band_score(many(level)).row(0, named=True)
    assert score["coverage"] == pytest.approx(0.81, abs=near)


def test_errors_taken_as_independent_would_not_do() -> None:
    """The property above can fail: a day's band would be too narrow by half."""
    days = many("day")
    width = (days["q90"] - days["q10"]).mean()
    hours = many("hour").filter(pl.col("forecast") > 0).with_columns(square=(pl.col("q90") - pl.col("q10")) ** 2)
    alone = hours.group_by("store_id", "origin_date", "lead_days").agg(pl.col("square").sum().sqrt())["square"].mean()
    assert isinstance(width, float)
    assert isinstance(alone, float)
    assert width > 1.8 * alone


@pytest.mark.parametrize("level", AGGREGATE_LEVELS)
@pytest.mark.parametrize("target", ["orders", "sales"])
def test_sums_are_those_of_loops(level: Level, target: str) -> None:
    rows = one().with_columns(target=pl.lit(target))
    money = dict(STORES.select("store_id", "currency").iter_rows()) if target == "sales" else {}
    region = dict(STORES.select("store_id", "region").iter_rows())
    expected: dict[tuple[object, ...], list[float]] = {}
    for row in rows.to_dicts():
        values = row | {"region": region[row["store_id"]], "currency": money.get(row["store_id"])}
        values["lead_week"] = row["lead_days"] // 7 + 1
        sums = expected.setdefault(tuple(values[name] for name in AGGREGATE_CELL_KEYS[level]), [0.0, 0.0, 0.0])
        for at, name in enumerate(("forecast", "incumbent", "actual")):
            sums[at] += row[name]
    totals = aggregate(rows, model(target), STORES, level).with_columns(lead_week())
    assert totals.height == len(expected)
    for row in totals.to_dicts():
        sums = [row[name] for name in ("forecast", "incumbent", "actual")]
        assert sums == pytest.approx(expected[tuple(row[name] for name in AGGREGATE_CELL_KEYS[level])], abs=1e-9)


@given(
    starts=st.lists(st.integers(0, 6), min_size=4, max_size=4),
    night=st.floats(0.5, 30),
    target=st.sampled_from(["orders", "sales"]),
)
@settings(max_examples=15)
def test_hours_after_midnight_are_in_the_sums_of_the_day_that_opened(
    starts: list[int], night: float, target: str
) -> None:
    """Dayparts and hours outside them, days, weeks, horizons, regions and chain: each business date has all its hours."""
    starts_by_store = dict(zip("ABCD", starts, strict=True))
    clock_hour = pl.col("hour_local").dt.hour()
    is_night = clock_hour < pl.col("store_id").replace_strict(starts_by_store, return_dtype=pl.Int64)
    night_amount = pl.when(is_night).then(night)
    hours = one().with_columns(
        pl.col("hour_local", "hour_utc") + pl.when(is_night).then(pl.duration(days=1)).otherwise(pl.duration(days=0)),
        *(pl.coalesce(night_amount, name).alias(name) for name in ("forecast", "incumbent", "actual", "q50")),
        target=pl.lit(target),
    )
    by_date = dict(hours.group_by("business_date").agg(pl.col("forecast").sum()).iter_rows())
    for level in AGGREGATE_LEVELS:
        sums = aggregate(hours, model(target), STORES, level)
        assert sums.select("forecast", "incumbent", "actual").sum().row(0) == pytest.approx(
            hours.select("forecast", "incumbent", "actual").sum().row(0)
        )
        if "lead_days" in AGGREGATE_CELL_KEYS[level]:
            dates = dict(sums.group_by("business_date").agg(pl.col("forecast").sum()).iter_rows())
            assert dates == pytest.approx(by_date)


@pytest.mark.parametrize("level", AGGREGATE_LEVELS)
def test_bands_are_in_order_and_rows_as_the_contract_has_them(level: Level) -> None:
    totals = aggregate(one(), model(), STORES, level)
    assert totals.columns == [*AGGREGATE_COLUMNS, "actual"]
    assert totals.select((pl.col("q10") >= 0).all() & (pl.col("q10") <= pl.col("q50")).all()).item()
    assert totals.select((pl.col("q50") <= pl.col("q90")).all()).item()
    assert (totals["q50"] == totals["forecast"]).all()
    assert (totals["business_date"] == totals["hour_local"].dt.date()).all()
    shared = level in ("region", "chain")
    assert totals["store_id"].is_null().all() == totals["hour_utc"].is_null().all() == shared
    assert totals["daypart"].is_not_null().any() == (level == "daypart")
    assert (totals["lead_days"] == (totals["business_date"] - totals["origin_date"]).dt.total_days()).all()


def test_shared_errors_make_a_chain_wider_than_its_stores_would() -> None:
    days, chain = (
        aggregate(one(), model(), STORES, level).with_columns(wide=pl.col("q90") - pl.col("q10"))
        for level in ("day", "chain")
    )  # type: ignore[arg-type]
    alone = days.group_by("lead_days").agg((pl.col("wide") ** 2).sum().sqrt())["wide"].mean()
    together = days.group_by("lead_days").agg(pl.col("wide").sum())["wide"].mean()
    chain_width = chain["wide"].mean()
    assert alone * 1.2 < chain_width < together * 0.98  # type: ignore[operator]


@pytest.mark.parametrize("level", AGGREGATE_LEVELS)
def test_the_same_bits_in_any_order_and_any_block(level: Level) -> None:
    rows = one()
    totals = aggregate(rows, model(), STORES, level)
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=4)
    assert_frame_equal(aggregate(shuffled, model(), STORES.reverse(), level), totals, check_exact=True)
    if level not in ("region", "chain"):
        blocks = [
            aggregate(rows.filter(pl.col("store_id").is_in(ids)), model(), STORES, level)
            for ids in (["A"], ["B", "C", "D"])
        ]
        assert_frame_equal(pl.concat(blocks), totals, check_exact=True)


def test_a_closed_day_is_exactly_zero() -> None:
    shut = pl.col("lead_days") == 3
    rows = one().with_columns(pl.when(shut).then(0.0).otherwise(pl.col(pl.Float64)).name.keep())
    for level in ("day", "chain"):
        totals = aggregate(rows, model(), STORES, level).filter(shut)  # type: ignore[arg-type]
        assert totals.height
        assert totals.select(pl.sum_horizontal("forecast", "q10", "q50", "q90", "incumbent").sum()).item() == 0
    assert aggregate(rows, model(), STORES, "daypart").filter(shut)["daypart"].is_not_null().all()


def test_a_region_of_one_store_has_its_band() -> None:
    south = aggregate(one(), model(), STORES, "region").filter(pl.col("region") == "south")
    store = aggregate(one(), model(), STORES, "day").filter(pl.col("store_id") == "C")
    assert south.select("forecast", "q10", "q90").equals(store.select("forecast", "q10", "q90"))


def test_what_is_not_known_of_a_young_stores_level_widens_its_sums_and_no_others() -> None:
    """Errors of one level alone reach 1.28 standard deviations to either side."""
    rows, youth = one(), 0.3
    young = rows.with_columns(youth=pl.when(pl.col("store_id") == "A").then(youth).otherwise(0.0))
    for level in ("day", "store"):
        old, new = (aggregate(frame, model(), STORES, level) for frame in (rows, young))  # type: ignore[arg-type]
        other_stores = pl.col("store_id") != "A"
        assert_frame_equal(new.filter(other_stores), old.filter(other_stores), check_exact=True)
        ratios = new.filter(~other_stores).select(*(pl.col(name) / pl.col("forecast") for name in ("q10", "q90")))
        assert ratios["q10"].max() < math.exp(-1.2 * youth)  # type: ignore[operator]
        assert ratios["q90"].min() > math.exp(1.2 * youth)  # type: ignore[operator]


def test_few_weeks_make_bands_of_weeks_wider() -> None:
    """Student's t for 3 and 55 degrees of freedom at 0.9 is 1.6377 and 1.2971, the normal's 1.2816."""
    few, long = (model(weeks=weeks).paths for weeks in (4, 56))
    assert few is not None
    assert long is not None
    assert small_sample_factor(few, 1) == pytest.approx(1.25**0.5 * 1.6377 / 1.2816, rel=1e-3)
    assert small_sample_factor(long, 1) == pytest.approx((57 / 56) ** 0.5 * 1.2971 / 1.2816, rel=1e-3)


def test_what_was_made_before_there_were_paths_is_refused() -> None:
    bare = Model("orders", FIRST, Recipe(), (), model().weights, model().bands, {})
    with pytest.raises(InputError, match="has no paths.*daypart train"):
        aggregate(one(), bare, STORES, "day")
    with pytest.raises(InputError, match="without a scale.*--refresh"):
        aggregate(one().with_columns(scale=pl.lit(None, pl.Float64)), model(), STORES, "day")


def test_the_hour_that_clocks_show_twice_counts_twice() -> None:
    rows = one().filter(pl.col("store_id") == "A")
    noon = rows.filter(pl.col("hour_local") == datetime.combine(rows["origin_date"][0], time(12)))
    twice = pl.concat([rows, noon.with_columns(pl.col("hour_utc") + timedelta(minutes=1))])
    before, after = (aggregate(frame, model(), STORES, "day").row(0, named=True) for frame in (rows, twice))
    assert after["forecast"] == pytest.approx(before["forecast"] + noon["forecast"].item())
    assert after["q90"] - after["q10"] > before["q90"] - before["q10"]
