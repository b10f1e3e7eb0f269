"""The accuracy table as a chart and as Markdown."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl

from daypart.features.signals.weather import WeatherView
from daypart.flows.report.palette import COLOUR, CONFIG
from infra.bench.accuracy.method_score import INCUMBENT, OURS, Score

TEXT_COLOUR, MUTED_COLOUR = "#1c2430", "#5b6675"
LEVEL_TITLES = {"hour_wape_bps": "By the hour", "day_wape_bps": "By the day"}
WEATHER_LABELS: dict[WeatherView, str] = {
    "none": "",
    "issued": ", weather as issued",
    "observed": ", weather in hindsight",
}
METHOD_STYLES = {
    OURS: (COLOUR["Forecast"], "circle", True),
    OURS + WEATHER_LABELS["issued"]: (COLOUR["Forecast"], "triangle-left", True),
    OURS + WEATHER_LABELS["observed"]: (COLOUR["Forecast"], "triangle-left", False),
    "mlforecast": ("#CC79A7", "square", True),
    "statsforecast": (COLOUR["Oracle"], "triangle-up", True),
    INCUMBENT: (COLOUR["Incumbent"], "diamond", True),
}
"""Colour, shape and whether it is filled, by method, the best expected first."""


def chart_points(rows: Sequence[Score]) -> pl.DataFrame:
    """Return one row per set, method and level that has a figure: place, method, level, bps; in the order of `rows`."""
    frame = pl.DataFrame(
        [(_place(row), _method(row), *(getattr(row, name) for name in LEVEL_TITLES)) for row in rows],
        schema={"place": pl.String, "method": pl.String, **dict.fromkeys(LEVEL_TITLES, pl.Int64)}, orient="row",
    )  # fmt: skip
    return frame.unpivot(on=list(LEVEL_TITLES), index=["place", "method"], variable_name="level", value_name="bps").select(
        "place", "method", pl.col("level").replace_strict(LEVEL_TITLES), "bps"
    ).drop_nulls("bps")  # fmt: skip


def _place(row: Score) -> str:
    return f"{row.set}, {row.target}"


def _method(row: Score) -> str:
    return row.who + WEATHER_LABELS[row.weather]


def draw(rows: Sequence[Score], folder: Path) -> None:
    """Write accuracy.svg and accuracy.png: a line for each set, a mark for each method, left is better."""
    chart = _chart(chart_points(rows))
    for kind in ("svg", "png"):
        draft = folder / f"accuracy.partial.{kind}"
        chart.save(draft, **({"scale_factor": 2} if kind == "png" else {}))
        os.replace(draft, folder / f"accuracy.{kind}")


def _chart(points: pl.DataFrame) -> Any:
    places = points["place"].unique(maintain_order=True).to_list()
    methods = [name for name in METHOD_STYLES if name in set(points["method"])]
    colours, shapes, filled = zip(*(METHOD_STYLES[name] for name in methods), strict=True)
    axis = alt.Axis(grid=True, gridColor="#e1e5ea", tickCount=5, format=",d", domain=False, ticks=False)
    order = pl.col("method").replace_strict(
        {name: place for place, name in enumerate(METHOD_STYLES)}, return_dtype=pl.Int64
    )
    # The mark that is drawn last lies on top: the project's own.
    base = alt.Chart(points.sort(order, descending=True, maintain_order=True)).encode(
        x=alt.X("bps:Q", title="Error: WAPE (bps), less is better", scale=alt.Scale(zero=False, padding=14), axis=axis),
        y=alt.Y("place:N", sort=places, title=None, axis=alt.Axis(labelFontSize=13, labelLimit=200)),
    )  # fmt: skip
    rails = base.mark_rule(strokeWidth=2, color=MUTED_COLOUR, opacity=0.3).encode(x="min(bps):Q", x2="max(bps):Q")
    colour, shape, fill = (
        {"field": "method", "type": "nominal", "sort": methods, "scale": alt.Scale(domain=methods, range=list(values))}
        for values in (colours, shapes, [c if f else "white" for c, f in zip(colours, filled, strict=True)])
    )
    marks = base.mark_point(size=110, opacity=1, strokeWidth=1.6).encode(
        stroke=alt.Stroke(**colour), shape=alt.Shape(**shape), fill=alt.Fill(**fill)
    )
    panels = (rails + marks).properties(width=300, height=alt.Step(38)).facet(
        column=alt.Column("level:N", sort=list(LEVEL_TITLES.values()), title=None,
                          header=alt.Header(labelFontSize=14, labelFontWeight="bold", labelColor=TEXT_COLOUR)),
        spacing=30,
    ).resolve_scale(x="independent")  # fmt: skip
    legend = CONFIG["legend"] | {"columns": 3, "labelLimit": 260, "labelColor": TEXT_COLOUR}
    axes = CONFIG["axis"] | {"labelColor": TEXT_COLOUR, "titleColor": MUTED_COLOUR}
    settings = CONFIG | {"background": "white", "legend": legend, "axis": axes, "axisX": {}, "padding": 12}
    return panels.configure(**settings)


def markdown(rows: Sequence[Score]) -> str:
    """Return a Markdown table, one row per set and method: WAPE and gain in bps by hour and day, then the band."""
    head = ("set", "method", "hour", "day", "gain at hour", "gain at day", "pinball 0.1 / 0.5 / 0.9", "in the 80% band")
    lines = [head, ("---", "---", *["---:"] * 6)]
    lines += [(_place(row), _method(row), *_cells(row)) for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(row: Score) -> tuple[str, ...]:
    if row.hour_wape_bps is None:
        return (row.note, *[""] * 5)
    gains = ("", "") if row.who == INCUMBENT else (f"{row.hour_gain_bps:+,}", f"{row.day_gain_bps:+,}")
    losses = (row.pinball_10_bps, row.pinball_50_bps, row.pinball_90_bps)
    band = "" if row.coverage is None else f"{row.coverage:.1%} ({row.coverage_low:.0%} to {row.coverage_high:.0%})"
    pinball = "" if losses[0] is None else " / ".join(f"{loss:,}" for loss in losses)
    return (f"{row.hour_wape_bps:,}", f"{row.day_wape_bps:,}", *gains, pinball, band)
