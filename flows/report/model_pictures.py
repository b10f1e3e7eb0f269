"""The pictures of a trained model, for its page in MLflow."""

import altair as alt
import polars as pl
import vl_convert

from daypart.flows.report.palette import FONT, colour, shape

WIDTH = 560
SCALE = 1.5
"""Pixels of the picture per pixel of the chart."""
SERIES = {"accuracy_bps": "Forecast", "incumbent_bps": "Incumbent"}
MAX_SEGMENTS = 40
"""Segments of one kind in a picture: of more only the least accurate are drawn."""


def accuracy_picture(name: str, scores: pl.DataFrame) -> bytes:
    """Return a PNG of the accuracy of a model and of the incumbent by segment.

    `scores` are `model_card.segments` of the model's rolling predictions; `name` is that of the model.
    """
    names = list(SERIES.values())
    least = pl.col("accuracy_bps").rank("ordinal").over("by") <= MAX_SEGMENTS
    rows = (
        scores.filter(least, pl.col("accuracy_bps").is_not_null())
        .unpivot(on=list(SERIES), index=["by", "segment"], variable_name="series")
        .with_columns(
            pl.col("series").replace_strict(SERIES), pl.col("value") / 100, pl.col("by").str.replace("_", " ")
        )
    )
    order = rows["by"].unique(maintain_order=True).to_list()
    points = alt.Chart(alt.Data(values=rows.to_dicts())).mark_point(filled=True, size=70, opacity=1)
    chart = points.encode(
        x=alt.X("value:Q", title="Accuracy by the hour, %").scale(zero=False, nice=True),
        y=alt.Y("segment:N", title=None, sort=None).axis(grid=True),
        color=colour(names),
        shape=shape(names),
        row=alt.Row("by:N", sort=order, title=None).header(labelAngle=0, labelAnchor="start", labelFontWeight="bold"),
    ).properties(width=WIDTH, height=alt.Step(22))  # fmt: skip
    titled = chart.resolve_scale(y="independent").properties(title=f"{name}: accuracy on rolling origins by segment")
    drawn = titled.configure(font=FONT, background="white").configure_legend(orient="top", title=None)
    png: bytes = vl_convert.vegalite_to_png(drawn.to_dict(), scale=SCALE)
    return png
