"""Our matrix beside the one in pandas, for the same chain, which records demand alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

from daypart.features import matrix
from daypart.features.chain_data import Records, days
from daypart.features.history import read_window
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake
from infra.bench.harness.isolated_job import Work, apart, measured
from infra.bench.harness.stored_chain import SimulatedChain
from infra.bench.scale import pandas_matrix
from infra.bench.scale.comparison_row import Limit, Row, beside
from infra.bench.scale.serving_matrix import matrix_of, states

VIEW = matrix.View("orders", "none")
STORES, FEW_STORES = 50, 5
BEFORE_END = timedelta(days=28)
"""Time zones of Canada change late in 2026, and not every library knows of it yet."""

YEAR = 364


def rows(chain: SimulatedChain) -> list[Row]:
    end, home = chain.today - BEFORE_END, chain.home()
    serve, year = [end], days(end - timedelta(days=YEAR), end, 7)
    report_rows = []
    for work, origins in (("serving matrix beside pandas", serve), ("training matrix beside pandas", year)):
        apart(check, home, FEW_STORES, origins[-3:])
        ours, theirs = (measured(job, home, STORES, origins) for job in (in_polars, in_pandas))
        assert ours.told["rows"] == theirs.told["rows"], f"{ours.told} is not {theirs.told}"
        what = (
            f"states of 3 years of demand in memory and 14 days from {len(origins)} origins, all "
            f"{ours.told['columns']} columns of a chain that records demand alone, {STORES} stores"
        )
        report_rows.append(beside(work, what, Limit(times=10), ours, "pandas", theirs, f"{ours.told['rows']:,} rows"))
    return report_rows


def records(home: Path, stores: int, until: date) -> Records:
    """Stores and demand before a date, of the first stores that had traded for a year by then."""
    chain = Chain.of(Lake(home / "lake"))
    old = chain.stores.filter(pl.col("opened_on") < until - timedelta(days=365))
    block = chain.block(sorted(old["store_id"])[:stores])
    return Records.of({"stores": block.stores, "demand": block.demand}).until(until - timedelta(days=1))


def in_polars(home: Path, stores: int, origins: Sequence[date]) -> Work:
    history = records(home, stores, max(origins))

    def work() -> dict[str, int]:
        rows = ours(history, origins)
        return {"rows": rows.height, "columns": rows.width}

    return work


def in_pandas(home: Path, stores: int, origins: Sequence[date]) -> Work:
    tables = pandas_matrix.frames(records(home, stores, max(origins)))

    def work() -> dict[str, int]:
        features = pandas_matrix.build(*tables, VIEW.target, origins)
        return {"rows": len(features)}

    return work


def ours(history: Records, origins: Sequence[date]) -> pl.DataFrame:
    """One origin as a night has it, many as training has them."""
    if len(origins) > 1:
        return matrix.build(history, VIEW, origins)
    return matrix_of(states(_window(history, origins[0]), history.block, history, VIEW, origins[0]), VIEW, origins[0])


def _window(history: Records, origin: date) -> Records:
    since = read_window.since(origin)["demand"]
    return replace(history, demand=history.demand.filter(pl.col("hour_local") >= since))


def check(home: Path, stores: int, origins: Sequence[date]) -> None:
    """Raises AssertionError where a value of a few stores is not that of pandas."""
    history = records(home, stores, max(origins))
    assert_same(ours(history, origins), pandas_matrix.build(*pandas_matrix.frames(history), VIEW.target, origins))


def assert_same(rows: pl.DataFrame, pandas_rows: object) -> None:
    """Every row and column of ours is the one of pandas; those of sums of whole millionths to 1e-7."""
    theirs = pl.from_pandas(pandas_rows).select(rows.columns).sort(matrix.KEY)
    assert_frame_equal(theirs.cast(dict(rows.schema)), rows, rel_tol=1e-7, abs_tol=1e-9)
