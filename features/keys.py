"""Keys: whether rows can be told apart by some columns."""

from collections.abc import Sequence

import polars as pl


def are_unique(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether no two rows share a key; null equals null."""
    return _rise(frame, key) or bool(frame.select(key).is_unique().all())


def _rise(frame: pl.DataFrame, key: Sequence[str]) -> bool:
    # Rows mostly arrive sorted by key, and comparing neighbours costs a tenth of hashing all keys.
    above = pl.lit(value=False)
    for name in reversed(key):
        here, before = pl.col(name), pl.col(name).shift()
        above = (here > before) | (here.eq_missing(before) & above)
    return bool(frame.select(above.slice(1).fill_null(value=False).all()).item())
