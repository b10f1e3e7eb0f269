"""Keys: whether rows can be told apart by some columns, and whether they lie in order."""

from collections.abc import Sequence

import polars as pl

SLICE_ROWS = 500_000


def are_unique(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether no two rows share a key; null equals null."""
    # Rows mostly arrive sorted by key, and comparing neighbours costs a tenth of hashing all keys.
    return rise(frame, key) or bool(frame.select(key).is_unique().all())


def rise(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether the key of each row is above that of the row before, null lowest: so as a sort leaves unique keys."""
    above = pl.lit(value=False)
    for name in reversed(key):
        here, before = pl.col(name), pl.col(name).shift()
        over = (here > before).fill_null(here.is_not_null() & before.is_null())
        above = over | (here.eq_missing(before) & above)
    # A slice at a time, each with the last row of the one before: so most of what is not sorted is soon found out.
    slices = (frame.slice(start, SLICE_ROWS + 1) for start in range(0, frame.height, SLICE_ROWS))
    return all(piece.select(above.slice(1).all()).item() for piece in slices)


def in_order(frame: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The rows sorted by key, null lowest; not copied where they are already."""
    return frame if rise(frame, key) else frame.sort(key)
