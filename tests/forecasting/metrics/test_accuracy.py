import json
import math
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from daypart.features.dayparts import daypart
from daypart.features.errors import InputError, SchemaError
from daypart.forecasting.metrics.accuracy import SCORED_CELL_KEYS, Level, band_score, deviation, score, wape_bps

START = date(2025, 3, 3)
Row = dict[str, Any]


def midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def backtest(seed: int, stores: int = 3, origins: int = 2, target: str = "orders") -> pl.DataFrame:
    """A random backtest frame with closed days, unknown incumbents, an oracle and trade after midnight."""
    random = np.random.default_rng(seed)
    first = [START + timedelta(days=7 * step) for step in range(origins)]
    frame = (
        pl.DataFrame({"store_id": [f"s{number}" for number in range(stores)]})
        .join(pl.DataFrame({"origin_date": first}), how="cross")
        .join(pl.DataFrame({"lead_days": range(14)}), how="cross")
        .join(pl.DataFrame({"hour": range(24)}), how="cross")
        .with_columns(
            hour_local=pl.col("origin_date").cast(pl.Datetime("us")) + pl.duration(days="lead_days", hours="hour")
        )
        .with_columns(
            target=pl.lit(target),
            hour_utc=pl.col("hour_local") - pl.duration(hours=2),
            business_date=(pl.col("hour_local") - pl.duration(hours=4)).dt.date(),
            daypart=daypart(pl.col("hour")),
            tier=pl.lit("a"),
            model_version=pl.lit("1"),
        )
    )
    # What came is a fact of the store's hour, whatever the origin that speaks of it.
    days = 14 + 7 * (origins - 1)
    rate = 12.0 * np.exp(-((np.arange(24) - 11.0) ** 2) / 18.0)
    demand = random.poisson(np.broadcast_to(rate, (stores, days, 24))).astype(float)
    demand[random.random((stores, days)) < 0.15] = np.nan
    at = frame.with_columns(
        store=pl.col("store_id").rank("dense") - 1,
        day=(pl.col("hour_local").dt.date() - pl.lit(START)).dt.total_days(),
    )
    size = frame.height
    expected = rate[at["hour"].to_numpy()] * random.uniform(0.7, 1.4, size)
    incumbent = rate[at["hour"].to_numpy()] * random.uniform(0.5, 1.6, size)
    frame = frame.with_columns(
        actual=pl.Series(demand[at["store"].to_numpy(), at["day"].to_numpy(), at["hour"].to_numpy()]).fill_nan(None),
        forecast=pl.Series(expected),
        q10=pl.Series(np.floor(expected * 0.6)),
        q50=pl.Series(np.floor(expected)),
        q90=pl.Series(np.floor(expected * 1.4)),
        incumbent=pl.Series(np.where(random.random(size) < 0.1, np.nan, incumbent)).fill_nan(None),
        oracle=pl.Series(rate[at["hour"].to_numpy()]),
        unit_value=pl.Series(np.where(at["store"].to_numpy() == 0, 1.0, 2.5)),
    )
    return frame.sample(fraction=1.0, shuffle=True, seed=seed).drop("hour")


def slow(frame: pl.DataFrame, level: Level, by: tuple[str, ...]) -> dict[tuple[Any, ...], Row]:
    """The same figures with dictionaries and loops, from the definitions."""
    cells: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in frame.iter_rows(named=True):
        row["date"] = row["business_date"]
        if row["actual"] is not None and not (level == "daypart" and row["daypart"] is None):
            group = tuple(row[name] for name in by)
            cells[(group, *(row[name] for name in SCORED_CELL_KEYS[level]))].append(row)
    groups: dict[tuple[Any, ...], list[list[Row]]] = defaultdict(list)
    for key, rows in cells.items():
        groups[key[0]].append(rows)
    return {group: _slow_figures(members, level) for group, members in groups.items()}


