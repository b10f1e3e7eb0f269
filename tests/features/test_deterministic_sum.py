"""Exact sums against loops over whole millionths, and in any order of rows."""

from fractions import Fraction
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.deterministic_sum import begins, exact_sum, last_mean, last_sum, ordered_mean, ordered_sum, rank

values = st.floats(-1e6, 1e6)
keyed = st.lists(st.tuples(st.sampled_from("ABC"), st.none() | st.integers(1, 2), values), min_size=1, max_size=30).map(
    lambda rows: sorted(rows, key=lambda row: (row[0], row[1] or 0))
)
columns = st.lists(st.tuples(*[st.none() | values] * 3), min_size=1, max_size=8)


def millionths(value: float) -> int:
    return round(Fraction(value) * 1_000_000)


@given(st.lists(values, max_size=30), st.integers(0, 9))
def test_a_sum_is_that_of_millionths_in_any_order(numbers: list[float], seed: int) -> None:
    shuffled = Random(seed).sample(numbers, len(numbers))
    sums = [pl.DataFrame({"v": rows}, schema={"v": pl.Float64}).select(exact_sum(pl.col("v"))).item()
            for rows in (numbers, shuffled)]  # fmt: skip
    assert sums[0] == sums[1] == pytest.approx(sum(map(millionths, numbers)) / 1e6, abs=1e-6 * (len(numbers) + 1))


@given(keyed, st.integers(1, 5))
def test_last_sums_and_means_are_of_the_rows_of_a_key_up_to_each(
    rows: list[tuple[str, int | None, float]], count: int
) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.Int64, "v": pl.Float64}, orient="row")
    frame = frame.with_columns(begins=begins("a", "b"), rank=rank("a", "b"))
    frame = frame.with_columns(sum=last_sum(pl.col("v"), count), mean=last_mean(pl.col("v"), count))
    for at, row in enumerate(frame.iter_rows(named=True)):
        same = [value for a, b, value in rows[: at + 1] if (a, b) == (row["a"], row["b"])]
        assert (row["rank"], row["begins"]) == (len(same) - 1, len(same) == 1)
        last = same[-count:]
        assert row["sum"] == pytest.approx(sum(last), abs=1e-5)
        assert row["mean"] == pytest.approx(sum(last) / len(last), abs=1e-5)


@given(columns)
def test_ordered_sums_and_means_leave_nulls_out(rows: list[tuple[float | None, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys("abc", pl.Float64), orient="row")
    aggregates = frame.select(sum=ordered_sum(map(pl.col, "abc")), mean=ordered_mean(map(pl.col, "abc")))
    for row, (total, mean) in zip(rows, aggregates.iter_rows(), strict=True):
        non_null_values = [value for value in row if value is not None]
        expected = 0.0
        for value in row:
            expected += value or 0.0
        assert total == expected
        assert mean == (expected / len(non_null_values) if non_null_values else None)
