import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.tables.keys import are_unique, is_sorted, sort_by_key

PAIRS = st.lists(st.tuples(st.sampled_from([None, "a", "b"]), st.sampled_from([None, 1, 2, 3])), max_size=6)
KEY = ("store_id", "hour")


def frame(pairs: list[tuple[str | None, int | None]]) -> pl.DataFrame:
    return pl.DataFrame(pairs, {"store_id": pl.String, "hour": pl.Int64}, orient="row").with_row_index()


@given(PAIRS, st.booleans())
def test_keys_are_unique_where_a_set_of_them_is_as_large(
    pairs: list[tuple[str | None, int | None]], tidy: bool
) -> None:
    keyed_rows = frame(pairs).sort(KEY) if tidy else frame(pairs)
    unique = len(set(pairs)) == len(pairs)
    assert are_unique(keyed_rows, KEY) == unique
    assert is_sorted(keyed_rows, KEY) == (unique and keyed_rows.equals(keyed_rows.sort(KEY)))
    assert sort_by_key(keyed_rows, KEY).select(KEY).equals(keyed_rows.select(KEY).sort(KEY))


@pytest.mark.parametrize("values", [[float("nan"), float("nan")], [0.0, -0.0]])
def test_numbers_that_are_equal_are_one_key(values: list[float]) -> None:
    assert not are_unique(pl.DataFrame({"x": values}), ["x"])