def _slow_figures(cells: list[list[Row]], level: Level) -> Row:
    def total(rows: list[Row], name: str) -> float:
        return sum(row[name] or 0.0 for row in rows)

    def wape(error: Callable[[list[Row]], float]) -> float:
        return 10_000 * sum(error(rows) for rows in cells) / sum(total(rows, "actual") for rows in cells)

    def floor(rows: list[Row]) -> float:
        unit = 1.0 if rows[0]["target"] == "orders" else rows[0]["unit_value"]
        mean = total(rows, "forecast") / unit
        counts = np.arange(0, int(mean + 40 * math.sqrt(mean) + 40))
        return float(unit * (poisson.pmf(counts, mean) * abs(counts - poisson.median(mean))).sum())

    banded = [row for rows in cells for row in rows if row["q90"] > 0]
    figures: Row = {"cells": len(cells), "actual": sum(total(rows, "actual") for rows in cells)}
    for name, figure in (
        ("forecast", "accuracy_bps"),
        ("incumbent", "incumbent_bps"),
        ("oracle", "oracle_bps"),
    ):
        figures[figure] = 10_000 - wape(lambda rows, name=name: abs(total(rows, name) - total(rows, "actual")))
    figures["gain_bps"] = figures["accuracy_bps"] - figures["incumbent_bps"]
    figures["floor_bps"] = wape(floor)
    figures["floor_accuracy_bps"] = 10_000 - figures["floor_bps"]
    figures["bias_bps"] = wape(lambda rows: total(rows, "forecast") - total(rows, "actual"))
    covered = [row["q10"] <= row["actual"] <= row["q90"] for row in banded]
    if level == "hour":
        figures["coverage"] = sum(covered) / len(covered)
    return figures


@pytest.mark.parametrize("target", ["orders", "sales"])
@pytest.mark.parametrize("by", [(), ("store_id",), ("daypart", "lead_days")])
@pytest.mark.parametrize("level", ["hour", "daypart", "day"])
def test_figures_are_those_of_a_slow_loop(level: Level, by: tuple[str, ...], target: str) -> None:
    frame = backtest(7, stores=2, origins=1, target=target)
    expected = slow(frame, level, by)
    scored = score(frame, level, by)
    assert scored.height == len(expected)
    for row in scored.iter_rows(named=True):
        figures = {name: value for name, value in row.items() if name not in by}
        if level != "hour":
            assert figures.pop("coverage") is None
        assert figures == pytest.approx(expected[tuple(row[name] for name in by)], rel=1e-9, abs=1e-6)


def test_groups_come_sorted_and_rows_in_any_order_give_the_same_bits() -> None:
    frame = backtest(3, stores=8, origins=6)
    scored = score(frame, "day", ["store_id", "lead_days"])
    assert scored.equals(scored.sort("store_id", "lead_days"))
    assert scored.equals(score(frame.sample(fraction=1.0, shuffle=True, seed=9), "day", ["store_id", "lead_days"]))
    hourly = score(frame, "hour")
    assert all(hourly.equals(score(frame.sample(fraction=1.0, shuffle=True, seed=s), "hour")) for s in range(5))


