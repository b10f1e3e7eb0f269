"""Cost of the same lags and forecasts by mlforecast, with its fastest settings: polars, float32, all processors."""

import os
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from infra.bench.harness.hourly_series import stored_series
from infra.bench.harness.isolated_job import JobCost, Work, measure_job, run_isolated
from infra.bench.harness.stored_chain import StoredChain
from infra.bench.scale import lag_matrix, single_model
from infra.bench.scale.comparison_row import Alternative, Limit, Row, Task, compare
from infra.bench.scale.lag_matrix import LAG_DATE_FEATURES, LAG_DEPTH, LAG_HOURS, MEAN_WINDOWS, WEEK_HOURS
from infra.bench.scale.nightly_job import home_with_models

PEER = "mlforecast"
HORIZON_HOURS = 14 * 24
FIT_RECENT = timedelta(hours=2 * LAG_DEPTH)
"""Twice what the state of a series needs: half of it is to learn from."""

SAMPLE_SERIES = 5


def installed() -> bool:
    """Return whether the library is there to compare with."""
    return find_spec(PEER) is not None


def matrix_rows(chain: StoredChain) -> list[Row]:
    """Measure the lag matrix of all series, and check that both sides have the same values."""
    folder = stored_series(chain)
    ours = measure_job(lag_matrix.in_blocks, folder)
    theirs = measure_job(at_once, folder) if installed() else None
    if theirs:
        run_isolated(check_sample, folder)
        _check_sums(ours, theirs)
    what = (
        "lags, rolling means and date features of every hour from Parquet, each column summed up; ours by the file "
        "of stores, two at once, theirs whole"
    )
    row_count = f"{ours.figures['rows']:,.0f} rows"
    return [compare(Task("lag matrix", what, row_count), Limit(times=1.3, lean=3), ours, Alternative(PEER, theirs))]


def forecast_rows(chain: StoredChain) -> list[Row]:
    """Measure the forecast by one model of 300 trees, from what is stored and from states in memory."""
    folder, trained = stored_series(chain), single_model.stored_model(chain)
    with home_with_models(chain, trained) as home:
        from_lake = measure_job(single_model.from_lake, home)
    from_states = measure_job(single_model.from_states, chain.home(), trained, chain.today)
    theirs = [measure_job(recursive, folder, stored) if installed() else None for stored in (True, False)]
    limit = Limit(times=4)
    stored = (
        "14 days of orders by 300 trees of 31 leaves, from what is stored; ours reads the lake, makes states and "
        "matrix, predicts with bands and publishes; theirs reads the hours that its state needs, makes it and predicts"
    )
    states = (
        "the same from states in memory; ours makes the matrix, predicts with bands and lays out the published rows; "
        "theirs predicts hour by hour"
    )
    return [
        compare(Task(f"forecast from {source}", what, f"{ours.figures['rows']:,} rows"), limit, ours,
                Alternative(f"{PEER} predict", peer_cost))
        for source, what, ours, peer_cost in (
            ("storage", stored, from_lake, theirs[0]), ("states", states, from_states, theirs[1])
        )
    ]  # fmt: skip


def _forecaster(models: Any = ()) -> Any:
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, SeasonalRollingMean

    same = [SeasonalRollingMean(WEEK_HOURS, weeks) for weeks in (4, 8)]
    rolling_means = [RollingMean(hours) for hours in MEAN_WINDOWS]
    return MLForecast(models=list(models), freq="1h", lags=list(LAG_HOURS), lag_transforms={WEEK_HOURS: [*same, *rolling_means]},
                      date_features=list(LAG_DATE_FEATURES), num_threads=os.cpu_count() or 1)  # fmt: skip


def peer_lag_matrix(rows: pl.DataFrame, forecaster: Any) -> pl.DataFrame:
    """Return the rows and columns of `lag_matrix.lag_matrix` by the peer, under the same names."""
    # The series are sorted and complete: checking that again would only take time.
    lag_rows = forecaster.preprocess(rows, static_features=[], validate_data=False)
    of_week = f"lag{WEEK_HOURS}"
    return lag_rows.rename(
        {
            f"seasonal_rolling_mean_{of_week}_season_length{WEEK_HOURS}_window_size{weeks}": f"same_{weeks}"
            for weeks in (4, 8)
        }
        | {f"rolling_mean_{of_week}_window_size{hours}": f"mean_{hours}" for hours in MEAN_WINDOWS}
    )


def at_once(folder: Path) -> Work:
    """Return the work on all series at once: the matrix and its sums."""
    forecaster = _forecaster()  # imports the library, which takes seconds
    return lambda: lag_matrix.sums(peer_lag_matrix(pl.read_parquet(folder / "*.parquet"), forecaster))


def sample(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the lag matrix of a few series, by the peer and by the project."""
    rows = pl.read_parquet(min(folder.iterdir())).cast({"y": pl.Float64})
    few = rows.filter(pl.col("unique_id").is_in(rows["unique_id"].unique().sort().head(SAMPLE_SERIES).implode()))
    return peer_lag_matrix(few, _forecaster()), lag_matrix.lag_matrix(few)


def assert_same(theirs: pl.DataFrame, ours: pl.DataFrame) -> None:
    """Raise AssertionError where a value differs."""
    assert_frame_equal(theirs, ours, check_dtypes=False, check_column_order=False, rel_tol=1e-9, abs_tol=1e-9)


def check_sample(folder: Path) -> None:
    """Raise AssertionError where a value of a few series differs between the two."""
    assert_same(*sample(folder))


def _check_sums(ours: JobCost, theirs: JobCost) -> None:
    for name, value in ours.figures.items():
        assert abs(theirs.figures[name] - value) <= 1e-6 * abs(value), f"{name}: {theirs.figures[name]} is not {value}"


def recursive(folder: Path, stored: bool) -> Work:
    """Return the forecast of 14 days of every series, hour by hour, from what is stored or from states in memory."""
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(n_estimators=single_model.MODEL_TREES, num_leaves=single_model.MODEL_LEAVES, min_child_samples=100,
                          learning_rate=0.06, verbosity=-1)  # fmt: skip
    fitted = _forecaster([model])
    x, y = _with_state(fitted, folder, FIT_RECENT)
    step = max(1, len(y) // single_model.FITTED_ROWS)
    fitted.fit_models(x[::step], y[::step])

    def work() -> dict[str, int]:
        if stored:
            _with_state(fitted, folder, timedelta(hours=LAG_DEPTH + 1))
        return {"rows": fitted.predict(HORIZON_HOURS).height}

    return work


def _with_state(forecaster: Any, folder: Path, recent: timedelta) -> Any:
    """Return features and values of recent hours; the forecaster keeps the state of every series."""
    hours = pl.scan_parquet(folder / "*.parquet")
    last = hours.select(pl.col("ds").max()).collect().item()
    return forecaster.preprocess(hours.filter(pl.col("ds") > last - recent).collect(), static_features=[],
                                 validate_data=False, return_X_y=True, as_numpy=True)  # fmt: skip
