"""Peers forecast every hour that is scored, from nothing but what came before."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import get_args

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.chain_data import ChainData
from daypart.features.errors import InputError
from daypart.features.signals.weather import WeatherView
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest
from infra.bench.accuracy import in_place, peer_score
from infra.bench.accuracy_peers import PEERS, regular
from infra.bench.accuracy_picture import draw, markdown, told
from infra.bench.hindsight import LEADS, worth
from infra.bench.score import INCUMBENT, OURS, Score, pinball_bps, scored

RECIPE = Recipe(weather="none")
SPEC = ChainSpec(stores=2, start=date(2023, 9, 11), days=60, seed=3, issues_days=1)
ORIGINS = [date(2023, 10, 23), date(2023, 10, 25)]
"""Clocks go back within both horizons."""


@pytest.fixture(scope="module")
def records() -> ChainData:
    tables = simulate(SPEC).tables
    return ChainData.from_tables({name: tables[name] for name in ("stores", "demand")})


@pytest.fixture(scope="module")
def rows(records: ChainData) -> pl.DataFrame:
    return backtest(ModelTrainer(TrainingData(records, "orders", ORIGINS[-1]), RECIPE), ORIGINS, 28)[0]


def _told(who: str, records: ChainData) -> pl.DataFrame:
    pytest.importorskip(who)
    return PEERS[who](records, "orders", ORIGINS, RECIPE.horizon_days).sort("store_id", "origin_date", "hour_utc")


@pytest.mark.parametrize("who", PEERS)
def test_a_peer_forecasts_every_hour_from_what_came_before(who: str, records: ChainData, rows: pl.DataFrame) -> None:
    peer_rows = _told(who, records)
    assert in_place(rows, peer_rows)["forecast"].null_count() == 0
    assert peer_rows.height == rows.height
    assert peer_rows["forecast"].min() == 0
    assert peer_rows["forecast"].is_finite().all()
    later = pl.col("hour_local") >= datetime.combine(ORIGINS[0], datetime.min.time())
    changed = records.demand.with_columns(orders=pl.when(later).then(pl.col("orders") * 3 + 7).otherwise("orders"))
    other = _told(who, ChainData.from_tables({"stores": records.stores, "demand": changed}))
    first = pl.col("origin_date") == ORIGINS[0]
    assert_frame_equal(other.filter(first), peer_rows.filter(first), check_exact=True)
    assert other.filter(~first)["forecast"].sum() != pytest.approx(peer_rows.filter(~first)["forecast"].sum(), rel=0.01)


@pytest.mark.parametrize("who", PEERS)
def test_a_peer_errs_least_at_its_own_hours(who: str, records: ChainData, rows: pl.DataFrame) -> None:
    joined, actual = in_place(rows, _told(who, records)), pl.col("actual")
    shifted = {hours: pl.col("forecast").shift(hours).over("store_id", "origin_date") for hours in (-1, 0, 1)}
    errors = joined.select((shift - actual).abs().mean().alias(str(hours)) for hours, shift in shifted.items()).row(0)
    assert errors[1] < min(errors[0], errors[2])


def test_series_have_every_hour_of_the_stores_clock(records: ChainData) -> None:
    end = date(2023, 11, 8)
    for (store,), series in regular(records, "orders", end).group_by("unique_id", maintain_order=True):
        hourly_orders: dict[datetime, list[float]] = {}
        for row in records.demand.filter(pl.col("store_id") == store).iter_rows(named=True):
            hourly_orders.setdefault(row["hour_local"], []).append(row["orders"])
        assert series["ds"][0] == min(hourly_orders)
        assert series["ds"][-1] == datetime(2023, 11, 7, 23)
        assert (series["ds"].diff().drop_nulls() == timedelta(hours=1)).all()
        expected = [sum(hourly_orders.get(at, [0])) / len(hourly_orders.get(at, [0])) for at in series["ds"]]
        assert series["y"].to_list() == pytest.approx(expected)


def test_a_row_without_a_forecast_is_refused(records: ChainData, rows: pl.DataFrame) -> None:
    forecasts = rows.select("store_id", "origin_date", "hour_utc", "forecast")
    full_score = scored(rows, records, "chain", "same")
    assert scored(in_place(rows, forecasts), records, "chain", "same") == full_score
    open_hour = rows.filter(pl.col("actual") > 0)["hour_utc"][0]
    with pytest.raises(InputError, match="no forecast"):
        scored(in_place(rows, forecasts.filter(pl.col("hour_utc") != open_hour)), records, "chain", "short")


def test_a_library_that_is_missing_is_named(records: ChainData, rows: pl.DataFrame) -> None:
    row = peer_score("nosuchlibrary", records, rows, "chain", ORIGINS)
    assert (row.note, row.hour_wape_bps) == ("nosuchlibrary is not installed", None)


def test_pinball_loss_is_that_of_a_slow_loop(rows: pl.DataFrame) -> None:
    loss, sold = 0.0, 0.0
    for row in rows.filter(pl.col("actual").is_not_null()).iter_rows(named=True):
        error = row["actual"] - row["q10"]
        loss += 0.1 * error if error > 0 else -0.9 * error
        sold += row["actual"]
    assert pinball_bps(rows, "q10") == pytest.approx(1e4 * loss / sold)


def test_figures_of_the_band_are_ours_alone(records: ChainData, rows: pl.DataFrame) -> None:
    ours, theirs = (scored(rows, records, "chain", who) for who in (OURS, INCUMBENT))
    assert theirs.coverage is None
    assert theirs.pinball_10_bps is None
    assert ours.coverage is not None
    assert ours.coverage_low is not None
    assert ours.coverage_high is not None
    assert ours.coverage_low <= ours.coverage <= ours.coverage_high
    banded = rows.filter(pl.col("actual").is_not_null(), pl.col("q90") > 0, pl.col("daypart").is_not_null())
    covered = banded.with_columns(held=pl.col("actual").is_between("q10", "q90"), week=pl.col("lead_days") >= 7)
    shares = [group["held"].mean() for _, group in covered.group_by("daypart", "week")]
    assert len(shares) == 6
    assert (ours.coverage_low, ours.coverage_high) == (round(min(shares), 3), round(max(shares), 3))


def test_the_picture_and_the_table_tell_every_figure(tmp_path: Path) -> None:
    rows = [
        Score("chain", "orders", OURS, hour_wape_bps=2000, day_wape_bps=1000, hour_gain_bps=500, day_gain_bps=-20),
        Score("chain", "orders", OURS, "observed", 1800, 1500, 900, 700, 80),
        Score("chain", "orders", INCUMBENT, hour_wape_bps=2500, day_wape_bps=980, hour_gain_bps=0, day_gain_bps=0),
        Score("chain", "orders", "mlforecast", note="failed: no memory"),
    ]
    assert told(rows).filter(pl.col("level") == "By the day")["bps"].to_list() == [1000, 900, 980]
    draw(rows, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["accuracy.png", "accuracy.svg"]
    picture = (tmp_path / "accuracy.svg").read_text()
    for name in ("weather in hindsight", "incumbent", "chain, orders", "By the day"):
        assert name in picture
    lines = markdown(rows).splitlines()
    assert lines[2].startswith("| chain, orders | daypart | 2,000 | 1,000 | +500 | -20 |")
    assert "failed: no memory" in lines[5]
    assert len({line.count("|") for line in lines}) == 1


def test_hindsight_is_told_apart_from_what_issues_earn() -> None:
    spec = ChainSpec(stores=1, start=date(2023, 6, 5), days=150, seed=3, issues_days=90)
    all_records = ChainData.from_tables(simulate(spec).tables)
    origins = [date(2023, 10, 2), date(2023, 10, 9)]
    recipe = Recipe(rounds=20, folds=1, members=("level",))
    runs = {
        view: backtest(
            ModelTrainer(TrainingData(all_records, "orders", origins[-1]), recipe.model_copy(update={"weather": view})),
            origins,
            28,
        )[0]
        for view in get_args(WeatherView)
    }
    worth_rows = worth("chain", runs)
    assert [(row.level, row.leads) for row in worth_rows] == [
        (level, f"{first}-{last}") for level in ("hour", "day") for first, last in LEADS
    ]
    for row in worth_rows:
        assert row.issued_gain_bps == pytest.approx(row.none_wape_bps - row.issued_wape_bps, abs=1)
        assert row.flattered_bps == pytest.approx(row.observed_gain_bps - row.issued_gain_bps, abs=1)
    near = runs["issued"].filter(pl.col("lead_days") <= 2, pl.col("actual").is_not_null())
    error = sum(abs(row["actual"] - row["forecast"]) for row in near.iter_rows(named=True))
    assert worth_rows[0].issued_wape_bps == pytest.approx(1e4 * error / near["actual"].sum(), abs=1)
    assert worth("chain", {"none": runs["none"], "observed": runs["observed"]}) == []