@pytest.mark.parametrize("seed", [1, 2])
def test_agrees_with_the_independent_judge_to_the_basis_point(seed: int, tmp_path: Path, real_data: Path) -> None:
    judge = real_data.parent / "judge.py"
    if not judge.is_file():
        pytest.skip(f"no judge at {judge}")
    demand = _demand(seed)
    frame = _backtest_of(seed, demand)
    frame.drop("actual").write_parquet(tmp_path / "backtest.parquet")
    demand.filter(pl.col("orders") > 0).with_columns(
        hour_local=pl.col("hour_local").dt.strftime("%Y-%m-%d %H:%M:%S")
    ).write_csv(tmp_path / "demand.csv")
    end = demand["hour_local"].max().date()  # type: ignore[union-attr]
    arguments = [tmp_path / "backtest.parquet", tmp_path / "demand.csv", "orders", START, end]
    ran = subprocess.run([sys.executable, judge, *map(str, arguments)], capture_output=True, text=True, check=True)
    verdict = json.loads(ran.stdout)
    assert verdict["missing"] == 0
    for level in SCORED_CELL_KEYS:
        figures = score(frame, level).row(0, named=True)
        assert round(10_000 - figures["accuracy_bps"]) == verdict[level]
        assert round(figures["gain_bps"]) == verdict[f"gain_{level}"]
    hourly = score(frame, "hour").row(0, named=True)
    assert round(hourly["bias_bps"]) == verdict["bias"]
    assert round(hourly["coverage"], 3) == verdict["cover80"]
    weeks = score(frame.with_columns(week=pl.col("lead_days") // 7 + 1), "hour", ["week"])
    for week, accuracy in weeks.select("week", "accuracy_bps").iter_rows():
        assert round(10_000 - accuracy) == verdict[f"hour_w{week}"]


def _demand(seed: int, stores: int = 3, before: int = 21, days: int = 28) -> pl.DataFrame:
    """Every hour of stores with rare opening days, so that the judge knows no incumbent for some of them."""
    random = np.random.default_rng(seed)
    orders = random.poisson(4.0, (stores, before + days, 24)).astype(float)
    orders[random.random(orders.shape[:2]) < 0.6] = 0.0
    orders[:, :, :6] *= random.random((stores, before + days, 6)) < 0.1
    first = midnight(START) - timedelta(days=before)
    hours = [first + timedelta(hours=hour) for hour in range(24 * (before + days))]
    frames = [
        pl.DataFrame({"hour_local": hours, "orders": orders[store].ravel()}).with_columns(store_id=pl.lit(f"s{store}"))
        for store in range(stores)
    ]
    return pl.concat(frames).select("store_id", "hour_local", "orders")


def _backtest_of(seed: int, demand: pl.DataFrame) -> pl.DataFrame:
    """A backtest frame over that demand: the incumbent by loops, the forecast at random."""
    hourly_orders = {(store, hour): orders for store, hour, orders in demand.iter_rows()}
    opened = {(store, hour.date()) for (store, hour), orders in hourly_orders.items() if orders > 0}
    random = np.random.default_rng(seed + 100)
    rows: list[Row] = []
    for store in ("s0", "s1", "s2"):
        for origin in (START, START + timedelta(days=7), START + timedelta(days=14)):
            for lead in range(14):
                day = origin + timedelta(days=lead)
                past = [day - timedelta(days=7 * back) for back in range(1 + lead // 7, 12)]
                past = [one for one in past if (store, one) in opened][:4]
                for hour in range(24):
                    local = midnight(day) + timedelta(hours=hour)
                    values = [hourly_orders[store, midnight(one) + timedelta(hours=hour)] for one in past]
                    forecast = float(random.gamma(4.0))
                    rows.append(
                        {
                            "store_id": store,
                            "target": "orders",
                            "origin_date": origin,
                            "lead_days": lead,
                            "hour_local": local,
                            "hour_utc": local,
                            "forecast": forecast,
                            "q10": forecast // 2,
                            "q90": forecast // 1 * 2,
                            "incumbent": sum(values) / len(values) if values else None,
                            "actual": hourly_orders[store, local] if (store, day) in opened else None,
                        }
                    )
    return pl.DataFrame(rows).with_columns(daypart=daypart(pl.col("hour_local").dt.hour()))


@given(st.floats(min_value=1e-6, max_value=3_000.0))
def test_deviation_is_the_least_that_any_point_forecast_can_reach(mean: float) -> None:
    counts = np.arange(0, int(mean + 40 * math.sqrt(mean) + 40))
    chances = poisson.pmf(counts, mean)
    reachable = [float((chances * abs(counts - point)).sum()) for point in (mean, poisson.median(mean), round(mean))]
    assert float(deviation(mean)) == pytest.approx(reachable[1], rel=1e-7)
    assert float(deviation(mean)) <= min(reachable) * (1 + 1e-7)


def test_deviation_at_whole_means_is_crows_formula() -> None:
    means = np.array([1.0, 2.0, 7.0, 30.0])
    crow = [2 * math.exp(-m) * m ** (math.floor(m) + 1) / math.factorial(math.floor(m)) for m in means]
    assert deviation(means) == pytest.approx(crow)
    assert deviation([0.0, -1.0]).tolist() == [0.0, 0.0]
    assert float(deviation(1e8)) == pytest.approx(math.sqrt(2e8 / math.pi), rel=1e-6)


def test_floor_of_money_needs_the_value_of_a_ticket() -> None:
    frame = backtest(5, stores=2, target="sales")
    priced_frame = frame.with_columns(unit_value=pl.when(pl.col("store_id") == "s0").then(2.5))
    by_store = score(priced_frame, "hour", ["store_id"])
    assert by_store["floor_bps"][0] is not None
    assert by_store["floor_bps"][1] is None
    assert by_store["floor_accuracy_bps"][1] is None
    assert score(priced_frame, "hour")["floor_bps"].item() == pytest.approx(by_store["floor_bps"][0])
    assert score(frame.drop("unit_value"), "hour")["floor_bps"].item() is None
    dearer = frame.with_columns(unit_value=pl.lit(5.0))
    cheaper = frame.with_columns(unit_value=pl.lit(1.0))
    assert score(dearer, "hour")["floor_bps"].item() > score(cheaper, "hour")["floor_bps"].item()


def test_nothing_sold_has_no_accuracy() -> None:
    figures = score(backtest(2).with_columns(actual=pl.lit(0.0)), "day").row(0, named=True)
    assert figures["cells"] > 0
    assert figures["actual"] == 0.0
    figure_names = ("accuracy_bps", "incumbent_bps", "gain_bps", "floor_bps", "oracle_bps", "bias_bps")
    assert [figures[name] for name in figure_names] == [None] * 6


def test_nothing_scored_gives_an_empty_row_or_none() -> None:
    frame = backtest(2).with_columns(actual=pl.lit(None, dtype=pl.Float64))
    assert score(frame, "hour").select("cells", "actual", "accuracy_bps").rows() == [(0, 0.0, None)]
    assert score(frame, "day", ["store_id"]).height == 0


def test_oracle_is_scored_where_it_is_known() -> None:
    frame = backtest(4)
    assert "oracle_bps" not in score(frame.drop("oracle"), "day").columns
    oracle_frame = frame.with_columns(oracle=pl.when(pl.col("store_id") == "s1").then(pl.col("oracle")))
    by_store = score(oracle_frame, "day", ["store_id"])
    assert [value is None for value in by_store["oracle_bps"]] == [True, False, True]
    assert score(oracle_frame, "day")["oracle_bps"].item() == pytest.approx(by_store["oracle_bps"][1])


def test_what_cannot_be_scored_is_refused() -> None:
    frame = backtest(1)
    with pytest.raises(SchemaError, match="no incumbent"):
        score(frame.drop("incumbent"), "hour")
    blank = frame.with_columns(forecast=pl.when(pl.col("lead_days") > 0).then(pl.col("forecast")))
    with pytest.raises(InputError, match="scored hours have no forecast"):
        score(blank, "hour")
    both = pl.concat([frame, frame.with_columns(target=pl.lit("sales"))])
    with pytest.raises(InputError, match="orders, sales have different units"):
        score(both, "hour")
    assert score(both, "hour", ["target"])["cells"].n_unique() == 1


@given(seed=st.integers(0, 1000), cut=st.integers(1, 199))
def test_wape_is_the_same_bits_in_any_order_and_any_chunks(seed: int, cut: int) -> None:
    generator = np.random.default_rng(seed)
    rows = pl.DataFrame({"y": generator.gamma(1.0, 9.0, 200).round(2), "forecast": generator.gamma(1.0, 9.0, 200)})
    mixed = rows.sample(fraction=1.0, shuffle=True, seed=seed)
    wape = wape_bps(rows, "forecast")
    assert wape == wape_bps(pl.concat([mixed[:cut], mixed[cut:]], rechunk=False), "forecast")
    assert wape == pytest.approx(1e4 * np.abs(rows["y"] - rows["forecast"]).sum() / rows["y"].sum(), rel=1e-6)


@pytest.mark.parametrize("by", [(), ("store_id",), ("target", "lead_days")])
def test_bands_are_scored_as_loops_would(by: tuple[str, ...]) -> None:
    frame = backtest(6).with_columns(q50="forecast")
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in frame.to_dicts():
        if row["actual"] is not None:
            groups[tuple(row[name] for name in by)].append(row)
    scores = {tuple(row[name] for name in by): row for row in band_score(frame, by).to_dicts()}
    assert set(scores) == set(groups)
    for key, rows in groups.items():
        volume = sum(row["actual"] for row in rows)
        shown = [row["q10"] <= row["actual"] <= row["q90"] for row in rows if row["q90"] > 0]
        assert scores[key]["cells"] == len(rows)
        assert scores[key]["coverage"] == pytest.approx(sum(shown) / len(shown))
        for percent in (10, 50, 90):
            loss = 0.0
            for row in rows:
                miss = row["actual"] - row[f"q{percent}"]
                loss += miss * percent / 100 if miss > 0 else -miss * (1 - percent / 100)
            assert scores[key][f"pinball_{percent}_bps"] == pytest.approx(1e4 * loss / volume)


def test_the_true_quantile_loses_least() -> None:
    actuals = pl.DataFrame({"actual": np.random.default_rng(1).poisson(10.0, 5000).astype(float)})
    for percent in (10, 50, 90):
        loss = {}
        for guess in range(5, 20):
            banded = actuals.with_columns(pl.lit(float(guess)).alias(name) for name in ("q10", "q50", "q90"))
            loss[guess] = band_score(banded)[f"pinball_{percent}_bps"].item()
        assert min(loss, key=loss.__getitem__) == poisson(10.0).ppf(percent / 100)


def test_nothing_sold_has_no_pinball() -> None:
    frame = backtest(2).with_columns(actual=pl.lit(0.0), q50="forecast")
    assert band_score(frame)["pinball_90_bps"].item() is None
