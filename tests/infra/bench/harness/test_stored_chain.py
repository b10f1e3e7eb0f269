from datetime import timedelta
from pathlib import Path

import polars as pl

from daypart.flows.lake.lake import Lake
from infra.bench.harness.stored_chain import StoredChain


def test_a_home_has_the_demand_before_today_and_arrivals_have_that_of_today(tmp_path: Path) -> None:
    chain = StoredChain(tmp_path, stores=2, years=0.5)
    before_today = Lake(chain.home() / "lake").scan("demand").collect()["hour_local"].dt.date()
    arrivals = pl.read_parquet(chain.arrivals() / "*.parquet")["hour_local"].dt.date()
    assert before_today.max() == chain.today - timedelta(days=1)
    assert arrivals.unique().to_list() == [chain.today]


def test_a_folder_is_built_once_and_a_copy_of_the_home_is_removed(tmp_path: Path) -> None:
    chain = StoredChain(tmp_path, stores=2, years=0.5)
    home = chain.home()
    (home / "mark").touch()
    with chain.copy_of_home() as copy:
        assert (copy / "mark").exists()
    assert not copy.exists()
    assert (chain.home() / "mark").exists()
