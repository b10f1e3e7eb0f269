"""mlforecast at the same work, with the settings that make it fastest: polars frames, float32, all processors."""

import os
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from infra.bench.harness.hourly_series import series
from infra.bench.harness.isolated_job import Took, Work, apart, measured
from infra.bench.harness.stored_chain import SimulatedChain
from infra.bench.scale import lag_matrix, single_model
from infra.bench.scale.comparison_row import Limit, Row, beside
from infra.bench.scale.lag_matrix import DATE_FEATURES, DEPTH, LAGS, WEEK, WINDOWS
from infra.bench.scale.nightly_job import with_models

NAME = "mlforecast"
HORIZON_HOURS = 14 * 24
RECENT = timedelta(hours=2 * DEPTH)
"""As much of a series as its state needs, and as much again to learn from."""

SAMPLE = 5


def installed() -> bool:
    """Whether there is anything to compare with."""
    return find_spec(NAME) is not None


def matrix_rows(chain: SimulatedChain) -> list[Row]:
    folder = series(chain)
    ours = measured(lag_matrix.in_blocks, folder)
    theirs = measured(at_once, folder) if installed() else None
    if theirs:
        apart(check_sample, folder)
        _check_sums(ours, theirs)
    what = (
        "lags, rolling means and date features of every hour from Parquet, each column summed up; ours by the file "
        "of stores, two at once, theirs whole"
    )
    row_count = f"{ours.told['rows']:,.0f} rows"
    return [beside("lag matrix", what, Limit(times=1.3, lean=3), ours, NAME, theirs, row_count)]


def forecast_rows(chain: SimulatedChain) -> list[Row]:
    folder, trained = series(chain), single_model.model(chain)
    with with_models(chain, trained) as home:
        from_lake = measured(single_model.from_lake, home)
    near = measured(single_model.from_states, chain.home(), trained, chain.today)
    theirs = [measured(recursive, folder, stored) if installed() else None for stored in (True, False)]
    limit, name = Limit(times=4), f"{NAME} predict"
    stored = (
        "14 days of orders by 300 trees of 31 leaves, from what is stored; ours reads the lake, makes states and "
        "matrix, predicts with bands and publishes; theirs reads the hours that its state needs, makes it and predicts"
    )
    states = (
        "the same from states in memory; ours makes the matrix, predicts with bands and lays out the published rows; "
        "theirs predicts hour by hour"
    )
    return [
        beside("forecast from storage", stored, limit, from_lake, name, theirs[0], f"{from_lake.told['rows']:,} rows"),
        beside("forecast from states", states, limit, near, name, theirs[1], f"{near.told['rows']:,} rows"),
    ]


def _forecaster(models: Any = ()) -> Any:
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean, SeasonalRollingMean

    same = [SeasonalRollingMean(WEEK, weeks) for weeks in (4, 8)]
    rolling_means = [RollingMean(hours) for hours in WINDOWS]
    return MLForecast(models=list(models), freq="1h", lags=list(LAGS), lag_transforms={WEEK: [*same, *rolling_means]},
                      date_features=list(DATE_FEATURES), num_threads=os.cpu_count() or 1)  # fmt: skip


def peer_lag_matrix(rows: pl.DataFrame, forecaster: Any) -> pl.DataFrame:
    """The rows and columns of `scale.lag_matrix.lag_matrix`, under its names."""
    # The series are sorted and whole: to check that again would only take time.
    lag_rows = forecaster.preprocess(rows, static_features=[], validate_data=False)
    of_week = f"lag{WEEK}"
    return lag_rows.rename(
        {f"seasonal_rolling_mean_{of_week}_season_length{WEEK}_window_size{weeks}": f"same_{weeks}" for weeks in (4, 8)}
        | {f"rolling_mean_{of_week}_window_size{hours}": f"mean_{hours}" for hours in WINDOWS}
    )


def at_once(folder: Path) -> Work:
    """The matrix of all series, made and summed up in one piece."""
    forecaster = _forecaster()  # imports the library, which takes seconds
    return lambda: lag_matrix.sums(peer_lag_matrix(pl.read_parquet(folder / "*.parquet"), forecaster))


def sample(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The lag matrix of a few series, theirs and ours."""
    rows = pl.read_parquet(min(folder.iterdir())).cast({"y": pl.Float64})
    few = rows.filter(pl.col("unique_id").is_in(rows["unique_id"].unique().sort().head(SAMPLE).implode()))
    return peer_lag_matrix(few, _forecaster()), lag_matrix.lag_matrix(few)


def assert_same(theirs: pl.DataFrame, ours: pl.DataFrame) -> None:
    """Raises AssertionError where a value differs."""
    assert_frame_equal(theirs, ours, check_dtypes=False, check_column_order=False, rel_tol=1e-9, abs_tol=1e-9)


def check_sample(folder: Path) -> None:
    """Raises AssertionError where a value of a few series is not ours."""
    assert_same(*sample(folder))


def _check_sums(ours: Took, theirs: Took) -> None:
    for name, value in ours.told.items():
        assert abs(theirs.told[name] - value) <= 1e-6 * abs(value), f"{name}: {theirs.told[name]} is not {value}"


def recursive(folder: Path, stored: bool) -> Work:
    """14 days of every series, hour by hour, by a fitted model, from what is stored or from states in memory."""
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(n_estimators=single_model.TREES, num_leaves=single_model.LEAVES, min_child_samples=100,
                          learning_rate=0.06, verbosity=-1)  # fmt: skip
    fitted = _forecaster([model])
    x, y = _with_state(fitted, folder, RECENT)
    step = max(1, len(y) // single_model.FITTED_ROWS)
    fitted.fit_models(x[::step], y[::step])

    def work() -> dict[str, int]:
        if stored:
            _with_state(fitted, folder, timedelta(hours=DEPTH + 1))
        return {"rows": fitted.predict(HORIZON_HOURS).height}

    return work


def _with_state(forecaster: Any, folder: Path, recent: timedelta) -> Any:
    """Features and values of recent hours; the forecaster keeps the state of every series."""
    hours = pl.scan_parquet(folder / "*.parquet")
    last = hours.select(pl.col("ds").max()).collect().item()
    return forecaster.preprocess(hours.filter(pl.col("ds") > last - recent).collect(), static_features=[],
                                 validate_data=False, return_X_y=True, as_numpy=True)  # fmt: skip
