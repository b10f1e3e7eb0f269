"""Cost of the feature matrix beside the same matrix in pandas, on a chain that records demand alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from daypart.features import matrix
from daypart.features.chain_data import ChainData, days
from daypart.features.history import read_window
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake
from daypart.forecasting.serving.night import NightInputs
from infra.bench.harness.isolated_job import Work, measure_job, run_isolated
from infra.bench.harness.stored_chain import StoredChain
from infra.bench.scale import pandas_matrix
from infra.bench.scale.comparison_row import Alternative, Limit, Row, Task, compare
from infra.bench.scale.serving_matrix import matrix_of, store_blocks

DEMAND_VIEW = matrix.View("orders", "none")
MEASURED_STORES, CHECKED_STORES = 50, 5
BEFORE_END = timedelta(days=28)
"""The matrix ends before late 2026, when time zones of Canada change: not every library has that yet."""

TRAINING_SPAN_DAYS = 364


def rows(chain: StoredChain) -> list[Row]:
    """Measure the serving and the training matrix on both sides, and check their values."""
    end, home = chain.today - BEFORE_END, chain.home()
    serve, year = [end], days(end - timedelta(days=TRAINING_SPAN_DAYS), end, 7)
    report_rows = []
    for work, origins in (("serving matrix beside pandas", serve), ("training matrix beside pandas", year)):
        run_isolated(check, home, CHECKED_STORES, origins[-3:])
        ours, theirs = (measure_job(job, home, MEASURED_STORES, origins) for job in (in_polars, in_pandas))
        assert ours.figures["rows"] == theirs.figures["rows"], f"{ours.figures} is not {theirs.figures}"
        what = (
            f"states of 3 years of demand in memory and 14 days from {len(origins)} origins, all "
            f"{ours.figures['columns']} columns of a chain that records demand alone, {MEASURED_STORES} stores"
        )
        report_rows.append(
            compare(
                Task(work, what, f"{ours.figures['rows']:,} rows"), Limit(times=10), ours, Alternative("pandas", theirs)
            )
        )
    return report_rows


def records(home: Path, stores: int, until: date) -> ChainData:
    """Return stores and demand before a date, of the first stores that were open for a year by then."""
    chain = Chain.newest(Lake(home / "lake"))
    old = chain.stores.filter(pl.col("opened_on") < until - timedelta(days=365))
    block = chain.block(sorted(old["store_id"])[:stores])
    return ChainData.from_tables({"stores": block.stores, "demand": block.demand}).until(until - timedelta(days=1))


def in_polars(home: Path, stores: int, origins: Sequence[date]) -> Work:
    """Return the work of the project's matrix, with the records in memory."""
    history = records(home, stores, max(origins))

    def work() -> dict[str, int]:
        rows = project_matrix(history, origins)
        return {"rows": rows.height, "columns": rows.width}

    return work


def in_pandas(home: Path, stores: int, origins: Sequence[date]) -> Work:
    """Return the work of the matrix in pandas, with the tables in memory."""
    tables = pandas_matrix.frames(records(home, stores, max(origins)))

    def work() -> dict[str, int]:
        features = pandas_matrix.build(*tables, DEMAND_VIEW.target, origins)
        return {"rows": len(features)}

    return work


def project_matrix(history: ChainData, origins: Sequence[date]) -> pl.DataFrame:
    """Return the matrix by the code of a night for one origin, and of training for several."""
    if len(origins) > 1:
        return matrix.build(history, DEMAND_VIEW, origins)
    inputs = NightInputs(_window(history, origins[0]), history.block, history, origins[0])
    return matrix_of(store_blocks(inputs, DEMAND_VIEW), DEMAND_VIEW, origins[0])


def _window(history: ChainData, origin: date) -> ChainData:
    since = read_window.window_starts(origin)["demand"]
    return replace(history, demand=history.demand.filter(pl.col("hour_local") >= since))


def check(home: Path, stores: int, origins: Sequence[date]) -> None:
    """Raise AssertionError where a value of a few stores differs from pandas."""
    history = records(home, stores, max(origins))
    assert_same(
        project_matrix(history, origins),
        pandas_matrix.build(*pandas_matrix.frames(history), DEMAND_VIEW.target, origins),
    )


def assert_same(rows: pl.DataFrame, pandas_rows: object) -> None:
    """Raise AssertionError where rows or columns differ from pandas by more than 1e-7."""
    theirs = pl.from_pandas(pandas_rows).select(rows.columns).sort(matrix.ROW_KEY)
    assert_frame_equal(theirs.cast(rows.schema), rows, rel_tol=1e-7, abs_tol=1e-9)
