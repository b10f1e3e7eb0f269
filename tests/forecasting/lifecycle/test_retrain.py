"""When to train again, and the reason given."""

import math
from datetime import date, timedelta
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import t as student_t

from daypart.forecasting.lifecycle.policy import NEVER, WEEKLY, Policy
from daypart.forecasting.lifecycle.retrain import Decision, RetrainEvidence, decide
from daypart.forecasting.metrics import persistent_error
from daypart.forecasting.metrics.expected_accuracy import PRIOR_WEEKS, ExpectedAccuracy

ON = date(2025, 9, 1)
STORES, WEEKS, OPEN = 48, 12, range(7, 21)
LONG_AGO = [ON - timedelta(days=200)]


def published(seed: int, stores: int = STORES, days: int = 7, on: date = ON, wrong: float = 0.0, share: float = 0.3,
              hard: float = 0.0, level: float = 0.0) -> pl.DataFrame:  # fmt: skip
    """Hours of a chain beside forecasts that err by luck alone, or by what is planted.

    `wrong`: spread of the steady error in hours of a share of stores; `hard`: of whole days, common to all;
    `level`: by how much all demand is above its forecast.
    """
    rng, hours = np.random.default_rng(seed), len(OPEN)
    mean = rng.lognormal(2.6, 0.4, (stores, 1, 1)) * rng.uniform(0.5, 1.5, (1, 1, hours))
    shape = wrong * rng.standard_normal((stores, 1, hours)) * (np.arange(stores) < share * stores)[:, None, None]
    common = hard * rng.standard_normal((1, days, 1))
    true = mean * np.exp(shape - shape**2 / 2 + common + level + 0.05 * rng.standard_normal((stores, days, hours)))
    actual = rng.poisson(true)
    by_hand = np.maximum(mean * np.exp(shape + 0.2 * rng.standard_normal((stores, days, hours))), 0.0)
    dates = [on - timedelta(days=days - k) for k in range(days)]
    grid = [(f"S{s:03d}", day, hour) for s in range(stores) for day in dates for hour in OPEN]
    frame = pl.DataFrame(grid, ["store_id", "date", "hour"], orient="row")
    return frame.with_columns(
        unit=pl.lit("orders"), origin_date=pl.col("date"), lead_days=pl.lit(0),
        hour_local=pl.col("date").cast(pl.Datetime("us")) + pl.duration(hours="hour"), business_date="date",
        forecast=pl.Series(np.broadcast_to(mean, actual.shape).ravel()),
        incumbent=pl.Series(by_hand.ravel()), actual=pl.Series(actual.ravel().astype(float)),
    )  # fmt: skip


def weeks_of(rows: pl.DataFrame, on: date = ON) -> pl.DataFrame:
    return persistent_error.store_weeks(rows.lazy(), on)


def promised(seed: int, **options: Any) -> ExpectedAccuracy:
    fitted_promise = ExpectedAccuracy.from_predictions(
        published(seed, days=7 * WEEKS, **options).with_columns(y="actual")
    )
    assert fitted_promise is not None
    return fitted_promise


@pytest.fixture(scope="module")
def promise() -> ExpectedAccuracy:
    return promised(1, hard=0.02)


def decision_on(rows: pl.DataFrame, promise: ExpectedAccuracy, policy: Policy | None = None) -> Decision:
    return decide(RetrainEvidence(weeks_of(rows), stores=STORES), promise, policy or Policy(), ON, LONG_AGO)


def test_noise_is_not_decay(promise: ExpectedAccuracy) -> None:
    decisions = [decision_on(published(seed, hard=0.02), promise) for seed in range(100, 160)]
    assert sum(result.retrain for result in decisions) <= 1, [result.reason for result in decisions if result.retrain]


def test_hard_days_are_not_decay(promise: ExpectedAccuracy) -> None:
    assert not any(decision_on(published(seed, hard=0.08), promise).retrain for seed in range(20))


def test_a_steady_error_in_a_third_of_the_stores_is(promise: ExpectedAccuracy) -> None:
    rows = [published(seed, wrong=0.12) for seed in range(20)]
    decisions = [decision_on(frame, promise) for frame in rows]
    assert sum(decision.retrain for decision in decisions) >= 19
    assert {decision.cause for decision in decisions if decision.retrain} <= {"steady misses", "slip"}
    losses_bps = [decision.figures["steady_bps"] for decision in decisions]
    exact = [_loss_bps(seed) for seed in range(20)]
    assert np.mean(losses_bps) == pytest.approx(np.mean(exact), rel=0.25), "it is the loss in basis points"


