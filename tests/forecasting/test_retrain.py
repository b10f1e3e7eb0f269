"""When to train again, and the reason given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.retrain import LEAST_HOURS, SLIP_BPS, decide

PROMISED = {"rolling_model_wape_bps": 1500.0, "rolling_incumbent_wape_bps": 1800.0}
wapes = st.floats(0, 20_000)


@given(wapes, wapes, wapes, wapes, st.integers(LEAST_HOURS, 10**6))
def test_retrains_where_the_error_grew_beyond_the_incumbents_own(
    now: float, by_hand: float, promised: float, promised_by_hand: float, hours: int
) -> None:
    told = {"rolling_model_wape_bps": promised, "rolling_incumbent_wape_bps": promised_by_hand}
    grown, by_hand_grown = now - promised, by_hand - promised_by_hand
    decision = decide(hours, now, by_hand, told)
    assert decision.retrain == (grown - by_hand_grown > SLIP_BPS)
    assert decision.reason.startswith("retrain: " if decision.retrain else "no retrain: ")
    assert "\n" not in decision.reason


@pytest.mark.parametrize(
    ("now", "by_hand", "retrain"),
    [(1650, 1800, False), (1651, 1800, True), (2500, 2800, False), (1500, 1600, True), (1000, 1800, False)],
    ids=["within", "slipped", "hard days for both", "easy days that it missed", "better than promised"],
)
def test_cases_worked_by_hand(now: float, by_hand: float, retrain: bool) -> None:
    assert decide(5000, now, by_hand, PROMISED).retrain == retrain


def test_too_few_hours_say_nothing() -> None:
    decision = decide(LEAST_HOURS - 1, 9000, 1800, PROMISED)
    assert not decision.retrain
    assert decision.reason == "no retrain: only 199 published store-hours have actuals, 200 needed"


@pytest.mark.parametrize(("now", "by_hand"), [(None, 1800), (1500, None), (None, None)])
def test_undefined_errors_say_nothing(now: float | None, by_hand: float | None) -> None:
    assert not decide(5000, now, by_hand, PROMISED).retrain


def test_a_champion_that_promised_nothing_is_retrained() -> None:
    assert decide(5000, 1500, 1800, {"rows": 12.0}).retrain
