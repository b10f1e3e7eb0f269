import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.keys import are_unique

PAIRS = st.lists(st.tuples(st.sampled_from([None, "a", "b"]), st.sampled_from([None, 1, 2, 3])), max_size=6)


@given(PAIRS, st.booleans())
def test_keys_are_unique_where_a_set_of_them_is_as_large(
    pairs: list[tuple[str | None, int | None]], tidy: bool
) -> None:
    told = sorted(pairs, key=str) if tidy else pairs
    frame = pl.DataFrame(told, {"store_id": pl.String, "hour": pl.Int64}, orient="row").with_columns(value=0)
    assert are_unique(frame, ("store_id", "hour")) == (len(set(pairs)) == len(pairs))


@pytest.mark.parametrize("values", [[float("nan"), float("nan")], [0.0, -0.0]])
def test_numbers_that_are_equal_are_one_key(values: list[float]) -> None:
    assert not are_unique(pl.DataFrame({"x": values}), ["x"])
