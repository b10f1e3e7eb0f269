"""The charts of a report, declared with Altair."""

from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from daypart.flows.report import figures
from daypart.flows.report.palette import COLOUR, INK, colour, lines, shape
from daypart.forecasting.metrics.accuracy import score

FIGURE = {
    "accuracy_bps": "Forecast",
    "incumbent_bps": "Incumbent",
    "floor_accuracy_bps": "Floor",
    "oracle_bps": "Oracle",
}


@dataclass(frozen=True)
class Chart:
    """One chart: where it stands on the page, what it shows, and its Vega-Lite declaration."""

    name: str
    title: str
    note: str
    spec: dict[str, Any]


def _finish(place: str, target: str, title: str, note: str, chart: Any, height: Any) -> Chart:
    title = f"{target.capitalize()} {title}"
    sized = chart.properties(width="container", height=height, description=f"{title}. {note}")
    return Chart(f"{place}-{target}", title, note, sized.to_dict())


def _tip(column: str, title: str, shown_as: str | None = None) -> Any:
    return alt.Tooltip(column, title=title, format=shown_as or alt.Undefined)


def _long(table: pl.DataFrame, index: list[str]) -> pl.DataFrame:
    """One row per row of `table` and series that is known: `series` and its accuracy, `value`."""
    present = [name for name in FIGURE if name in table.columns]
    return (
        table.unpivot(on=present, index=index, variable_name="series")
        .filter(pl.col("value").is_not_null())
        .with_columns(pl.col("series").replace_strict(FIGURE), pl.col("value").round(1))
        .sort(*index, "series")
    )


def _named(long: pl.DataFrame) -> list[str]:
    present = set(long["series"])
    return [name for name in COLOUR if name in present]


def _accuracy(channel: Any, **scale: float) -> Any:
    axis = alt.Axis(tickCount=5)
    return channel("value:Q", title="Accuracy (bps)", scale=alt.Scale(zero=False, **scale), axis=axis)


def _read() -> list[Any]:
    return [_tip("series:N", "Series"), _tip("value:Q", "Accuracy (bps)", ",.0f")]


def lead_days(table: pl.DataFrame, target: str, days: int) -> Chart:
    """Accuracy over a horizon of `days`; `table` has one row per scored lead day of one target."""
    long = _long(table, ["lead_days"])
    names = _named(long)
    # Every lead has its place, also one whose days were all closed.
    leads, axis = list(range(days)), alt.Axis(labelAngle=0)
    chart = (
        alt.Chart(long)
        .mark_line(strokeWidth=2.2, point={"size": 24})
        .encode(
            x=alt.X("lead_days:O", title="Lead (days from the origin)", axis=axis, scale=alt.Scale(domain=leads)),
            y=_accuracy(alt.Y),
            **lines(names),
            tooltip=[_tip("lead_days:O", "Lead (days)"), *_read()],
        )
    )
    return _finish("lead", target, "by lead day", "Accuracy at hour level", chart, 230)


def dayparts(table: pl.DataFrame, target: str) -> Chart:
    """Accuracy of each daypart, as dots on a line; `table` has one row per daypart in the day's order."""
    long = _long(table, ["daypart"])
    names, order = _named(long), table["daypart"].to_list()
    base = alt.Chart(long).encode(x=_accuracy(alt.X, padding=12), y=alt.Y("daypart:N", sort=order, title=None))
    rails = base.mark_rule(strokeWidth=2, opacity=0.25, color=INK).encode(
        x=alt.X("min(value):Q", title="Accuracy (bps)"), x2="max(value):Q"
    )
    dots = base.mark_point(filled=True, size=130, opacity=1).encode(
        color=colour(names),
        shape=shape(names),
        tooltip=[_tip("daypart:N", "Daypart"), *_read()],
    )
    return _finish("daypart", target, "by daypart", "Accuracy at daypart level", rails + dots, alt.Step(44))