def _loss_bps(seed: int) -> float:
    """What the planted error costs: the error of these forecasts less that of forecasts that know of it."""
    wrong, right = published(seed, wrong=0.12), published(seed)
    total = wrong["actual"].sum()
    return 1e4 * float((_errors(wrong) - _errors(right)) / total)


def _errors(rows: pl.DataFrame) -> float:
    return float((rows["actual"] - rows["forecast"]).abs().sum())


def test_a_model_that_errs_everywhere_has_slipped(promise: ExpectedAccuracy) -> None:
    """What returns to no hour is a slip: every hour errs by more than was promised."""
    rows = published(7)
    noise = np.random.default_rng(3).lognormal(0.0, 0.45, rows.height)
    decision = decision_on(rows.with_columns(forecast=pl.col("forecast") * noise), promise)
    assert (decision.retrain, decision.cause) == (True, "slip")
    assert decision.figures["slip_low_bps"] > 0
    assert "beyond what was promised for weeks as hard" in decision.reason


def spoiled(seed: int, weeks: range, days: int = 56) -> pl.DataFrame:
    """Weeks of forecasts that miss whole days, alike in all stores and hours, in the weeks numbered back from ON."""
    rng, rows = np.random.default_rng(seed), published(seed, days=days, hard=0.02)
    dates = rows["date"].unique().sort()
    factor = np.exp(0.2 * rng.standard_normal(len(dates)))
    factors = pl.DataFrame({"date": dates, "factor": factor})
    back = (pl.lit(ON) - pl.col("date")).dt.total_days().sub(1) // 7
    missed = pl.when(back.is_in(list(weeks))).then(pl.col("forecast") * pl.col("factor")).otherwise("forecast")
    return rows.join(factors, on="date", maintain_order="left").with_columns(forecast=missed).drop("factor")


def test_whole_days_missed_for_weeks_are_a_lasting_slip_and_two_such_weeks_are_not(promise: ExpectedAccuracy) -> None:
    lasting = decision_on(spoiled(2, range(8)), promise)
    assert (lasting.retrain, lasting.cause) == (True, "lasting slip")
    assert lasting.figures["lasting_slip_bps"] > lasting.figures["lasting_slip_low_bps"] > 0
    two = decision_on(spoiled(2, range(2)), promise)
    assert (two.retrain, two.cause) == (False, "none")
    assert abs(two.figures["lasting_slip_bps"]) < 0.2 * lasting.figures["lasting_slip_bps"]


@pytest.mark.parametrize(("days", "is_judged"), [(35, False), (42, True), (56, True)])
def test_a_lasting_slip_is_told_of_six_weeks_or_more(promise: ExpectedAccuracy, days: int, is_judged: bool) -> None:
    decision = decision_on(spoiled(3, range(8), days), promise)
    assert ("lasting_slip_bps" in decision.figures) == is_judged
    assert (decision.cause == "lasting slip") == is_judged


def bound(slips: list[float], volumes: list[float], se: float, sd: float, promise: ExpectedAccuracy) -> float:
    """The lower bound of the median of weeks' slips, or of one figure of all its weeks, by the formulas one by one."""
    strays = [(se**2 * (1 + promise.volume / volume), sd**2 * (1 + 1 / promise.weeks)) for volume in volumes]
    luck, common = strays[0]
    freedom = (luck + common) ** 2 / (luck**2 / 60 + common**2 / (promise.weeks - 1 + PRIOR_WEEKS))
    of_median = math.pi / 2 if len(slips) > 1 else 1.0
    variance = of_median * sum(luck + common for luck, common in strays) / len(slips) ** 2
    return median(slips) - float(student_t.ppf(Policy().confidence, freedom)) * math.sqrt(variance)


