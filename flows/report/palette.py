"""The look of all charts: each series has one colour, shape and dash in every chart."""

from collections.abc import Mapping
from typing import Any

import altair as alt

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
TEXT_COLOUR = "currentColor"
# The palette of Okabe and Ito, which colour-blind readers can distinguish; shape and dash differ too.
COLOUR = {
    "Actual": TEXT_COLOUR,
    "Forecast": "#0072B2",
    "Incumbent": "#E69F00",
    "Floor": "#8A8F98",
    "Oracle": "#009E73",
}
DASH = {"Forecast": [1, 0], "Incumbent": [6, 3], "Floor": [2, 3], "Oracle": [8, 2, 2, 2]}
SHAPE = {
    "Forecast": "circle",
    "Incumbent": "diamond",
    "Floor": "M-0.16,-1.1h0.32v2.2h-0.32z",
    "Oracle": "square",
}

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
        "labelFlush": False,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False, "ticks": False, "labelPadding": 8},
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "title": None,
        "labelFontSize": 12,
        "symbolStrokeWidth": 2.5,
        "columnPadding": 14,
        "offset": 12,
    },
}
"""Vega-Lite configuration of every chart; the page's style sheet colours text and rules."""


def colour(names: list[str]) -> Any:
    """Return the colour of series that are drawn as areas or marks, with a legend in the order of `names`."""
    return alt.Color("series:N", scale=_scale(COLOUR, names), sort=names)


def shape(names: list[str]) -> Any:
    """Return the shape of series that are drawn as marks."""
    return alt.Shape("series:N", scale=_scale(SHAPE, names), sort=names)


def lines(names: list[str]) -> dict[str, Any]:
    """Return the colour and dash of series that are drawn as lines, in one legend."""
    legend = alt.Legend(symbolType="stroke", symbolSize=140)
    dash = alt.StrokeDash("series:N", scale=_scale(DASH, names), sort=names, legend=legend)
    return {"color": colour(names).legend(legend), "strokeDash": dash}


def _scale(table: Mapping[str, object], names: list[str]) -> Any:
    return alt.Scale(domain=names, range=[table[name] for name in names])
