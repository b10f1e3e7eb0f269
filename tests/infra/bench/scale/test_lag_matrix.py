from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from infra.bench.scale import lag_matrix


def test_lags_are_those_of_a_plain_loop(hourly: pl.DataFrame) -> None:
    rows = lag_matrix.lag_matrix(hourly.cast({"y": pl.Float64}))
    assert rows.height == sum(
        max(0, series.height - lag_matrix.LAG_DEPTH) for _, series in hourly.group_by("unique_id")
    )
    values = {store: series["y"].to_numpy() for (store,), series in hourly.group_by("unique_id", maintain_order=True)}
    first = dict(hourly.group_by("unique_id").agg(pl.col("ds").first()).iter_rows())
    for row in rows.sample(300, seed=1).iter_rows(named=True):
        y, at = values[row["unique_id"]], (row["ds"] - first[row["unique_id"]]) // timedelta(hours=1)
        week = at - lag_matrix.WEEK_HOURS
        expected = {
            "y": y[at],
            **{f"lag{lag}": y[at - lag] for lag in lag_matrix.LAG_HOURS},
            **{f"mean_{hours}": np.mean(y[week - hours + 1 : week + 1]) for hours in lag_matrix.MEAN_WINDOWS},
            **{
                f"same_{weeks}": np.mean([y[at - lag_matrix.WEEK_HOURS * (k + 1)] for k in range(weeks)])
                for weeks in (4, 8)
            },
            **{"hour": row["ds"].hour, "weekday": row["ds"].isoweekday(), "month": row["ds"].month},
            "ordinal_day": row["ds"].timetuple().tm_yday,
        }
        assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-9)