def test_slips_and_their_bounds_are_those_by_hand(promise: ExpectedAccuracy) -> None:
    weeks = weeks_of(spoiled(5, range(8)))
    figures = decide(RetrainEvidence(weeks, stores=STORES), promise, Policy(window_days=7), ON, LONG_AGO).figures
    frames = [weeks.filter(pl.col("week") == week) for week in range(8)]
    volumes = [float(week["actual"].sum()) for week in frames]
    lasting = [
        1e4 * promise.total.excess(week, "").sum() / volume for week, volume in zip(frames, volumes, strict=True)
    ]
    own_slips = [1e4 * promise.store.excess(frames[0], "own_").sum() / volumes[0]]
    steady = [1e4 * frames[0]["steady"].sum() / volumes[0] - promise.steady_bps]
    of_whole, of_own = promise.total, promise.store
    for name, slips, se, sd in (
        ("lasting_slip", lasting, of_whole.se_bps, of_whole.week_sd_bps),
        ("slip", own_slips, of_own.se_bps, of_own.week_sd_bps),
        ("steady", steady, promise.steady_se_bps, promise.steady_week_sd_bps),
    ):
        assert figures[f"{name}_bps"] == pytest.approx(median(slips))
        assert figures[f"{name}_low_bps"] == pytest.approx(bound(slips, volumes[: len(slips)], se, sd, promise))
    assert figures["wape_bps"] == pytest.approx(1e4 * frames[0]["error"].sum() / volumes[0])
    assert figures["incumbent_wape_bps"] == pytest.approx(1e4 * frames[0]["incumbent_error"].sum() / volumes[0])


def test_weeks_beyond_the_window_may_be_told_apart_from_it(promise: ExpectedAccuracy) -> None:
    rows = spoiled(4, range(8))
    all_weeks, latest = weeks_of(rows), weeks_of(rows).filter(pl.col("week") < 4)
    errors = persistent_error.week_errors(rows.lazy(), ON)
    for weeks, lasting in ((all_weeks, None), (latest, errors)):
        decision = decide(RetrainEvidence(weeks, lasting=lasting, stores=STORES), promise, Policy(), ON, LONG_AGO)
        assert decision.figures == pytest.approx(decision_on(rows, promise).figures)


def test_a_season_of_other_volume_moves_neither(promise: ExpectedAccuracy) -> None:
    """Half the volume: errors are larger against it by chance alone, and the incumbent's too."""
    for seed in range(10):
        rows = published(seed)
        rng = np.random.default_rng(seed)
        half = rng.binomial(rows["actual"].cast(pl.Int64).to_numpy(), 0.5).astype(float)
        by_hand = rng.poisson(rows["incumbent"].to_numpy()) / 2
        thin = rows.with_columns(pl.col("forecast") / 2, actual=pl.Series(half), incumbent=pl.Series(by_hand))
        assert not decision_on(thin, promise).retrain


def test_a_small_chain_looks_further_back() -> None:
    """Two stores need four weeks for eight store-weeks."""
    promise = promised(1, stores=2)
    rows = published(3, stores=2, days=56)
    decision = decide(RetrainEvidence(weeks_of(rows), stores=2), promise, Policy(), ON, LONG_AGO)
    assert decision.figures["store_weeks"] == 8


def test_the_confidence_asked_for_moves_the_bound(promise: ExpectedAccuracy) -> None:
    rows = published(5, wrong=0.05)
    lows = [decision_on(rows, promise, Policy(confidence=c)).figures["steady_low_bps"] for c in (0.8, 0.95, 0.999)]
    assert lows == sorted(lows, reverse=True)
    assert len(set(lows)) == 3


@pytest.mark.parametrize(
    ("policy", "trained", "retrain", "text"),
    [
        (NEVER, [], False, "the policy is never to"),
        (WEEKLY, [ON - timedelta(days=7)], True, "last trained 7 days ago, every 7"),
        (WEEKLY, [ON - timedelta(days=6)], False, "last trained 6 days ago, every 7"),
        (Policy(every_days=28), [ON - timedelta(days=28)], True, "last trained 28 days ago, every 28"),
        (Policy(), [ON - timedelta(days=13)], False, "last trained 13 days ago, within the 14"),
        (Policy(), [ON - timedelta(days=20 * k) for k in range(1, 13)], False, "12 in the last year, the budget is 12"),
    ],
)
def test_what_the_policy_says_before_any_evidence(
    promise: ExpectedAccuracy, policy: Policy, trained: list[date], retrain: bool, text: str
) -> None:
    decision = decide(RetrainEvidence(weeks_of(published(1, wrong=0.5)), stores=STORES), promise, policy, ON, trained)
    assert decision.retrain is retrain
    assert text in decision.reason


