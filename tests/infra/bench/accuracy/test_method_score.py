import polars as pl
import pytest

from daypart.features.errors import InputError
from infra.bench.accuracy.method_score import INCUMBENT, OURS, Method, pinball_bps, score_method
from infra.bench.accuracy.real_backtests import SetBacktest, with_forecasts


def test_a_row_without_a_forecast_is_refused(case: SetBacktest, rows: pl.DataFrame) -> None:
    forecasts = rows.select("store_id", "origin_date", "hour_utc", "forecast")
    full_score = score_method(rows, case.records, "chain", Method("same"))
    assert score_method(with_forecasts(rows, forecasts), case.records, "chain", Method("same")) == full_score
    open_hour = rows.filter(pl.col("actual") > 0)["hour_utc"][0]
    with pytest.raises(InputError, match="no forecast"):
        score_method(
            with_forecasts(rows, forecasts.filter(pl.col("hour_utc") != open_hour)),
            case.records,
            "chain",
            Method("short"),
        )


def test_pinball_loss_is_that_of_a_slow_loop(rows: pl.DataFrame) -> None:
    loss, sold = 0.0, 0.0
    for row in rows.filter(pl.col("actual").is_not_null()).iter_rows(named=True):
        error = row["actual"] - row["q10"]
        loss += 0.1 * error if error > 0 else -0.9 * error
        sold += row["actual"]
    assert pinball_bps(rows, "q10") == pytest.approx(1e4 * loss / sold)


def test_figures_of_the_band_are_ours_alone(case: SetBacktest, rows: pl.DataFrame) -> None:
    ours, theirs = (score_method(rows, case.records, "chain", Method(who)) for who in (OURS, INCUMBENT))
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