def week(table: pl.DataFrame, target: str, unit: str) -> Chart:
    """A week hour by hour with a choice of stores; `table` is `figures.weeks` of one target."""
    called = pl.concat_str("store_id", "name", separator=" ", ignore_nulls=True)
    rows = table.select(
        pl.format("{} ({} of {})", called, "rank", "of").alias("store"),
        "typical",
        hour=pl.col("hour_local").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        when=pl.col("hour_local").dt.strftime("%a %d %b %H:%M"),
        # Nights would be a row of dots at 0.
        Actual=pl.when((pl.col("actual") > 0.0) | (pl.col("q90") > 0.0)).then(pl.col("actual").round(2)),
        Forecast=pl.col("forecast").round(2),
        Incumbent=pl.col("incumbent").round(2),
        q10=pl.col("q10").round(2),
        q90=pl.col("q90").round(2),
    )
    stores = rows["store"].unique(maintain_order=True).to_list()
    chart = alt.Chart(rows.drop("typical")).encode(x=_clock())
    band = chart.mark_area(color=COLOUR["Forecast"], opacity=0.18, interpolate="monotone").encode(
        y=alt.Y("q10:Q", title=f"{target.capitalize()} ({unit})", axis=alt.Axis(tickCount=5)), y2="q90:Q"
    )
    note = "Dots: actual. Shaded: the band from the 10th to the 90th percentile."
    if len(stores) > 1:
        typical = rows.filter(pl.col("typical"))["store"][0]
        menu = alt.binding_select(options=stores, name="Store (rank by accuracy) ")
        chosen = alt.selection_point(name=f"store_{target}", fields=["store"], value=typical, bind=menu)
        band = band.properties(name=f"week_{target}").add_params(chosen).transform_filter(chosen)
        chart = chart.transform_filter(chosen)
    layers = alt.layer(band, _curves(chart), _came(chart))
    return _finish("week", target, "in a week, by the hour", note, layers, 260)


def _clock() -> Any:
    # The stores' own clocks are sent as if they were UTC, so that no reader's time zone moves them.
    axis = alt.Axis(format="%a %d %b", tickCount={"interval": "day", "step": 1}, labelAlign="left", grid=True)
    return alt.X("hour:T", title="Hour (store's clock)", scale=alt.Scale(type="utc"), axis=axis)


def _curves(chart: Any) -> Any:
    names = ["Forecast", "Incumbent"]
    return (
        chart.transform_fold(names, as_=["series", "value"])
        .mark_line(strokeWidth=1.8, interpolate="monotone")
        .encode(y=alt.Y("value:Q"), **lines(names))
    )


def _came(chart: Any) -> Any:
    values = [_tip(f"{name}:Q", name, ",.1f") for name in ("Actual", "Forecast", "q10", "q90", "Incumbent")]
    return chart.mark_point(filled=True, size=16, opacity=1, color=INK).encode(
        y=alt.Y("Actual:Q"), tooltip=[_tip("when:N", "Hour"), *values]
    )


def quantiles(table: pl.DataFrame, target: str) -> Chart:
    """Share of actuals under each quantile against its nominal share; `table` is `figures.reliability`."""
    base = alt.Chart(table.with_columns(pl.col("below", "reached", "nominal").round(4)))
    share = alt.Axis(format=".0%", values=list(figures.BAND.values()))
    across = alt.Scale(domain=[0, 1])
    # The stroke keeps a bar in sight where amounts hardly ever tie and it has no length.
    blue = COLOUR["Forecast"]
    bars = base.mark_bar(color=blue, stroke=blue, strokeWidth=5, strokeJoin="round", height=12).encode(
        x=alt.X("below:Q", title="Share of actuals (%)", axis=share, scale=across),
        x2="reached:Q",
        y=alt.Y("quantile:N", title=None),
        tooltip=[
            _tip("quantile:N", "Quantile"),
            _tip("below:Q", "Actuals below it", ".1%"),
            _tip("reached:Q", "Actuals at or below it", ".1%"),
            _tip("nominal:Q", "Should be", ".0%"),
        ],
    )
    marks = base.mark_tick(color=INK, thickness=2.5, size=30).encode(x="nominal:Q", y="quantile:N")
    note = "Bar: from the share below to the share at or below the quantile. It should meet its mark."
    return _finish("quantiles", target, "by quantile", note, bars + marks, alt.Step(44))


