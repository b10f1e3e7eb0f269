from pathlib import Path

import polars as pl
import pytest

from infra.bench.scale import mlforecast_peer


def test_lags_are_those_of_the_peer(hourly: pl.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip(mlforecast_peer.PEER)
    hourly.write_parquet(tmp_path / "part.parquet")
    theirs, ours = mlforecast_peer.sample(tmp_path)
    assert theirs.height == ours.height > 0
    mlforecast_peer.assert_same(theirs, ours)
    with pytest.raises(AssertionError, match="lag168"):
        mlforecast_peer.assert_same(theirs, ours.with_columns(pl.col("lag168") + 1e-6))
