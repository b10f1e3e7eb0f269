"""The report of a replay: a comparison of policies, as one file of HTML, or as Markdown with a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl

from daypart.flows.files.atomic_files import atomic_write
from daypart.flows.report.page import MINUS, bundle, count, environment
from daypart.flows.report.palette import CONFIG

REPORT_ENDINGS = (".html", ".md")
# The palette of Okabe and Ito, ordered so that neighbours differ most; the dash differs too.
COLOURS = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
DASHES = ([6, 3], [1, 0], [8, 2, 2, 2], [2, 3], [4, 2], [1, 2])
WIDTH = 860
MIN_TRADE_SHARE = 0.1
"""Weeks that sold less than this share of the median week are not drawn."""
SUMMARY_COLUMNS = {
    "accuracy_hour_bps": "hour", "accuracy_day_bps": "day", "gain_hour_bps": "gain at hour",
    "gain_day_bps": "gain at day", "retrains": "retrains", "promotions": "promotions", "cpu_seconds": "CPU s",
    "cost_dollars": "cost $", "nights": "nights",
}  # fmt: skip


@dataclass(frozen=True)
class Replays:
    """The content of the report: the tables of `replay.ReplayResult`, with `cost_dollars` in the summary."""

    title: str
    summary: pl.DataFrame
    weekly: pl.DataFrame
    nights: pl.DataFrame
    notices: Sequence[str] = ()


def write(path: Path, replays: Replays) -> None:
    """Write the page, or Markdown and a .png of the same name; each file is written completely or not at all."""
    if path.suffix.lower() == ".html":
        _write(path, _page(replays).encode())
        return
    picture = path.with_suffix(".png")
    _write(picture, png(replays))
    _write(path, _markdown(replays, picture.name).encode())


def png(replays: Replays) -> bytes:
    """Return the charts of all targets, one below the other, as a PNG."""
    from vl_convert import vegalite_to_png

    target_charts = [chart(replays, target) for target in _targets(replays)]
    axis = CONFIG["axis"] | {"labelColor": "#1c2430", "titleColor": "#5b6675", "gridColor": "#e1e5ea"}
    settings = CONFIG | {"background": "white", "padding": 14, "axis": axis}
    combined = alt.vconcat(*target_charts, spacing=36).resolve_scale(x="independent").configure(**settings)
    image: bytes = vegalite_to_png(combined.to_json(), scale=2)
    return image


def chart(replays: Replays, target: str) -> Any:
    """Return three panels on one time axis: weekly accuracy, its lead on the first policy in bps, retrains."""
    is_target = pl.col("target") == target
    weekly, nights = replays.weekly.filter(is_target), replays.nights.filter(is_target)
    # Accuracy is meaningless in a week of almost no trade, and would stretch the axis.
    little = pl.col("actual") < MIN_TRADE_SHARE * pl.col("actual").median()
    weekly = weekly.with_columns(pl.when(~little).then(pl.col("^(accuracy|incumbent)_hour_bps$")))
    names = weekly["policy"].unique(maintain_order=True).to_list()
    first = weekly.filter(pl.col("policy") == names[0]).select("week", base="accuracy_hour_bps")
    rows = weekly.join(first, on="week", how="left", maintain_order="left").select(
        pl.col("week").cast(pl.String),
        "policy",
        accuracy=pl.col("accuracy_hour_bps").round(1),
        incumbent=pl.col("incumbent_hour_bps").round(1),
        ahead=(pl.col("accuracy_hour_bps") - pl.col("base")).round(1),
    )
    panels = [
        _lines(rows, names, "accuracy", "Accuracy (bps)", 190) + _incumbent_line(rows, names[0]),
        _lines(rows, names, "ahead", f"Ahead of {names[0]} (bps)", 130),
        _events(nights, names),
    ]
    title = f"{target.capitalize()} by the hour, by week of the days forecast; dotted grey: incumbent"
    return alt.vconcat(*panels, spacing=10, title=alt.Title(title, anchor="start", fontSize=13)).resolve_scale(
        x="shared"
    )


def _time(labels: bool = False) -> Any:
    axis = alt.Axis(format="%b %y", labels=labels, ticks=labels, tickCount="month", labelOverlap=True)
    # Dates are declared as UTC, so that the time zone of the reader does not shift them.
    return alt.X("week:T", title=None, axis=axis, scale=alt.Scale(type="utc"))


def _colour(names: Sequence[str]) -> dict[str, Any]:
    domain, legend = list(names), alt.Legend(symbolType="stroke", symbolSize=140)
    styles = {"color": (alt.Color, COLOURS), "strokeDash": (alt.StrokeDash, DASHES)}
    return {
        channel: kind("policy:N", sort=domain, title=None, legend=legend,
                      scale=alt.Scale(domain=domain, range=[values[k % len(values)] for k in range(len(domain))]))
        for channel, (kind, values) in styles.items()
    }  # fmt: skip


def _lines(rows: pl.DataFrame, names: Sequence[str], column: str, title: str, height: int) -> Any:
    low, high = (rows[column].quantile(share) or 0.0 for share in (0.01, 0.99))
    margin = 0.25 * max(high - low, 20.0)
    # One extreme week would stretch the axis.
    scale = alt.Scale(domain=[low - margin, high + margin], clamp=True, nice=True)
    tips = ["week:T", "policy:N", alt.Tooltip(f"{column}:Q", format=",.0f")]
    return (
        alt.Chart(rows)
        .mark_line(strokeWidth=2, point={"size": 12})
        .encode(x=_time(), y=alt.Y(f"{column}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5)),
                **_colour(names), tooltip=tips)
        .properties(width=WIDTH, height=height)
    )  # fmt: skip


def _incumbent_line(rows: pl.DataFrame, name: str) -> Any:
    policy_rows = rows.filter(pl.col("policy") == name)
    return alt.Chart(policy_rows).mark_line(color="#8A8F98", strokeDash=[2, 3]).encode(x=_time(), y="incumbent:Q")


def _events(nights: pl.DataFrame, names: Sequence[str]) -> Any:
    """Return a mark for each retrain, filled if the challenger was promoted."""
    rows = nights.filter("retrained").select(
        pl.col("night").cast(pl.String).alias("week"), "policy", "promoted", "reason", "verdict"
    )
    colour = _colour(names)["color"]
    scale = alt.Scale(domain=[True, False], range=[1.0, 0.0])
    return (
        alt.Chart(rows)
        .mark_point(size=60, strokeWidth=1.5, filled=False)
        .encode(x=_time(labels=True), y=alt.Y("policy:N", title=None, scale=alt.Scale(domain=list(names))),
                color=colour, fill=colour, fillOpacity=alt.FillOpacity("promoted:N", scale=scale, legend=None),
                tooltip=["week:T", "policy:N", "promoted:N", "reason:N", "verdict:N"])
        .properties(width=WIDTH, height=alt.Step(26))
    )  # fmt: skip


def _targets(replays: Replays) -> list[str]:
    return replays.summary["target"].unique(maintain_order=True).to_list()


def cells(row: dict[str, Any]) -> list[str]:
    """Return a policy's figures as text, in the order of SUMMARY_COLUMNS."""
    formats = {"cost_dollars": lambda value: f"{value:.3f}"}
    return [formats.get(name, count)(row[name]) for name in SUMMARY_COLUMNS]


def _markdown(replays: Replays, picture: str) -> str:
    head = ["target", "policy", *SUMMARY_COLUMNS.values()]
    lines = [head, ["---", "---", *["---:"] * len(SUMMARY_COLUMNS)]]
    lines += [[row["target"], row["policy"].replace("|", "\\|"), *cells(row)] for row in replays.summary.to_dicts()]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines).replace(MINUS, "-")
    notices = "".join(f"{notice}\n\n" for notice in replays.notices)
    return f"# Replay of {replays.title}\n\n{notices}{table}\n![Weekly accuracy by policy]({picture})\n"


def _page(replays: Replays) -> str:
    return environment().get_template("replay.html.j2").render(
        replays=replays, head=list(SUMMARY_COLUMNS.values()),
        rows=[(row, cells(row)) for row in replays.summary.to_dicts()],
        trained=replays.nights.filter("retrained").to_dicts(),
        specs={f"replay-{target}": chart(replays, target).to_dict() for target in _targets(replays)},
        config=CONFIG, bundle=bundle(),
    )  # fmt: skip


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as draft:
        draft.write_bytes(content)
