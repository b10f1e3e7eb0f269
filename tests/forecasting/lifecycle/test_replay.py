"""Policies are compared on nights that see nothing of what comes after them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from itertools import count

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.chain_data import ChainData
from daypart.features.simulator import ChainSpec, simulate
from daypart.forecasting.lifecycle import training_cost
from daypart.forecasting.lifecycle.policy import NEVER, TRIGGERED, Policy
from daypart.forecasting.lifecycle.replay import ReplayPlan, ReplayResult, replay
from daypart.forecasting.lifecycle.training_cost import MeteredTrainer
from daypart.forecasting.metrics.accuracy import Level, score
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest, rolling_origins

SPEC = ChainSpec(stores=4, days=150, seed=3, issues_days=60)
END = SPEC.end - timedelta(days=1)
START = END - timedelta(days=29)
BREAK = START + timedelta(days=8)
RECIPE = Recipe(rounds=3, max_rows=2000, folds=1)
ANYTHING = {"gain_bps": -1e6, "worse_bps": 1e6, "bias_bps": 1e6, "coverage_low": 0.0, "coverage_high": 1.0}
POLICIES = {
    "never": NEVER,
    "weekly": Policy(retrain="scheduled", every_days=7, **ANYTHING),
    "refused": Policy(retrain="scheduled", every_days=7, gain_bps=1e6),
    "triggered": TRIGGERED.model_copy(update={"cooldown_days": 7, **ANYTHING}),
}


@cache
def chain() -> ChainData:
    """From BREAK on all stores trade less in the morning and more in the afternoon."""
    records = ChainData.from_tables(simulate(SPEC).tables)
    moved = pl.when(pl.col("hour_local").dt.hour() < 12).then(0.7).otherwise(1.25)
    other = pl.when(pl.col("hour_local") >= BREAK).then((pl.col("orders") * moved).round()).otherwise("orders")
    return replace(records, demand=records.demand.with_columns(other.alias("orders")))


def replayed(records: ChainData, *names: str) -> ReplayResult:
    policies = {name: POLICIES[name] for name in names}
    return replay(records, "orders", RECIPE, ReplayPlan(policies, START, END, every_days=2))


@cache
def full_replay() -> ReplayResult:
    return replayed(chain(), *POLICIES)


def without_seconds(nights: pl.DataFrame) -> pl.DataFrame:
    return nights.drop("cpu_seconds")


def nights_under(policy: str) -> pl.DataFrame:
    return full_replay().nights.filter(pl.col("policy") == policy)


def test_a_night_knows_nothing_of_what_comes_after_it() -> None:
    names, night = ("weekly", "triggered"), START + timedelta(days=22)
    later = pl.col("hour_local") >= night
    other = chain().demand.with_columns(orders=pl.when(later).then(pl.col("orders") * 3 + 1).otherwise("orders"))
    changed = replayed(replace(chain(), demand=other.filter(~later | (pl.col("store_id") != "S0003"))), *names)
    before, known_dates = pl.col("night") <= night, pl.col("date") < night
    chosen_policies = pl.col("policy").is_in(names)
    for name in names:
        assert nights_under(name).filter(before)["retrained"].any()
    assert_frame_equal(
        without_seconds(changed.nights.filter(before)),
        without_seconds(full_replay().nights.filter(chosen_policies, before)),
    )
    assert_frame_equal(changed.errors.filter(known_dates), full_replay().errors.filter(chosen_policies, known_dates))
    assert not changed.errors.equals(full_replay().errors.filter(chosen_policies))


def test_the_same_records_are_lived_alike_beside_any_other_policy() -> None:
    alone = replayed(chain(), "triggered")
    assert_frame_equal(without_seconds(alone.nights), without_seconds(nights_under("triggered")))
    assert_frame_equal(alone.errors, full_replay().errors.filter(pl.col("policy") == "triggered"))


def test_never_is_a_backtest_that_trains_once() -> None:
    origins = rolling_origins(START, END, 2, RECIPE.horizon_days)
    rows, models = backtest(ModelTrainer(TrainingData(chain().until(END), "orders", origins[-1]), RECIPE), origins, 365)
    assert len(models) == 1
    never = full_replay().errors.filter(pl.col("policy") == "never", pl.col("night").is_in(origins))
    summary = ReplayResult(nights_under("never"), never).summary().row(0, named=True)
    levels: tuple[Level, ...] = ("hour", "day")
    for level in levels:
        theirs = score(rows, level).row(0, named=True)
        assert summary[f"accuracy_{level}_bps"] == pytest.approx(theirs["accuracy_bps"], abs=1e-4)
        assert summary[f"gain_{level}_bps"] == pytest.approx(theirs["gain_bps"], abs=1e-4)
    assert not nights_under("never")["retrained"].any()


def test_a_schedule_retrains_by_age_and_what_is_promoted_serves_from_the_next_night() -> None:
    weekly = nights_under("weekly")
    nights = [START + timedelta(days=step) for step in (8, 16, 24)]
    assert weekly.filter("retrained")["night"].to_list() == nights
    assert set(weekly.filter("promoted")["night"]) <= set(nights)
    assert weekly["promoted"].any()
    champion = START
    for row in weekly.iter_rows(named=True):
        assert row["champion"] == champion
        champion = row["night"] if row["promoted"] else champion


def test_a_challenger_serves_only_through_the_gate() -> None:
    refused = nights_under("refused")
    assert refused["retrained"].sum() == 3
    assert refused.filter("retrained")["verdict"].is_not_null().all()
    assert not refused["promoted"].any()
    never, same = (
        full_replay().errors.filter(pl.col("policy") == name).drop("policy") for name in ("never", "refused")
    )
    assert_frame_equal(same, never)
    assert refused["cpu_seconds"].sum() > nights_under("never")["cpu_seconds"].sum()


def test_evidence_triggers_a_retrain_once_the_break_is_seen() -> None:
    retrained = nights_under("triggered").filter("retrained")
    assert retrained["night"].to_list()[0] > BREAK
    assert retrained["reason"].str.contains("bps lost").all()


def test_weeks_add_up_to_the_whole() -> None:
    weekly = full_replay().weekly()
    assert weekly["week"].dt.weekday().unique().to_list() == [1]
    for policy, bps in full_replay().summary().select("policy", "accuracy_day_bps").iter_rows():
        policy_errors = full_replay().errors.filter(pl.col("policy") == policy)
        volume = policy_errors.group_by(week=pl.col("date").dt.truncate("1w")).agg(pl.col("actual").sum())
        rows = weekly.filter(pl.col("policy") == policy).join(volume, on="week")
        mean = (rows["accuracy_day_bps"] * rows["actual"]).sum() / rows["actual"].sum()
        assert mean == pytest.approx(bps)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A processor clock that moves by a second whenever it is read."""
    clock = count()
    monkeypatch.setattr(training_cost.time, "process_time", lambda: float(next(clock)))
    return clock


@pytest.mark.usefixtures("ticking")
def test_a_job_is_charged_what_others_had_made_for_it() -> None:
    shop = MeteredTrainer(TrainingData(chain(), "orders", END), RECIPE)
    first, alone = shop.run(START, partial(shop.train, START))
    second, shared = shop.run(START, partial(shop.train, START))
    assert second is first
    # A fit of its own, of one fold, its evidence and the rest: each took a second, and so did the states at most.
    share = (START - shop.first).days / (END - shop.first).days
    assert (alone, shared) == (pytest.approx(4 + 1 + 4 + share), pytest.approx(4 + 1 + share))
    fold = START - timedelta(days=RECIPE.fold_days)
    both = shop.run(START, lambda: (shop.train(START), shop.train(fold)))[1]
    assert both > shared
