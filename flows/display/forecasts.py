"""What is printed of forecasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from daypart.flows.display.models import show_usage, usage_rows
from daypart.flows.display.tables import print_json, print_table

if TYPE_CHECKING:
    from daypart.flows.compute.meter import Meter


MOST_ROWS = 60


@dataclass(frozen=True)
class ForecastView:
    """The rows of a level, and the file that has them where they were written."""

    rows: pl.DataFrame
    level: str
    out: Path | None


def show_forecast(
    view: ForecastView,
    meter: "Meter | None" = None,
    notices: Sequence[str] = (),
    *,
    as_json: bool,
    verbose: bool = False,
) -> None:
    """Print rows of a level as JSON, or a table: of hours, dayparts of stores by day, or the chain's days where many.

    And what to know of it where it was made just now; JSON and `verbose` also say what it took.
    """
    rows, level, out = view.rows, view.level, view.out
    if as_json:
        took = {"usage": usage_rows(meter.usage()), "cost_dollars": meter.dollars()} if meter else {}
        took |= {"notices": list(notices)} if notices else {}
        summary: dict[str, object] = {"rows": rows.height, "out": out, **took}
        print_json(summary if out else summary | {"forecasts": rows.to_dicts()})
        return
    if out is not None:
        what = f"{rows['store_id'].n_unique()} stores" if level == "hour" else f"by {level}"
        print(f"{rows.height:,} rows, {what}, origin {rows['origin_date'][0]}: {out}")
    elif level == "hour":
        _print_forecast(rows)
    else:
        _print_level(rows, level)
    for notice in notices:
        print(notice)
    if meter is not None and verbose:
        show_usage(meter.usage(), meter.dollars(), "")


def _print_level(rows: pl.DataFrame, level: str) -> None:
    """A row per cell: what is forecast, the band that holds four of five, and what a planner would have by hand."""
    _print_origin(rows)
    first = {"week": "week_from", "store": "14_days_from"}.get(level, "date")
    keys = ["region" if level == "region" else "store_id", "currency", "daypart"]
    shown = rows.sort("target", "store_id", "region", "currency", "hour_local").select(
        "target", *(name for name in keys if rows[name].is_not_null().any()), pl.col("business_date").alias(first),
        *(pl.col(name).round(0) for name in ("forecast", "q10", "q90", "incumbent")),
    )  # fmt: skip
    print_table(shown.head(MOST_ROWS).to_dicts())
    if shown.height > MOST_ROWS:
        print(f"{shown.height - MOST_ROWS:,} more rows: write them with --out FILE, or ask for a --store")
    _print_bases(rows)


def _print_forecast(rows: pl.DataFrame) -> None:
    _print_origin(rows)
    many = rows["store_id"].n_unique() > 3
    by = ["target", *([] if many else ["store_id"]), pl.col("business_date").alias("date")]
    days = rows.group_by(by).agg(
        *(pl.col("forecast").filter(pl.col("daypart") == name).sum().round(0).alias(name)
          for name in rows["daypart"].drop_nulls().unique(maintain_order=True)),
        day=pl.col("forecast").sum().round(0), incumbent=pl.col("incumbent").sum().round(0),
    )  # fmt: skip
    order = ["target", *([] if many else ["store_id"]), "date"]
    print_table(days.sort(order).select(*order, pl.exclude(order)).to_dicts(), "the chain by day" if many else "")
    _print_bases(rows)


def _print_origin(rows: pl.DataFrame) -> None:
    print(f"origin {rows['origin_date'][0]}, models {', '.join(sorted(rows['model_version'].unique()))}")


def _print_bases(rows: pl.DataFrame) -> None:
    for basis in rows.select("store_id", "basis").drop_nulls().unique().sort("store_id").iter_rows():
        print(f"{basis[0]}: {basis[1]}")
