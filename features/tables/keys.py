"""Keys: whether some columns identify a row, and whether rows are sorted by them."""

from collections.abc import Sequence

import polars as pl

SLICE_ROWS = 500_000


def are_unique(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Return whether no two rows share a key; null equals null."""
    # Rows mostly arrive sorted by key, and comparing neighbours costs a tenth of hashing all keys.
    return is_sorted(frame, key) or bool(frame.select(key).is_unique().all())


def is_sorted(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Return whether each row's key is above that of the row before, null lowest, as after a sort of unique keys."""
    above = pl.lit(value=False)
    for name in reversed(key):
        here, before = pl.col(name), pl.col(name).shift()
        over = (here > before).fill_null(here.is_not_null() & before.is_null())
        above = over | (here.eq_missing(before) & above)
    # A slice at a time, each with the last row of the one before: most unsorted frames fail in the first slices.
    slices = (frame.slice(start, SLICE_ROWS + 1) for start in range(0, frame.height, SLICE_ROWS))
    return all(piece.select(above.slice(1).all()).item() for piece in slices)


def sort_by_key(frame: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Return the rows sorted by key, null lowest; not copied where they are sorted already."""
    return frame if is_sorted(frame, key) else frame.sort(key)