def sizes(table: pl.DataFrame, target: str, unit: str) -> Chart:
    """Coverage by tenth of forecast size; `table` is `figures.coverage_by_size` of one target."""
    base = alt.Chart(table.with_columns(pl.col("coverage").round(4)))
    lowest = min(0.5, float(table["coverage"].min() or 0.0))  # type: ignore[arg-type]
    percent, scale = alt.Axis(format=".0%", tickCount=5), alt.Scale(domain=[lowest, 1])
    curve = base.mark_line(
        color=COLOUR["Forecast"], strokeWidth=2.2, point={"size": 55, "color": COLOUR["Forecast"]}
    ).encode(
        x=alt.X("tenth:O", title="Tenth of the hours by forecast size (1 = smallest)", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("coverage:Q", title="Coverage (%)", axis=percent, scale=scale),
        tooltip=[
            _tip("tenth:O", "Tenth"),
            _tip("coverage:Q", "Coverage", ".1%"),
            _tip("smallest:Q", f"Forecasts from ({unit})", ",.1f"),
            _tip("largest:Q", "to", ",.1f"),
            _tip("hours:Q", "Hours", ",d"),
        ],
    )
    rule = base.mark_rule(color=INK, strokeDash=[4, 3], opacity=0.6).encode(y=alt.YDatum(0.8, scale=scale))
    note = "Share of actuals inside the band. Dashed: the 80 % that it promises."
    return _finish("sizes", target, "by forecast size", note, rule + curve, 200)


def features(table: pl.DataFrame, target: str, members: list[str]) -> Chart:
    """Share of gain of the features that count most; `table` is `figures.top_features` of one target."""
    chart = (
        alt.Chart(table.with_columns(pl.col("gain_share").round(5)))
        .mark_bar(color="#5B7FA3", height=13, cornerRadiusEnd=2)
        .encode(
            x=alt.X("gain_share:Q", title="Share of gain (%)", axis=alt.Axis(format=".0%", tickCount=5, grid=True)),
            y=alt.Y("feature:N", sort=table["feature"].to_list(), title=None, axis=alt.Axis(labelLimit=230)),
            tooltip=[_tip("feature:N", "Feature"), _tip("gain_share:Q", "Share of gain", ".1%")],
        )
    )
    note = f"Mean share of gain over {', '.join(members)}"
    return _finish("features", target, f"by feature, top {table.height}", note, chart, alt.Step(22))


def draw(scored: pl.DataFrame, importance: pl.DataFrame, stores: pl.DataFrame, target: str) -> dict[str, Chart]:
    """Every chart of one target that has something to show, by its place on the page.

    `scored` and `importance` are those of a `Report`, `stores` is `figures.by_store`.
    """
    unit = "tickets per hour" if target == "orders" else "currency per hour"
    of = pl.col("target") == target
    rows, gains, ranked = scored.filter(of), importance.filter(of), stores.filter(of)
    parts, tenths = figures.by_daypart(rows, "daypart"), figures.coverage_by_size(rows)
    charts = {}
    if ranked.height:
        charts["lead"] = lead_days(score(rows, "hour", ["lead_days"]), target, 1 + max(rows["lead_days"]))
        charts["week"] = week(figures.weeks(rows, ranked), target, unit)
    if parts["accuracy_bps"].count():
        charts["daypart"] = dayparts(parts, target)
    if tenths.height:
        charts["quantiles"] = quantiles(figures.reliability(rows), target)
        charts["sizes"] = sizes(tenths, target, unit)
    if gains.height:
        members = gains["member"].unique().sort().to_list()
        charts["features"] = features(figures.top_features(gains), target, members)
    return charts