def test_trainings_of_before_the_year_cost_no_budget(promise: ExpectedAccuracy) -> None:
    old = [ON - timedelta(days=365 + k) for k in range(20)]
    assert decide(RetrainEvidence(weeks_of(published(1, wrong=0.5)), stores=STORES), promise, Policy(), ON, old).retrain


def test_many_stores_at_fault_end_the_matter(promise: ExpectedAccuracy) -> None:
    weeks = weeks_of(published(1, wrong=0.5))
    decisions = [
        decide(RetrainEvidence(weeks, stores=STORES, faulty_stores=faulty), promise, Policy(), ON, LONG_AGO)
        for faulty in (2, 3)
    ]
    assert [decision.retrain for decision in decisions] == [True, False]
    assert decisions[1].cause == "data fault"
    assert "data fault in 3 of 48 stores" in decisions[1].reason


def test_a_champion_that_promised_nothing_is_trained_again() -> None:
    decision = decide(RetrainEvidence(weeks_of(published(1)), stores=STORES), None, Policy(), ON, LONG_AGO)
    assert (decision.retrain, decision.cause) == (True, "no promise")


def test_without_evidence_nothing_is_done(promise: ExpectedAccuracy) -> None:
    decision = decide(RetrainEvidence(weeks_of(published(1).clear()), stores=STORES), promise, Policy(), ON, LONG_AGO)
    assert not decision.retrain
    assert decision.reason == "no retrain: 0 whole store-weeks of published hours have actuals; 2 needed"


def test_weeks_in_which_nothing_was_sold_are_no_evidence(promise: ExpectedAccuracy) -> None:
    weeks, idle = weeks_of(published(1)), pl.col("actual") * 0.0
    decision = decide(RetrainEvidence(weeks.with_columns(actual=idle), stores=STORES), promise, Policy(), ON, LONG_AGO)
    assert not decision.retrain
    assert decision.reason.startswith("no retrain: nothing was sold in the ")
    longer = pl.concat([weeks, weeks.with_columns(actual=idle, week=pl.lit(5, weeks.schema["week"]))])
    kept = decide(RetrainEvidence(weeks, longer, STORES), promise, Policy(), ON, LONG_AGO)
    assert kept == decide(
        RetrainEvidence(weeks, longer.filter(pl.col("week") != 5), STORES), promise, Policy(), ON, LONG_AGO
    )


def test_the_order_of_rows_changes_no_bit(promise: ExpectedAccuracy) -> None:
    rows = published(2, wrong=0.1)
    assert decision_on(rows, promise) == decision_on(rows.sample(fraction=1.0, shuffle=True, seed=1), promise)


def test_a_promise_is_kept_with_the_models_figures(promise: ExpectedAccuracy) -> None:
    assert ExpectedAccuracy.from_figures({**promise.figures(), "rows": 3.0}) == promise
    assert ExpectedAccuracy.from_figures({"rows": 3.0}) is None


def test_steady_misses_by_hand() -> None:
    """One store, one hour beside a steady one, against products of pairs taken one by one."""
    rows = published(4, stores=3, days=7)
    weeks = weeks_of(rows)
    for store, week in weeks.rows_by_key("store_id", named=True).items():
        store_rows = rows.filter(pl.col("store_id") == store)
        assert week[0]["steady"] == pytest.approx(_steady(store_rows), rel=1e-9)


def _steady(rows: pl.DataFrame) -> float:
    miss: dict[tuple[date, int], float] = {}
    for day in rows["date"].unique():
        hours = rows.filter(pl.col("date") == day).to_dicts()
        ratio = sum(h["actual"] for h in hours) / sum(h["forecast"] for h in hours)
        for h in hours:
            miss[day, h["hour"]] = (h["actual"] - h["forecast"] * ratio) / h["forecast"] ** 0.5
    bound = persistent_error.MAX_MISS_SPREADS * 1.4826 * float(np.median(np.abs(list(miss.values()))))
    miss = {key: float(np.clip(value, -bound, bound)) for key, value in miss.items()}
    loss = 0.0
    for hour in OPEN:
        hour_misses = [value for (_, h), value in miss.items() if h == hour]
        pairs = [a * b for i, a in enumerate(hour_misses) for j, b in enumerate(hour_misses) if i != j]
        loss += np.mean(pairs) * rows.filter(pl.col("hour") == hour)["forecast"].sqrt().sum()
    variance = np.mean([value**2 for value in miss.values()])
    return float(loss / np.sqrt(2 * np.pi * variance))
