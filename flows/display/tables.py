"""How anything is printed: a table for people, or one JSON object."""

import json as encoding
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

LEVEL_COLUMNS = ("accuracy_bps", "incumbent_bps", "floor_accuracy_bps", "oracle_bps", "gain_bps", "bias_bps")


def print_json(value: object) -> None:
    """Print one JSON object on one line; dates in ISO 8601."""

    def plain(item: object) -> object:
        if isinstance(item, date | datetime):
            return item.isoformat()
        return str(item)

    print(encoding.dumps(value, default=plain))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 3
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_table(rows: Sequence[Mapping[str, object]], title: str = "") -> None:
    """Print rows as a table under a title; nothing where there are none. Columns are those of the first row."""
    if not rows:
        return
    grid = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name, value in rows[0].items():
        grid.add_column(name, justify="right" if isinstance(value, int | float) else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(_cell(value) for value in row.values()))
    # Wide enough for any row: where nobody looks, rich takes 80 columns and would cut figures short.
    Console(width=400, soft_wrap=True, markup=False, emoji=False, highlight=False).print(grid)


def level_rows(scores: pl.DataFrame) -> list[dict[str, Any]]:
    """Figures in whole basis points, after what they are of."""
    if scores.is_empty():
        return []
    groups = [name for name in scores.columns[: scores.columns.index("cells")] if name != "level"]
    present = [name for name in LEVEL_COLUMNS if name in scores.columns]
    rounded = scores.with_columns(pl.col(present).round(0).cast(pl.Int64), pl.col("coverage").round(3))
    return rounded.select(*groups, "level", *present, "coverage").to_dicts()


def print_left_out(counts: Mapping[str, int]) -> None:
    """How many store-days the figures leave out, where there are any."""
    parts = ", ".join(f"{count:,} of {target}" for target, count in counts.items() if count)
    if parts:
        print(f"store-days left out: {parts}: forecast as open, without demand, and no hours say that they were open")
