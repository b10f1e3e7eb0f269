"""Linear members: they find planted effects on days, bound what they say, and do not depend on the order of rows."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from daypart.forecasting.models.linear import LINEAR, Linear, fit_linear, regressor_names

FIRST = date(2024, 1, 1)


def matrix(days: int = 400, seed: int = 3, hours: int = 4) -> pl.DataFrame:
    """Days of four hours of which demand is the incumbent times the 7-day level, and last year's day to half."""
    chance = np.random.default_rng(seed)
    level, last_year = np.exp(chance.normal(0, 0.2, days)), np.exp(chance.normal(0, 0.3, days))
    base = chance.uniform(20, 60, days)
    rows = {
        "store_id": ["A"] * days,
        "origin_date": [FIRST + timedelta(days=k // 14 * 14) for k in range(days)],
        "date": [FIRST + timedelta(days=k) for k in range(days)],
        "lead_days": [k % 14 for k in range(days)],
        "incumbent": base,
        "smooth": base,
        "history_day_level_7": level,
        "history_last_year_day": last_year,
        "y": base * level * np.sqrt(last_year),
    }
    ones = ("history_day_level_3", "history_day_level_14", "history_day_level_28", "history_weekday_last",
            "history_day_trend", "history_last_2", "history_last_8")  # fmt: skip
    nulls = ("history_last_year", "history_last_year_date")
    frame = pl.DataFrame(rows).with_columns(
        *(pl.lit(1.0).alias(name) for name in ones), *(pl.lit(None, dtype=pl.Float64).alias(name) for name in nulls)
    )
    return frame.join(pl.DataFrame({"hour": range(hours)}), how="cross").sort("date", "hour")


def fitted(member: str, rows: pl.DataFrame) -> Linear:
    return fit_linear(member, rows.drop("y"), rows["y"].to_numpy())


def missed(member: Linear, rows: pl.DataFrame) -> float:
    totals = member.daily_totals(rows).join(rows.group_by("date").agg(pl.col("y").sum()), on="date")
    return float((totals["total"] - totals["y"]).abs().sum() / totals["y"].sum())


def test_planted_effects_are_found_and_last_years_day_by_the_anniversary_alone() -> None:
    train, fresh = matrix(2000), matrix(seed=4)
    by_hand = (fresh["incumbent"] - fresh["y"]).abs().sum() / fresh["y"].sum()
    linear, anniversary = (missed(fitted(member, train), fresh) for member in LINEAR)
    assert anniversary < 0.25 * by_hand
    assert anniversary < 0.6 * linear
    assert linear < by_hand


def test_the_less_history_the_less_it_departs_from_the_incumbent() -> None:
    level = regressor_names("linear").index("history_day_level_7")
    learned = [fitted("linear", matrix(days)).coefficients[level] for days in (28, 90, 400, 2000)]
    assert 0 < learned[0] < learned[1] < learned[2] < learned[3] < 1


@pytest.mark.parametrize("member", LINEAR)
def test_one_row_per_day_bounded_and_never_nan(member: str) -> None:
    wild = matrix().with_columns(y=pl.when(pl.col("date") == FIRST).then(1e9).otherwise("y"))
    odd = matrix(seed=5).with_columns(history_day_level_7=pl.lit(1e12), history_last_2=pl.lit(0.0))
    totals = fitted(member, wild).daily_totals(odd)
    assert totals.height == odd["date"].n_unique()
    assert totals["total"].is_finite().all()
    assert totals["total"].is_between(0, 4 * 60 * np.exp(1.5) + 1).all()


@pytest.mark.parametrize("member", LINEAR)
def test_a_day_without_history_departs_by_nothing_unusual(member: str) -> None:
    history_columns = [name for name in matrix().columns if name.startswith("history_")]
    blank = matrix(seed=6).with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in history_columns)
    totals = fitted(member, matrix()).daily_totals(blank)
    by_hand = blank.group_by("date", maintain_order=True).agg(pl.col("incumbent").sum())["incumbent"]
    assert (totals["total"] / by_hand).is_between(0.7, 1.4).all()


@pytest.mark.parametrize("member", LINEAR)
def test_it_goes_to_json_and_back_and_explains_itself(member: str) -> None:
    linear_member = fitted(member, matrix())
    assert Linear.from_dict(linear_member.to_dict()) == linear_member
    gains = linear_member.importance()
    assert gains["feature"].to_list() == regressor_names(member)
    assert gains["gain_share"].sum() == pytest.approx(1.0)
