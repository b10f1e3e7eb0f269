import polars as pl

from infra.bench.accuracy.real_backtests import SetBacktest


def test_a_library_that_is_missing_is_named(case: SetBacktest, rows: pl.DataFrame) -> None:
    row = case.peer_score("nosuchlibrary", rows)
    assert (row.note, row.hour_wape_bps) == ("nosuchlibrary is not installed", None)
